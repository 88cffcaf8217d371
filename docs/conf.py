"""Settings of the documentation site: `make docs` writes it to site/."""

from hw8 import __version__

project = "hw8"
author = "the hw8 authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["README.md"]

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
default_role = "code"  # docstrings write names in single backticks

html_theme = "furo"
html_title = "hw8"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
