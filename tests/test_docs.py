"""The documentation's code runs, and what it says is printed is printed.

After a change, write what pytest prints on the pages anew and read the difference:

    python -m tests.test_docs [docs/how-to/retries.md …]
"""

import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import celery
import pytest
from celery import _state

from tests.docs_pages import ROOT, files, module, shown, told, written_anew

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
FAILURES = [(page, failure) for page in PAGES for failure in shown(page)]
MODULES = [page for page in PAGES if module(page)]
FILES = [(page, name) for page in PAGES for name in files(page)]

#: What else is installed must not change what is printed.
QUIETLY = ["-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider"]


def _titled(value):
    return value.name if isinstance(value, Path) else getattr(value, "name", value)


@pytest.mark.slow
@pytest.mark.parametrize("page", MODULES, ids=_titled)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    """All blocks of a page that are in no file, as one module."""
    name = f"docs_{page.stem.lower()}"
    (tmp_path / f"{name}.py").write_text(module(page))
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
@pytest.mark.parametrize(("page", "failure"), FAILURES, ids=_titled)
def test_what_a_page_shows_is_what_pytest_prints(page, failure, pytester):
    """A test that fails on purpose, and its report."""
    pytester.makepyfile(**{failure.name.removesuffix(".py"): failure.source})
    result = pytester.runpytest_subprocess(*QUIETLY, failure.name)
    assert failure.output == told(str(result.stdout))


@pytest.mark.slow
@pytest.mark.parametrize(("page", "name"), FILES, ids=_titled)
def test_what_a_page_repairs_passes(page, name, pytester):
    """The file at the end of the page, with all its recipes."""
    pytester.makepyfile(**{name.removesuffix(".py"): files(page)[name]})
    result = pytester.runpytest_subprocess(*QUIETLY, name)
    assert result.ret == 0


@pytest.mark.skipif(celery.VERSION < (5, 7), reason="pages name the code of Celery 5.7")
@pytest.mark.parametrize("page", PAGES, ids=_titled)
def test_the_code_that_a_page_names_is_there(page):
    """Files of Celery, kombu and billiard, and the functions or classes in them."""
    root = Path(celery.__file__).parent.parent
    named = re.findall(r"`((?:celery|kombu|billiard)/[\w/]+\.py):([\w.]+)`", page.read_text())
    for path, names in named:
        source = (root / path).read_text(encoding="utf-8")
        for name in names.split("."):
            said = rf"\b(def|class) {name}\b|^(    )?{name} = "
            assert re.search(said, source, re.MULTILINE), f"{path}:{names}"


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


def _printed(name, source):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(source)
        command = [sys.executable, "-m", "pytest", *QUIETLY, name]
        return subprocess.run(
            command, check=False, cwd=folder, capture_output=True, text=True
        ).stdout


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:] or PAGES):
        before = page.read_text(encoding="utf-8")
        after = written_anew(before, _printed)
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"written anew: {page}\n")
