"""A matplotlib figure as SVG inside a page: in the page's colours, and with the points that a reader may point at."""

import dataclasses
import io
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from hw8.report.pages import as_data

# Stands for the page's text colour until the SVG is written; any colour that no plot uses would do.
INK = "#010203"
# Pixels of the page for an inch of a plot: its text, 9 points, is then as large as the page's small text. Plots are
# never drawn larger, only smaller on narrow screens.
PIXELS = 108


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a plot shows, in words for who cannot see it, and the points (P, 2), in units of its axes, to point at.

    Each point has a text and a goal, where a click leads: the ID of an image, the lowest and highest score of images
    to show, or nothing.
    """

    description: str
    point_P2: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))
    texts: Sequence[str] = ()
    goals: Sequence[int | tuple[float, float] | None] = ()


def to_svg(figure: Any, axes: Any, drawn: Drawn) -> Markup:
    """The figure as SVG with IDs of its own and, of its axes, the points that the page's script reads."""
    file = io.StringIO()
    # Without date and creator, equal plots have equal bytes; dpi is that of the points of a map, which stay pixels.
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None}, dpi=110)
    text = file.getvalue()
    text = text[text.index("<svg") :].strip().replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    tag, rest = text.split(">", 1)
    text = re.sub(r' (width|height)="[^"]*"', "", tag) + ">" + rest  # the page gives the size
    # Several plots share a page: the IDs of one must not be those of another.
    mark = format(zlib.crc32((drawn.description + text).encode()), "x")
    text = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{mark}-", text)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(drawn.description)}" ', 1)
    points = _points(figure, axes, drawn) if len(drawn.texts) else ""
    width = round(figure.get_figwidth() * PIXELS)
    return Markup(f'<div class="plot" style="max-width:{width}px">{text}{points}</div>')  # noqa: S704


def _points(figure: Any, axes: Any, drawn: Drawn) -> str:
    """The points, and the box and horizontal limits of the axes, as data; places are shares of width and height."""

    def places(pixel_P2: np.ndarray) -> list[list[float]]:
        share_P2 = pixel_P2 / (figure.bbox.width, figure.bbox.height)
        return np.stack([share_P2[:, 0], 1 - share_P2[:, 1]], axis=1).round(4).tolist()

    low, high = places(axes.bbox.get_points())
    points = zip(places(axes.transData.transform(drawn.point_P2)), drawn.texts, drawn.goals, strict=True)
    data = {
        "box": [low[0], high[1], high[0], low[1]],
        "limits": list(map(float, axes.get_xlim())),
        "points": [[*place, text, goal] for place, text, goal in points],
    }
    return f'<script type="application/json">{as_data(data)}</script>'
