"""The documentation's code runs, and what it says is printed is printed.

After a change, write what pytest prints on the pages anew and read the difference:

    python -m tests.test_docs [docs/how-to/retries.md …]
"""

import importlib
import io
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import celery
import pytest
from celery import _state

from tests.docs_pages import (
    ROOT,
    files,
    module,
    passing,
    pieces,
    settings,
    shown,
    told,
    written_anew,
)

DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in DOCS.glob("**/*.md") if "_build" not in p.parts),
]
FAILURES = [(page, each) for page in PAGES for each in shown(page) if not each.is_command]
COMMANDS = [(page, each) for page in PAGES for each in shown(page) if each.is_command]
PASSING = [(page, each) for page in PAGES for each in passing(page)]
MODULES = [page for page in PAGES if module(page)]
FILES = [(page, name) for page in PAGES for name in files(page) if name.startswith("test_")]

#: What else is installed must not change what is printed.
QUIETLY = ["-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider"]


#: Between what one piece of a page prints and what the next does.
_MARK = "\x1f"


def _titled(value):
    return value.name if isinstance(value, Path) else getattr(value, "name", value)


@pytest.mark.slow
@pytest.mark.parametrize("page", MODULES, ids=_titled)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    """All blocks of a page that are in no file, as one module; and what they print."""
    name = f"docs_{page.stem.lower()}"
    parts = pieces(page)
    source = f"\n\nprint({_MARK!r}, end='')\n".join(code for code, _ in parts)
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # The apps of a page become current and announce their tasks, as a user's do.
    monkeypatch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))
    monkeypatch.setattr(_state, "default_app", _state.default_app)
    monkeypatch.setattr(_state._tls, "current_app", _state._tls.current_app)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            importlib.import_module(name)
    finally:
        sys.modules.pop(name, None)
    for now, (_, said) in zip(printed.getvalue().split(_MARK), parts, strict=True):
        assert said is None or now == said


@pytest.mark.slow
@pytest.mark.parametrize(("page", "failure"), FAILURES, ids=_titled)
def test_what_a_page_shows_is_what_pytest_prints(page, failure, pytester, monkeypatch):
    """A test that fails on purpose, and its report."""
    monkeypatch.delenv("CI", raising=False)  # there pytest shows differences at length
    pytester.makeini(settings(page))
    _write(pytester.path, {**failure.others, failure.name: failure.source})
    result = pytester.runpytest_subprocess(*QUIETLY, failure.name)
    assert failure.output == told(str(result.stdout), short=failure.short)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "name"), FILES, ids=_titled)
def test_what_a_page_repairs_passes(page, name, pytester):
    """The file at the end of the page, with all its recipes."""
    pytester.makeini(settings(page))
    _write(pytester.path, files(page))
    result = pytester.runpytest_subprocess(*QUIETLY, name)
    assert result.ret == 0


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=_titled)
def test_what_a_page_shows_is_what_a_command_prints(page, command, tmp_path):
    """Of `python -m pytest_celeryflow`, beside the files of the page."""
    _write(tmp_path, command.others)
    assert _printed_by(command.name, tmp_path) == command.output


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), PASSING, ids=_titled)
def test_what_a_page_says_passes(page, command, pytester):
    """A command of pytest, beside the files of the page."""
    program, *arguments = shlex.split(command.name)
    assert program == "pytest"
    pytester.makeini(settings(page))
    _write(pytester.path, command.sources)
    assert pytester.runpytest_subprocess(*QUIETLY, *arguments).ret == 0


def _write(folder, sources):
    for name, source in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)


def _printed_by(command, folder):
    line = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(line, check=False, cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(celery.VERSION < (5, 7), reason="pages name the code of Celery 5.7")
def test_the_code_that_pages_name_is_there():
    """Files of Celery, kombu and billiard, and the functions or classes in them."""
    root = Path(celery.__file__).parent.parent
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for path, names in re.findall(r"`((?:celery|kombu|billiard)/[\w/]+\.py):([\w.]+)`", text):
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


PAGE = """
```python
# test_one.py
import a

LIMIT = 1


@task
def one():
    return LIMIT
```

<!-- output of: pytest test_one.py -->
```text
old
```

```python
# test_one.py, repaired
import b


@task(better=True)
def one():
    return b
```

```python
apart = True
```
"""


def test_a_block_goes_on_with_its_file(tmp_path):
    """What it defines anew replaces what was there; imports go to the top."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert module(page) == "apart = True\n"
    assert shown(page)[0].source.endswith("@task\ndef one():\n    return LIMIT\n")
    repaired = files(page)["test_one.py"]
    assert repaired.startswith("import b\n# test_one.py\nimport a\n\nLIMIT = 1\n")
    assert repaired.endswith("@task(better=True)\ndef one():\n    return b\n")


def test_a_page_shows_the_failure_without_what_was_logged():
    """From the line that failed to the end of the last section."""
    printed = (
        "== FAILURES ==\n__ test __\n\n    def test():\n>       assert 0\nE       assert 0 \n\n"
        "-- Captured log call --\nERROR    here\nERROR    there\n"
        "--- celeryflow: what happened in mode sim ---\n0s  one#1\n"
        "== short test summary info ==\nFAILED\n"
    )
    wanted = (
        ">       assert 0\nE       assert 0\n\n"
        "--- celeryflow: what happened in mode sim ---\n0s  one#1\n"
    )
    assert told(printed) == wanted
    assert f"```text\n{wanted}```" in written_anew(PAGE, lambda shown: printed)


def test_a_page_cannot_show_a_failure_that_does_not_happen():
    """A test that passes by now is noticed."""
    with pytest.raises(ValueError, match="nothing failed"):
        told("== 1 passed ==\n")


def _printed(page):
    """How to print what a page shows."""

    def printed(shown):
        with tempfile.TemporaryDirectory() as folder:
            name = {} if shown.is_command else {shown.name: shown.source}
            _write(Path(folder), {**shown.others, **name, "pytest.ini": settings(page)})
            pytest_ = shlex.join(["python", "-m", "pytest", *QUIETLY, shown.name])
            return _printed_by(shown.name if shown.is_command else pytest_, folder)

    return printed


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:] or PAGES):
        before = page.read_text(encoding="utf-8")
        after = written_anew(before, _printed(page))
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"written anew: {page}\n")
