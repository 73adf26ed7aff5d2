"""`shape` and `assert_shape`: the two functions that users call.

Relies on no Celery symbol itself; what it calls does, when it is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.shape._difference import Difference, difference
from pytest_celeryflow.shape._matchers import ANY
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._read import ANY_ORDER, MATCHER_NAMES, read
from pytest_celeryflow.shape._unrolled import folded, holds_any_body

__all__ = ["assert_shape", "shape"]


def shape(canvas: Any, *, as_sent: bool = False) -> Shape:
    """Say what a workflow looks like.

    Args:
        canvas: A signature, chain, group, chord, `map`, `starmap` or `chunks`, or the dict
            that one becomes in JSON. It is only read.
        as_sent: Show what Celery would really publish for it, after its own rewriting.
            Nothing is published and no broker is contacted.

    Returns:
        The shape.

    Raises:
        TypeError: `canvas`, or something in it, is not a signature.

    Example:
        >>> from celery import Celery, group
        >>> app = Celery(set_as_current=False)
        >>> fetch, resize = app.signature("fetch"), app.signature("resize")
        >>> print(shape(fetch.clone(("u",)) | group(resize.clone((1,)), resize.clone((2,)))))
        fetch('u') | group(resize(1), resize(2))
    """
    if not as_sent:
        return read(canvas)
    from pytest_celeryflow.shape._sent import sent  # noqa: PLC0415 - loads celery

    return sent(canvas)


def assert_shape(
    actual: Any,
    expected: Any,
    *,
    as_sent: bool = False,
    args: bool = True,
    options: bool = False,
) -> None:
    """Assert that a workflow looks as expected.

    Args:
        actual: A canvas or a `Shape`.
        expected: A canvas in Celery's own words with `ANY`, `ANY_TASK`, `ANY_ARGS`,
            `any_order(group(…))`, `repeated(sig, n)`, types, predicates, or any object with
            an `__eq__` where wanted; or a `Shape`; or its one-line text.
        as_sent: Compare what Celery would really publish for `actual`. An expected canvas
            may be written either way: as it is sent, or as it is before.
        args: Compare arguments.
        options: Compare execution options and stamps. Links and errbacks always count.

    Raises:
        CeleryflowAssertionError: They differ; the message says where, shows only what
            differs, and says what to write if the new shape is right.
        TypeError: Something is not a canvas.
        ValueError: The text is not that of a shape.

    Example:
        >>> assert_shape(Shape.parse("fetch('u') | resize(100)"), "fetch(ANY) | resize(100)")
    """
    __tracebackhide__ = True
    found = actual if isinstance(actual, Shape) else shape(actual, as_sent=as_sent)
    seen = _only(found, args=args, options=options)
    nearest: Difference | None = None
    for wanted in _readings(expected, as_sent=as_sent):
        sought = _only(wanted, args=args, options=options)
        apart = difference(sought, seen)
        if apart is None:
            return
        # `ANY` as a chord's body stands for all that comes of the chord.
        if holds_any_body(sought) and difference(folded(sought), folded(seen)) is None:
            return
        if nearest is None or len(apart.changes) < len(nearest.changes):
            nearest, closest = apart, wanted
    assert nearest is not None
    raise CeleryflowAssertionError(_message(nearest), expected=closest, actual=found)


def _readings(expected: Any, *, as_sent: bool) -> Iterator[Shape]:
    """Yield what an expected canvas may mean: itself, regrouped, or what is sent for it."""
    if isinstance(expected, str):
        yield Shape.parse(expected)
        return
    plain = read(expected, "expected")
    yield plain
    if isinstance(expected, Shape):
        return
    if _holds_matchers(expected):
        from pytest_celeryflow.shape._canvas import regrouped  # noqa: PLC0415 - loads celery

        if (again := regrouped(expected)) is not None:
            yield read(again, "expected")
    elif as_sent:
        yield shape(expected, as_sent=True)


def _holds_matchers(canvas: Any) -> bool:
    """Tell whether a canvas holds matchers that stand for tasks, which cannot be sent."""
    if not isinstance(canvas, Mapping):
        return canvas is ANY
    if canvas.get("task") in MATCHER_NAMES:
        return True
    below = canvas.get("kwargs") or {}
    parts = [below.get("body"), *(below.get("tasks") or ()), *(below.get("header") or ())]
    return ANY_ORDER in (canvas.get("options") or {}) or any(map(_holds_matchers, parts))


def _only(shape: Shape, *, args: bool, options: bool) -> Shape:
    """Leave out what does not count."""
    if args and options:
        return shape
    without: dict[str, Any] = {} if options else {"options": {}, "stamps": {}}
    if not args:
        without |= {"args": (), "kwargs": {}, "items": (), "size": None}

    def only(each: Shape) -> Shape:
        return replace(
            each,
            **without,
            children=tuple(map(only, each.children)),
            body=each.body and only(each.body),
            links=tuple(map(only, each.links)),
            errbacks=tuple(map(only, each.errbacks)),
        )

    return only(shape)


def _message(apart: Difference) -> str:
    lines = [apart.summary(), "", *apart.tree(), ""]
    if apart.only_members_moved:
        lines.append("If their order does not matter, write any_order(group(…)).")
    lines += ["If the new shape is right, expect:", f"  {apart.rewritten()!r}"]
    return "\n".join(lines)
