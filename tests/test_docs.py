"""The documentation's code runs, and what it says is printed is printed."""

import importlib
import pathlib
import re
import sys

import pytest
from celery import _state

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _python(page):
    return [text for language, text in BLOCK.findall(page.read_text()) if language == "python"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    """All blocks of a page as one module; a test in it is only defined."""
    blocks = _python(page)
    if not blocks:
        pytest.skip("no Python on this page")
    name = f"docs_{page.stem.lower()}"
    (tmp_path / f"{name}.py").write_text("\n\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # The apps of a page become current and announce their tasks, as a user's do.
    monkeypatch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))
    monkeypatch.setattr(_state, "default_app", _state.default_app)
    monkeypatch.setattr(_state._tls, "current_app", _state._tls.current_app)
    try:
        importlib.import_module(name)
    finally:
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_readme_output_is_what_pytest_prints(pytester):
    """The first test of the README, and the failure it shows."""
    page = (ROOT / "README.md").read_text()
    test, shown = BLOCK.findall(page)[0][1], BLOCK.findall(page)[1][1]
    pytester.makepyfile(test_orders=test)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:asyncio", "test_orders.py")
    result.assert_outcomes(failed=1)
    assert shown.rstrip() in str(result.stdout)


def test_every_page_is_linked():
    """A page that nothing links to is never read."""
    linked = {
        (page.parent / target.split("#")[0]).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text())
        if not target.startswith(("http", "#"))
    }
    assert {page.resolve() for page in PAGES[1:]} <= linked
    assert not [target for target in linked if not target.exists()]
