"""The matchers that stand for tasks: `ANY_TASK`, `any_order`, `repeated`.

They are Celery signatures (`celery.canvas.Signature`), so that they may be written wherever a
task may: after `|`, in a `group`, in a `chord`. They are recognised again by the name of the
task, or by an option on each member that survives Celery's rewriting of a group into a header.

Not modelled: none of them can be sent; a worker does not know these tasks.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from celery.canvas import Signature, chord, group, maybe_signature

from pytest_celeryflow.shape._matchers import ANY
from pytest_celeryflow.shape._read import ANY_ORDER, ANY_TASK_NAME, NOTHING_NAME, REPEATED_NAME

__all__ = ["ANY_TASK", "any_order", "regrouped", "repeated"]

#: Any one task with any arguments: `fetch.s('u') | ANY_TASK`. Not a chain, group or chord.
ANY_TASK: Signature = Signature(ANY_TASK_NAME)


def any_order(members: Any) -> Any:
    """Match a group, or the header of a chord, whatever the order of its members.

    Args:
        members: A group, a chord, or signatures in a list.

    Returns:
        A canvas to be used in `expected` of `assert_shape`.

    Raises:
        TypeError: Something else was given.

    Example:
        >>> from celery import Celery, group
        >>> from pytest_celeryflow.shape import shape
        >>> add = Celery(set_as_current=False).signature("add")
        >>> shape(any_order(group(add, add)))
        Shape.parse('any_order(group(add(), add()))')
    """
    if isinstance(members, Signature) and members.subtask_type == "chord":
        marked = members.clone()
        marked.tasks = [_marked(each) for each in marked.tasks]
        return marked
    if isinstance(members, Signature) and members.subtask_type == "group":
        return group([_marked(each) for each in members.tasks], **members.options)
    if isinstance(members, Iterable) and not isinstance(members, dict | str):
        return group([_marked(each) for each in members])
    raise TypeError(f"any_order() takes a group, a chord or a list, not {members!r}")


def _marked(member: Any) -> Any:
    if not isinstance(member, dict):
        return member
    copy = maybe_signature(member, clone=True)
    copy.options[ANY_ORDER] = True
    return copy


def repeated(sig: Any, n: Any) -> Signature:
    """Match `n` equal steps or members in a row.

    Args:
        sig: The signature that repeats; it may hold matchers.
        n: How many times, or `ANY` for any number, none included.

    Returns:
        A signature to be used in `expected` of `assert_shape`, in a group, header or chain.

    Raises:
        TypeError: `n` is neither, or `sig` is no signature.
        ValueError: `n` is negative.
    """
    if sig is not ANY and not isinstance(sig, dict):
        raise TypeError(f"sig is {sig!r}; it is a signature, such as task.s(ANY)")
    if n is not ANY and (isinstance(n, bool) or not isinstance(n, int)):
        raise TypeError(f"n is {n!r}; it is a number of times, or ANY")
    if n is not ANY and n < 0:
        raise ValueError(f"n is {n}; it cannot be negative")
    return Signature(REPEATED_NAME, kwargs={"sig": sig, "n": n})


def regrouped(canvas: Any) -> Any:
    """Build a canvas again with each `repeated` step of a chain as a group.

    Celery takes a group of one member for the member itself, so that `a | group(repeated(b, 3))`
    has become `a | repeated(b, 3)`, in which nobody can tell whether the three run at once. This
    is the other reading.

    Args:
        canvas: An expected canvas.

    Returns:
        The canvas, built again by Celery's own `|`; None if there is no such step.
    """
    return _regrouped(canvas) if _has_repeated_step(canvas) else None


def _parts(canvas: Any) -> list[Any]:
    kind = canvas.get("subtask_type") if isinstance(canvas, Signature) else None
    if kind in ("chain", "group"):
        return list(canvas.tasks)
    if kind == "chord":
        header = canvas.tasks.tasks if isinstance(canvas.tasks, group) else canvas.tasks
        return [*header, canvas.body]
    return []


def _is_repeated(canvas: Any) -> bool:
    return isinstance(canvas, Signature) and canvas.task == REPEATED_NAME


def _has_repeated_step(canvas: Any) -> bool:
    parts = _parts(canvas)
    in_chain = bool(parts) and canvas["subtask_type"] == "chain"
    return (in_chain and any(map(_is_repeated, parts))) or any(map(_has_repeated_step, parts))


def _regrouped(canvas: Any) -> Any:
    if not _has_repeated_step(canvas):
        return canvas
    kind, parts = canvas["subtask_type"], [_regrouped(part) for part in _parts(canvas)]
    if kind == "chain":
        nothing = Signature(NOTHING_NAME)
        again = reduce(
            or_, [group([part, nothing]) if _is_repeated(part) else part for part in parts]
        )
    elif kind == "group":
        again = group(parts)
    else:
        again = chord(parts[:-1], parts[-1])
    again.options.update(canvas.options)
    return again
