"""Rules about how tasks are called: whether arguments, with the result before them, fit.

Relies on Celery putting the result of the step before in front of a signature's own arguments,
unless it is immutable (`celery/canvas.py:Signature._merge`).

Not modelled: a task class whose `__call__` changes the arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pytest_celeryflow.lint._canvas import Canvas, Place
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import canvas_rule
from pytest_celeryflow.lint._source import ends_with_nothing

__all__ = ["Given", "arguments_do_not_fit", "misfit", "result_of_nothing", "takes_no_result"]


@canvas_rule("CF104", "arguments-do-not-fit")
def arguments_do_not_fit(canvas: Canvas) -> Iterator[Trouble]:
    """A task is called with arguments that its function does not take.

    Sees: a step, member, body or callback whose arguments, with the result before them, do not fit
    the function; of the first task, only what is too much, since the rest may be given when
    the canvas is called; an item of a `map`, `starmap` or `chunks`. A task that is not
    registered has no known function.

    Why: of the first task it is an error where you publish. Of any other it is an error in a
    worker, after the tasks before it have done their work; the body of a chord fails with a
    ChordError about a callback.

    Celery: `canvas.py:Signature._merge` puts the result first; `app/task.py:Task.apply_async`
    checks the arguments (`__header__`) where the next message is published, which is
    `app/trace.py:build_tracer` of the task before, or the backend that calls the body.

    Repair: give what is missing, or take out what is too much. Mind that the body of a chord
    is given one list.

    Bad:
        fetch.s("a") | resize.s()

    Good:
        fetch.s("a") | resize.s(100)
    """
    for place in canvas.places:
        task = canvas.app.task(place.shape.name) if place.shape.name else None
        if task is None or place.role == "errback":
            continue
        if place.shape.kind in ("map", "starmap", "chunks"):
            yield from _items_that_do_not_fit(place, task)
        elif place.is_task and not _takes_no_result(place, task):
            wrong = _called_wrong(place, task)
            if wrong:
                yield Trouble(
                    place.path,
                    f"{place.short_name}{wrong}",
                    f"the function is {place.short_name}{_signature(task)}",
                    task=place.shape.name,
                )


@canvas_rule("CF105", "takes-no-result")
def takes_no_result(canvas: Canvas) -> Iterator[Trouble]:
    """A step is written `.s()` and has no room for the result of the step before.

    Sees: a step, member, body or callback whose own arguments fit its function, and do not once
    the result of the task before stands in front of them.

    Why: the workflow fails in a worker when it gets there, after the tasks before have run; or the
    result takes the place of an argument that was meant for something else.

    Celery: `canvas.py:Signature._merge` puts the result first, unless the signature is immutable.

    Repair: write `.si()` if the step does not want the result; else give the function an argument
    for it, at the front.

    Bad:
        fetch.s("a") | notify.s("done")

    Good:
        fetch.s("a") | notify.si("done")
    """
    for place in canvas.tasks:
        task = canvas.app.task(place.shape.name)
        if task is not None and place.role != "errback" and _takes_no_result(place, task):
            results = "a result" if place.given == 1 else f"{place.given} results"
            yield Trouble(
                place.path,
                f"{place.short_name} is given {results} before its own arguments: "
                f"{_called_wrong(place, task)}",
                f"{place.short_name}.si(…), which is not given it",
                task=place.shape.name,
            )


@canvas_rule("CF106", "result-of-nothing")
def result_of_nothing(canvas: Canvas) -> Iterator[Trouble]:
    """A step is given the result of a task that returns nothing.

    Sees: a step that takes the result of the one task before it, whose function has no `return`
    with a value. It must need the argument: a parameter without a default, whose name does not
    start with an underscore. A function without source, with decorators, or with a body of `pass`
    alone is not judged.

    Why: the step runs and is given None. If its own arguments leave no gap, they have moved by one
    place.

    Celery: `canvas.py:Signature._merge` puts the result first, None or not.

    Repair: return something; or write `.si()` if the step only has to come later.

    Bad:
        notify.s("starting") | fetch.s()

    Good:
        notify.s("starting") | fetch.si("a")
    """
    for place in canvas.tasks:
        if place.role in ("errback", "body") or place.shape.immutable:
            continue
        if place.given != 1 or len(place.before) != 1 or not place.before[0].is_task:
            continue
        task, before = (canvas.app.task(each.shape.name) for each in (place, place.before[0]))
        if task is None or before is None or _called_wrong(place, task):
            continue
        if _needs_first(task) and ends_with_nothing(before):
            yield Trouble(
                place.path,
                f"{place.short_name} is given what {place.before[0].short_name} returns, "
                "and that is always None",
                f"{place.short_name}.si(…), or return a value",
                task=place.shape.name,
            )


def misfit(task: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """Say why a task cannot be called so, in Python's words; None if it can."""
    signature = _signature(task)
    if signature is None:
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return f"({_listed(args, kwargs)}): {error}"
    return None


def _called_wrong(place: Place, task: Any) -> str | None:
    """Say why the call as Celery makes it does not fit."""
    given = 0 if place.shape.immutable else place.given
    kwargs = {**place.shape.kwargs, **dict.fromkeys(place.keywords, _RESULT)}
    if given is not None:
        return misfit(task, (*(_RESULT,) * given, *place.shape.args), kwargs)
    signature = _signature(task)
    if signature is None:
        return None
    try:
        signature.bind_partial(*place.shape.args, **kwargs)
    except TypeError as error:
        return f"({_listed(place.shape.args, kwargs)}): {error}"
    return None


def _takes_no_result(place: Place, task: Any) -> bool:
    return (
        bool(place.given)
        and not place.shape.immutable
        and _called_wrong(place, task) is not None
        and misfit(task, place.shape.args, place.shape.kwargs) is None
    )


def _items_that_do_not_fit(place: Place, task: Any) -> Iterator[Trouble]:
    for index, item in enumerate(place.shape.items):
        args = (item,) if place.shape.kind == "map" else item
        if not isinstance(args, list | tuple):
            continue
        wrong = misfit(task, tuple(args), {})
        if wrong:
            yield Trouble(
                f"{place.path}.items[{index}]",
                f"{place.short_name}{wrong}",
                f"the function is {place.short_name}{_signature(task)}",
                task=place.shape.name,
            )
            return


def _needs_first(task: Any) -> bool:
    signature = _signature(task)
    for parameter in signature.parameters.values() if signature else ():
        return (
            parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            and parameter.default is parameter.empty
            and not parameter.name.startswith("_")
        )
    return False


def _signature(task: Any) -> inspect.Signature | None:
    return _signature_of(task.run)


@lru_cache(maxsize=4096)
def _signature_of(run: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(run)
    except (TypeError, ValueError):  # a callable written in C
        return None


class Given:
    """Stands for an argument that Celery will give."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return f"<{self.what}>"


_RESULT = Given("result")
_MOST = 40


def _listed(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    shown = [repr(each) for each in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
    return ", ".join(each if len(each) <= _MOST else f"{each[: _MOST - 1]}…" for each in shown)
