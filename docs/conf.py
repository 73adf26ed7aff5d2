"""The documentation as a site: Sphinx over the Markdown pages, which read as well without it.

    pip install -e '.[redis]' --group docs
    sphinx-build -W --keep-going docs docs/_build/html

Nothing is fetched while building. Drawings in ``mermaid`` fences are made in the reader's browser,
by a script from a public network; ``MERMAID_JS`` names a local one instead.
"""

from __future__ import annotations

import os
from typing import Any

from sphinx.application import Sphinx

import pytest_celeryflow

project = "pytest-celeryflow"
copyright = "the pytest-celeryflow maintainers"  # noqa: A001 - Sphinx names it so
version = release = pytest_celeryflow.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"pytest-celeryflow {version}"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["wide.css"]

# Markdown: anchors as GitHub makes them, and GitHub's way to write a drawing.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# Drawings in their own size (see wide.css). Many of them on one page get ids by count.
mermaid_height = "auto"
mermaid_init_config = {
    "startOnLoad": False,
    "deterministicIds": True,
    "flowchart": {"useMaxWidth": False},
}
mermaid_fullscreen = False
mermaid_use_local = os.environ.get("MERMAID_JS", "")

# Docstrings: Google form; what stands in single backticks is code, and a link where it can be one.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

#: The sections of the site. A page that is put into one of the folders appears by itself, after
#: those that are named; so no list has to be kept.
SECTIONS = {
    "Tutorial": ["tutorial/*"],
    "How to": [
        "how-to/workflows",
        "how-to/compare",
        "how-to/shapes",
        "how-to/retries",
        "how-to/timeouts",
        "how-to/crashes",
        "how-to/duplicates",
        "how-to/exploration",
        "how-to/*",
    ],
    "Reference": ["reference/api", "reference/pytest", "reference/*", "limitations"],
    "Explanation": [
        "explanation/strategy",
        "explanation/simulation",
        "explanation/celery",
        "explanation/*",
    ],
}


def _with_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give the first page its table of contents, which Markdown has no words for."""
    if docname == "index":
        for caption, pages in SECTIONS.items():
            lines = [":hidden:", ":glob:", f":caption: {caption}", "", *pages]
            source[0] += "\n".join(["\n```{toctree}", *lines, "```\n"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Join what is above."""
    app.connect("source-read", _with_contents)
    return {"parallel_read_safe": True}
