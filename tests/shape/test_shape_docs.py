"""Every block of the documentation runs, and prints what the page says.

After a change, write the outputs anew and read the difference:

    python tests/shape/test_shape_docs.py
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "how-to" / "shapes.md"
BLOCK = re.compile(r"```python\n(.*?)```(\n\n```text\n(.*?)```)?", re.DOTALL)


def written_anew(page: str) -> str:
    """Run the blocks of a page one after the other and put in what they print."""
    names: dict[str, object] = {"__name__": "thumbnails"}

    def run(block: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block[1], names)
        if block[2] is None:
            assert printed.getvalue() == ""
            return block[0]
        return f"```python\n{block[1]}```\n\n```text\n{printed.getvalue().rstrip()}\n```"

    return BLOCK.sub(run, page)


def test_the_how_to_prints_what_it_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written_anew(page) == page


@pytest.mark.parametrize("module", ["_assert", "_canvas", "_model", "_value"])
def test_the_examples_in_docstrings(module: str) -> None:
    failed, tried = doctest.testmod(import_module(f"pytest_celeryflow.shape.{module}"))
    assert tried
    assert not failed


def test_the_pictures_exist() -> None:
    for target in re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).exists()


def test_every_public_name_is_in_the_reference() -> None:
    package = import_module("pytest_celeryflow.shape")  # the name is the function's, too
    page = (DOCS / "reference" / "shape.md").read_text(encoding="utf-8")
    public = [name for name in dir(package.Shape) if not name.startswith("_")]
    internal = {"is_task", "walk", "same_node", "same_name", "any_order", "short"}
    assert [name for name in package.__all__ if name not in page] == []
    assert [name for name in public if name not in page and name not in internal] == []


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
