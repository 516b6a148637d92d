"""How Sphinx makes the site: `make site`, which calls build.py."""

import importlib.util
import sys
import tomllib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).parents[1]
_PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

project = "labkit"
author = copyright = "The labkit authors"
version = release = _PYPROJECT["project"]["version"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "glossary_links",
]
templates_path = [str(ROOT / "docs" / "templates")]
exclude_patterns = ["notebooks"]

# the labs were executed by `make results`; here nothing runs
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # no widget needs what would be loaded from elsewhere
myst_enable_extensions = ["amsmath", "attrs_block", "deflist", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header", "myst.strikethrough", "mystnb.mime_priority"]

default_role = "py:obj"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "labkit"
html_static_path = [str(ROOT / "docs" / "static")]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
mathjax_path = "mathjax/tex-chtml.js"


def _copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax beside the pages: they must work where there is no network."""
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    target = Path(app.outdir, "_static", "mathjax")
    copy_asset(str(package / "static" / "mathjax" / "tex-chtml.js"), str(target))
    fonts = Path("output", "chtml", "fonts")
    copy_asset(str(package / "static" / "mathjax" / fonts), str(target / fonts))


def setup(app: Sphinx) -> None:
    """Add what is ours."""
    app.connect("build-finished", _copy_mathjax)
