"""`shape` and `assert_shape`: the two functions that users call.

Relies on no Celery symbol itself; what it calls does, when it is called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.shape._difference import Difference, difference
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._read import read

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
    wanted = Shape.parse(expected) if isinstance(expected, str) else read(expected, "expected")
    apart = difference(
        _only(wanted, args=args, options=options), _only(found, args=args, options=options)
    )
    if apart is None or (as_sent and _sent_alike(found, expected, args=args, options=options)):
        return
    raise CeleryflowAssertionError(_message(apart), expected=wanted, actual=found)


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


def _sent_alike(found: Shape, expected: Any, *, args: bool, options: bool) -> bool:
    """Tell whether an expected canvas, once sent, becomes what was found."""
    if isinstance(expected, Shape | str):
        return False
    wanted = shape(expected, as_sent=True)
    return (
        difference(
            _only(wanted, args=args, options=options), _only(found, args=args, options=options)
        )
        is None
    )


def _message(apart: Difference) -> str:
    lines = [apart.summary(), "", *apart.tree(), ""]
    if apart.only_members_moved:
        lines.append("If their order does not matter, write any_order(group(…)).")
    lines += ["If the new shape is right, expect:", f"  {apart.rewritten()!r}"]
    return "\n".join(lines)
