"""Lets pytest import this package as Python has compiled it. Imported by the plugin, before the rest.

pytest rewrites the asserts of all modules of a distribution that brings a plugin
(`_pytest/config/__init__.py:Config._mark_plugins_for_rewrite`), and keeps what it compiled beside
them. Where it may not, under ``PYTHONDONTWRITEBYTECODE`` or on a file system that is read-only, as in
most containers, each session would parse and compile every module that it imports of this package.
There is nothing to rewrite: what is asserted for
a user raises errors of its own. Only the reference workflows are tests, and stay marked.

Relies on ``AssertionRewritingHook._must_rewrite`` (`_pytest/assertion/rewrite.py`, pytest 8.4 to 9.2),
which has no public twin: ``PYTEST_DONT_REWRITE`` in a docstring saves the rewriting, but neither the
parsing nor the compiling. Without it, all is as pytest does it.
"""

from __future__ import annotations

import sys
from typing import Any

__all__: list[str] = []

_PACKAGE = "pytest_celeryflow"
_TESTS = f"{_PACKAGE}.reference"


def _unmark() -> None:
    finder: Any
    for finder in sys.meta_path:
        marked = getattr(finder, "_must_rewrite", None)
        if isinstance(marked, set) and _PACKAGE in marked:
            marked.remove(_PACKAGE)
            finder.mark_rewrite(_TESTS)  # which also forgets what was decided until now


_unmark()
