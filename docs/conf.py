"""Sphinx configuration: Markdown pages, warnings are errors (make docs)."""

from cimc.version import __version__

project = "cimc"
author = "the cimc authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]
root_doc = "index"
nitpicky = False

html_theme = "furo"
html_title = f"cimc {version}"

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 4

autodoc_typehints = "description"
autodoc_member_order = "bysource"
