"""Pages that stand alone: one HTML file with its styles, script, plots and pictures, and asks nobody."""

import dataclasses
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from hw8.base.files import write_text
from hw8.base.text import short


@dataclasses.dataclass(frozen=True)
class Figure:
    """Plots under one heading; several views of the same thing are shown one at a time, and `folded` ones on demand."""

    title: str
    caption: str
    views: dict[str, Markup]
    folded: bool = False


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template of `hw8/report/templates` and write it, whole or not at all."""
    write_text(path, render(template, **values))


def render(template: str, **values: Any) -> str:
    """A template of `hw8/report/templates` filled with values, all of which are escaped but Markup."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hw8.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(asset=asset, short=short, **values)


def asset(name: str) -> Markup:
    """The text of a file of `hw8/report/assets`, to stand in a page as it is."""
    return Markup(resources.files("hw8.report").joinpath("assets", name).read_text(encoding="utf-8"))  # noqa: S704


def with_code(line: str) -> Markup:
    """A line of Markdown, whose words between backticks are code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(line))))  # noqa: S704


def as_data(value: Any) -> Markup:
    """A value as JSON inside a script element, in which nothing can end that element."""
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704
