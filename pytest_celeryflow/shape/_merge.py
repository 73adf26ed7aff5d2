"""What to write if the new shape is right: the new shape, with the matchers that still match.

Relies on no Celery symbol.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_celeryflow.shape._align import Pair
from pytest_celeryflow.shape._match import value_matches
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._value import cut_at_any_args

__all__ = ["merged"]


def merged(pair: Pair) -> Shape:
    """Take the pattern where it matched, the actual shape where it did not."""
    expected, actual = pair.expected, pair.actual
    if actual is None or expected is None:
        found = actual or expected
        assert found is not None
        return found
    if pair.is_same or pair.moved_to:
        return expected
    if pair.lone:
        return next(merged(child) for child in pair.children if child.actual is not None)
    if expected.kind != actual.kind:
        return actual
    slots: dict[str, list[Shape]] = {"children": [], "body": [], "links": [], "errbacks": []}
    for child in pair.children:
        if child.actual is not None:
            slots[child.slot].append(merged(child))
    return replace(
        actual,
        args=_merged_args(expected, actual),
        kwargs={
            key: _kept(expected.kwargs.get(key, value), value)
            for key, value in actual.kwargs.items()
        },
        any_order=expected.any_order,
        children=tuple(slots["children"]),
        body=slots["body"][0] if slots["body"] else None,
        links=tuple(slots["links"]),
        errbacks=tuple(slots["errbacks"]),
    )


def _merged_args(expected: Shape, actual: Shape) -> tuple[object, ...]:
    if cut_at_any_args(expected.args) is not None or len(expected.args) != len(actual.args):
        return actual.args
    return tuple(map(_kept, expected.args, actual.args))


def _kept(expected: object, actual: object) -> object:
    return expected if value_matches(expected, actual) else actual
