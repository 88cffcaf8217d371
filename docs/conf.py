"""Settings of the documentation site: `make docs` writes it to site/."""

import re
from typing import Any, NoReturn

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

from hw8 import __version__

project = "hw8"
author = "the hw8 authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["README.md"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
highlight_language = "none"  # most blocks are output; commands and Python say so
default_role = "code"  # docstrings write names in single backticks

html_theme = "furo"
html_title = "hw8"
html_static_path = ["static"]
html_css_files = ["guide.css"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False

# Formulas become MathML, which browsers typeset by themselves: no script, no font, nothing to fetch.
html_math_renderer = "mathml"
# What TeX spaces by itself and MathML does not: a named function before its argument.
FUNCTION = re.compile(r"(<mi>(?:log|exp)</mi>)(?!<mo|</mrow>)")


def setup(app: Any) -> None:
    """Register the renderer of formulas."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


def _inline(writer: Any, node: Any) -> NoReturn:
    writer.body.append(_mathml(node.astext(), "inline"))
    raise SkipNode


def _block(writer: Any, node: Any) -> NoReturn:
    # It can be reached, and so scrolled, by keyboard.
    writer.body.append(f'<div class="formula" tabindex="0">{_mathml(node.astext(), "block")}</div>\n')
    raise SkipNode


def _mathml(tex: str, display: str) -> str:
    return FUNCTION.sub(r'\1<mspace width="0.17em"></mspace>', convert(tex.strip(), display=display))
