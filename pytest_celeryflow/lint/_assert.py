"""`assert_clean`: fail on what lint finds, and say why, how to repair it, how to silence it.

Relies on no Celery symbol.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.lint._finding import Finding
from pytest_celeryflow.lint._lint import lint
from pytest_celeryflow.lint.rules import check_codes, rule_of

__all__ = ["assert_clean", "entries", "left"]

_FIRST_LINE = 80
_LINE = 96
#: Places of one rule that are written out; the others are counted.
_MOST_PLACES = 10


def assert_clean(canvas_or_app: Any, ignore: Iterable[str] = (), app: Any = None) -> None:
    """Assert that lint finds nothing.

    Args:
        canvas_or_app: What `lint` takes.
        ignore: Codes of rules that do not count, such as `"CF104"`; with a place or the name
            of a task behind it, `"CF104@chain[1]"` or `"CF104@notify"`, it does not count there.
        app: For a canvas, the app that would publish it.

    Raises:
        CeleryflowAssertionError: Something was found. `.actual` are the findings.
        TypeError: An argument is not what it should be.
        ValueError: `ignore` names a rule that does not exist.

    Example:
        >>> from celery import Celery, group
        >>> from pytest_celeryflow.lint import assert_clean
        >>> assert_clean(group(), ignore=["CF103"], app=Celery(set_as_current=False))
    """
    __tracebackhide__ = True
    found = left(lint(canvas_or_app, app), entries(ignore))
    if found:
        raise CeleryflowAssertionError(_message(found), expected=[], actual=found)


def entries(ignore: Iterable[str], argument: str = "ignore") -> list[tuple[str, str]]:
    """The codes that do not count, each with the place where it does not, or nothing.

    Args:
        ignore: What `assert_clean` takes.
        argument: What it was given as, for the error.

    Raises:
        TypeError: It is one string, or no list.
        ValueError: A code is unknown.
    """
    if isinstance(ignore, str):
        raise TypeError(f"{argument} is {ignore!r}; write {argument}=({ignore!r},)")
    if not isinstance(ignore, Iterable):
        raise TypeError(f"{argument} is {ignore!r}; it is a list of codes, such as ('CF104',)")
    parts = [str(each).partition("@") for each in ignore]
    check_codes([code for code, _, _ in parts], argument)
    return [(code, place) for code, _, place in parts]


def left(found: Iterable[Finding], ignored: Sequence[tuple[str, str]]) -> list[Finding]:
    """What is found and counts."""
    return [finding for finding in found if not _is_ignored(finding, ignored)]


def _is_ignored(finding: Finding, ignored: Iterable[tuple[str, str]]) -> bool:
    return any(
        finding.code == code
        and (
            not place
            or f"{finding.path}[".startswith((f"{place}[", f"{place}."))
            or (finding.task and f".{finding.task}".endswith(f".{place}"))
        )
        for code, place in ignored
    )


def _message(found: list[Finding]) -> str:
    rules = [list(same) for _, same in groupby(found, key=lambda each: each.code)]
    counted = [f"{same[0].code} × {len(same)}" if len(same) > 1 else same[0].code for same in rules]
    things = "1 thing" if len(found) == 1 else f"{len(found)} things"
    first = f"lint found {things}: {', '.join(counted)}"
    lines = [first if len(first) <= _FIRST_LINE else first[: _FIRST_LINE - 1] + "…"]
    for same in rules:
        lines += ["", *_about(same)]
    return "\n".join(lines)


def _about(same: list[Finding]) -> Iterator[str]:
    first = same[0]
    rule = rule_of(first.code)
    yield f"{first.code} {first.rule}"
    for finding in same[:_MOST_PLACES]:
        yield from _wrapped(f"{finding.path}: ", finding.message)
        yield from _wrapped("  repair: ", finding.hint)
    if len(same) > _MOST_PLACES:
        yield f"  … and {len(same) - _MOST_PLACES} more places"
    yield from _wrapped("why: ", rule.sections["Why"].replace("`", ""))
    yield f"  silence: ignore=({first.code!r},), or ({first.code + '@' + first.path!r},) for one place"
    if first.task:
        yield f"           or celeryflow_ignore=({first.code!r},) on the task"
    yield f"  see: {first.url}"


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        _LINE,
        initial_indent=f"  {label}",
        subsequent_indent="      ",
        break_on_hyphens=False,
        break_long_words=False,
    )
