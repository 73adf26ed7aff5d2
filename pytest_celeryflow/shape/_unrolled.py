"""A chord followed by something: one shape for what Celery writes in two ways.

In Celery `chord(header, publish) | notify` *is* `chord(header, publish | notify)`: the bar
appends to the body (`celery/canvas.py`, ``_chord.__or__`` and ``_chain.__or__``), and nothing
tells them apart afterwards, neither in the canvas nor in its messages. It is read as a chord
and what follows it, as people write it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pytest_celeryflow.shape._model import Shape

__all__ = ["folded", "holds_any_body", "spliced", "unrolled"]


def unrolled(shape: Shape) -> Shape:
    """A chord whose body is a chain as the chord and what follows; anything else as it is."""
    body = shape.body
    if shape.kind != "chord" or body is None or not _is_plain_chain(body):
        return shape
    first, *rest = body.children
    return Shape(kind="chain", children=(replace(shape, body=first), *rest))


def spliced(steps: Iterable[tuple[bool, Shape]]) -> tuple[Shape, ...]:
    """The steps of a chain; one that was a chord and was unrolled gives its own steps."""
    out: list[Shape] = []
    for was_chord, step in steps:
        if was_chord and step.kind == "chain":
            out.extend(step.children)
        else:
            out.append(step)
    return tuple(out)


def folded(shape: Shape) -> Shape:
    """The opposite of `unrolled`, all the way down: what follows a chord is in its body."""
    children = tuple(map(folded, shape.children))
    again = replace(shape, children=children, body=shape.body and folded(shape.body))
    if shape.kind != "chain":
        return again
    for index, step in enumerate(children):
        rest = children[index + 1 :]
        if step.kind == "chord" and step.body is not None and rest:
            body = folded(Shape(kind="chain", children=(step.body, *rest)))
            steps = (*children[:index], replace(step, body=body))
            return replace(again, children=steps) if index or not _is_plain_chain(again) else steps[0]
    return again


def holds_any_body(shape: Shape) -> bool:
    """Whether the body of a chord in a pattern stands for any subtree."""
    if shape.body is not None and (shape.body.kind == "any" or holds_any_body(shape.body)):
        return True
    return any(map(holds_any_body, shape.children))


def _is_plain_chain(shape: Shape) -> bool:
    own = (shape.args, shape.kwargs, shape.options, shape.stamps, shape.links, shape.errbacks)
    return shape.kind == "chain" and bool(shape.children) and not any(own) and not shape.immutable
