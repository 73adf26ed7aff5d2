"""The examples of the rules' docstrings, run as a user's module would be."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

from pytest_celeryflow.lint._page import PRELUDE

__all__ = ["linted"]


def linted(example: str, directory: Path) -> Any:
    """Run an example and return the value of its last line: a canvas or an app.

    It runs from a file, so that the tasks have a source.
    """
    tree = ast.parse(example)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr), "the last line is what is given to lint"
    lines = example.splitlines()
    lines[last.lineno - 1] = "linted = (" + lines[last.lineno - 1]
    lines[-1] += ")"
    path = directory / "shop_example.py"
    path.write_text(PRELUDE + "\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return runpy.run_path(str(path), run_name="shop_example")["linted"]
