"""Rules about callbacks and errbacks: how Celery calls them, and how often.

Relies on `celery/backends/base.py:Backend._call_task_errbacks`, which calls an errback in one of
two ways. One that takes more than one argument is called in the worker of the task that failed,
as a function, with the request, the exception and the traceback before its own arguments. Any
other, and one with `bind=True`, is published as a task, with the id of the task that failed. Of
`failed.s("x")` with `def failed(task_id, what)`, 5.7 counts one argument, and earlier versions two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from celery.backends.base import Backend
from celery.utils.functional import arity_greater

from pytest_celeryflow.lint._canvas import Canvas, Place
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import canvas_rule
from pytest_celeryflow.lint.rules.calls import Given, misfit

__all__ = [
    "callback_of_the_first_member",
    "errback_for_each_member",
    "errback_is_called_wrong",
    "errback_options_are_ignored",
]

_ID = (Given("task id"),)
_FAILURE = (Given("request"), Given("exception"), Given("traceback"))


@canvas_rule("CF118", "errback-is-called-wrong")
def errback_is_called_wrong(canvas: Canvas) -> Iterator[Trouble]:
    """An errback cannot be called with what Celery gives it.

    Sees: an errback whose function takes neither the id of the task that failed nor, if it takes
    more than one argument, the request, the exception and the traceback; before its own arguments,
    unless it is immutable. Which of the two it takes is decided by the number of its arguments;
    those that the signature brings itself are counted before 5.7, and are not from then on.

    Why: when something fails, so does the errback. If it should have been published, its
    TypeError takes the place of the error that it was to report, in all versions; if it was called
    as a function, 5.7 logs the TypeError, and 5.4 lets it out of the tracer, so that the worker
    calls the errback once more.

    Celery: `backends/base.py:Backend._call_task_errbacks`.

    Repair: write `def failed(request, exc, traceback)`, or `def failed(task_id)`, with the errback's
    own arguments behind; or `.si()`.

    Bad:
        @app.task
        def failed(exc, traceback):
            pass

        fetch.s("a").on_error(failed.s())

    Good:
        @app.task
        def failed(request, exc, traceback):
            pass

        fetch.s("a").on_error(failed.s())
    """
    for place, task in _errbacks(canvas):
        shape = place.shape
        given = _FAILURE if _is_called_in_place(place, task) else _ID
        wrong = misfit(task, (*(() if shape.immutable else given), *shape.args), shape.kwargs)
        if wrong:
            yield Trouble(
                place.path,
                f"Celery calls {place.short_name}{wrong}",
                "take (request, exc, traceback, …) or (task_id), or write .si(…)",
                task=shape.name,
            )


@canvas_rule("CF119", "errback-options-are-ignored")
def errback_options_are_ignored(canvas: Canvas) -> Iterator[Trouble]:
    """An errback that is called as a function has options, or retries.

    Sees: an errback that takes more than one argument, and has options such as `queue` or
    `countdown`, or a task with `autoretry_for`.

    Why: it runs at once, in the worker where the task failed: it is not routed, not delayed, not
    retried, and no result is stored.

    Celery: `backends/base.py:Backend._call_task_errbacks` calls `errback(request, exc, traceback)`,
    which is `canvas.py:Signature.__call__`; options are dropped there, and `Task.retry` raises the
    original exception.

    Repair: let the errback publish a task that does the work; or take the id alone, `(task_id)`: then
    it is published, with its options.

    Bad:
        @app.task
        def failed(request, exc, traceback):
            pass

        fetch.s("a").on_error(failed.s().set(queue="alerts"))

    Good:
        @app.task
        def failed(task_id):
            pass

        fetch.s("a").on_error(failed.s().set(queue="alerts"))
    """
    for place, task in _errbacks(canvas):
        if not _is_called_in_place(place, task):
            continue
        lost = [f"its option {name}" for name in place.shape.options]
        if getattr(task, "autoretry_for", ()):
            lost.append("its autoretry_for")
        if lost:
            yield Trouble(
                place.path,
                f"{place.short_name} is called as a function: {', '.join(lost)} has no effect",
                "let it publish a task, or take (task_id) alone",
                task=place.shape.name,
            )


@canvas_rule("CF120", "errback-for-each-member")
def errback_for_each_member(canvas: Canvas) -> Iterator[Trouble]:
    """An errback of a group is called for each member that fails.

    Sees: a group, not the header of a chord, whose two or more members all have the same errback,
    as `group(…).on_error(…)` leaves it.

    Why: three members that fail call it three times: three alerts, or three compensations.
    Nothing tells that the group as a whole has failed.

    Celery: `canvas.py:group.link_error` links the errback to every member, and says so.

    Repair: give the group a step after it, which makes a chord, and the errback to that: it is called
    once, when something in the header failed. Or silence the rule if the errback may be called often.

    Bad:
        @app.task
        def failed(request, exc, traceback):
            pass

        group(fetch.s("a"), fetch.s("b")).on_error(failed.s())

    Good:
        @app.task
        def failed(request, exc, traceback):
            pass

        chord([fetch.s("a"), fetch.s("b")], publish.s().on_error(failed.s()))
    """
    for place in canvas.places:
        members = place.shape.children
        if place.shape.kind != "group" or place.becomes_header or len(members) < 2:  # noqa: PLR2004
            continue
        for errback in members[0].errbacks:
            if all(errback in member.errbacks for member in members[1:]):
                name = errback.name.rpartition(".")[2]
                yield Trouble(
                    place.path,
                    f"{name} is called once for each of the {len(members)} members that fails",
                    "put a step after the group and the errback on that",
                    task=errback.name,
                )


@canvas_rule("CF121", "callback-of-the-first-member")
def callback_of_the_first_member(canvas: Canvas) -> Iterator[Trouble]:
    """A callback of a group belongs to its first member alone.

    Sees: a group of two or more whose first member alone has an immutable callback, as
    `group(…).link(…)` leaves it.

    Why: it is called when that one member has succeeded, whatever the others do, and is given no
    result.

    Celery: `canvas.py:group.link` clones the callback, makes it immutable and links it to the first
    task, and says that this is misleading.

    Repair: a step after the group is called when all have succeeded, with the list of results.

    Bad:
        sizes = group(fetch.s("a"), fetch.s("b"))
        sizes.link(notify.s("done"))
        sizes

    Good:
        group(fetch.s("a"), fetch.s("b")) | notify.s()
    """
    for place in canvas.places:
        if place.shape.kind != "group" or len(place.shape.children) < 2:  # noqa: PLR2004
            continue
        first, *others = place.shape.children
        for link in first.links:
            if link.immutable and not any(link in other.links for other in others):
                name = link.name.rpartition(".")[2]
                yield Trouble(
                    place.path,
                    f"{name} is called when the first member is done, not the group",
                    f"group(…) | {name}.s()",
                    task=link.name,
                )


def _errbacks(canvas: Canvas) -> Iterator[tuple[Place, Any]]:
    for place in canvas.places:
        if place.role == "errback" and place.is_task:
            task = canvas.app.task(place.shape.name)
            if task is not None:
                yield place, task


def _is_called_in_place(place: Place, task: Any) -> bool:
    """Decide as Celery does, by its own code where that has a name.

    5.7 counts the arguments that the errback does not bring itself; before, all of them count.
    """
    header = getattr(task, "__header__", None)
    if header is None or isinstance(header, partial):
        return False
    if not hasattr(Backend, "_errback_arity_greater"):
        return bool(arity_greater(header, 1))
    shape = place.shape
    errback = SimpleNamespace(
        type=task, immutable=shape.immutable, args=shape.args, kwargs=shape.kwargs
    )
    return bool(Backend._errback_arity_greater(None, errback, 1))
