"""The documentation as a site: its links, its references and what it must name."""

import re

import pytest

import pytest_celeryflow
from pytest_celeryflow import plugin_compare
from pytest_celeryflow.history import KINDS
from pytest_celeryflow.seen import ASPECTS
from tests.docs_pages import ROOT

DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in DOCS.glob("**/*.md") if "_build" not in page.parts),
]

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]*)#([^)\s]+)\)")


def _anchors(page):
    """The anchors that GitHub makes of a page's headings, and MyST with `myst_heading_anchors`."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = []
    for heading in re.findall(r"^#{1,4} (.*)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = sum(a == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", a) is not None for a in found)
        found.append(f"{anchor}-{again}" if again else anchor)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_somewhere(page):
    """On GitHub, too, where no build complains."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target, anchor in _LINK.findall(text):
        if target.startswith("http"):
            continue
        where = (page.parent / target).resolve() if target else page
        assert anchor in _anchors(where), f"{target}#{anchor}"


def test_every_page_belongs_to_a_section_of_the_site():
    """A page beside the folders would be in no table of contents."""
    folders = {page.relative_to(DOCS).parts[0] for page in PAGES[1:]}
    assert folders == {
        "tutorial",
        "how-to",
        "reference",
        "explanation",
        "index.md",
        "limitations.md",
    }


def test_the_reference_has_every_public_name():
    """By its docstring."""
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)$", page, re.MULTILINE))
    assert set(pytest_celeryflow.__all__) - {"__version__"} <= documented


def test_every_public_name_has_a_docstring():
    """It is the reference."""
    values = set(pytest_celeryflow.__all__) - {"__version__", "ANY", "ANY_ARGS", "ANY_TASK"}
    assert [n for n in sorted(values) if not getattr(pytest_celeryflow, n).__doc__] == []


def test_the_reference_has_every_option(pytestconfig):
    """And its twin in the ini file."""
    page = (DOCS / "reference" / "pytest.md").read_text(encoding="utf-8")
    options = [
        name
        for option in pytestconfig._parser._groups
        for each in option.options
        for name in each.names()
        if name.startswith("--celeryflow")
    ]
    inis = [name for name in pytestconfig._parser._inidict if name.startswith("celeryflow_")]
    assert options
    assert inis
    assert [name for name in options if f"`{name}" not in page] == []
    assert [name for name in inis if f"`{name}`" not in page] == []


def test_the_reference_has_every_kind_of_event():
    """In the order in which a task usually meets them."""
    page = (DOCS / "reference" / "history.md").read_text(encoding="utf-8")
    table = page.split("## Kinds")[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == KINDS


def test_the_how_to_has_everything_that_is_compared():
    """As `ignore=` takes it, in the order of the table that is printed."""
    page = (DOCS / "how-to" / "compare.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r'^\| `"(\w+)"` \|', page, re.MULTILINE)) == ASPECTS
    assert all(f"`{keyword}=" in page for keyword in plugin_compare.KEYWORDS)
