"""Two questions that are asked of every workflow: does it survive a crash, does it do things twice."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery
from celery.canvas import Signature

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.explore.explorer import explore
from pytest_celeryflow.explore.result import Exploration
from pytest_celeryflow.flow import Flow

__all__ = ["assert_idempotent", "crash_everywhere"]


def crash_everywhere(
    canvas: Signature, app: Celery | None = None, **options: Any
) -> Exploration:
    """Run a workflow once for each crash point of each of its executions, and crash there.

    The first run has no crash and tells what the workflow gives. Each of the others must give
    the same: nothing lost, nothing that hangs, the same value or the same type of exception.

    Args:
        canvas: The workflow.
        app: Its app; by default the canvas's own.
        options: Further arguments of `explore` and of `simulate`.

    Raises:
        CeleryflowAssertionError: A crash changes what the workflow gives; it says which.
    """
    __tracebackhide__ = True
    given: list[Any] = []

    def body(flow: Flow) -> None:
        run = flow.run(canvas.clone())
        if run.verdict.lost or run.verdict.hung:
            _ = run.value
            raise CeleryflowAssertionError(
                f"lost: {', '.join(run.verdict.lost)}", expected=(), actual=run.verdict.lost
            )
        told = type(run.error) if run.error is not None else run.value
        given.append(told)
        if told != given[0]:
            raise CeleryflowAssertionError(
                f"the workflow gives {told!r}, and without a crash {given[0]!r}",
                expected=given[0],
                actual=told,
            )

    found = explore(body, app or canvas.app, **{"strategy": "crash_points", **options})
    found.check()
    return found


def assert_idempotent(
    canvas: Signature,
    effects: Callable[[], Any],
    *,
    app: Celery | None = None,
    reset: Callable[[], Any] | None = None,
    faults: Sequence[str] = ("crash", "duplicate"),
    **options: Any,
) -> Exploration:
    """Run a workflow once for each crash and each doubled message, and compare its effects.

    Messages are delivered at least once (`task_acks_late`, visibility timeouts, lost
    acknowledgements): whatever a task does outside Celery must then be as if it was done
    once. A run in which a task is lost altogether is left out: that is `crash_everywhere`'s.

    Args:
        canvas: The workflow.
        effects: Tells what it has done so far. A list, dict or set that it returns itself,
            and not a copy, is put back before each run to what it was at first; of a number,
            a list or a `Counter` only what the run adds to it counts.
        app: Its app; by default the canvas's own.
        reset: Called before each run, to bring back the state before the workflow.
        faults: Which faults: ``"crash"``, ``"duplicate"``, ``"delay"``, ``"drop"``.
        options: Further arguments of `explore` and of `simulate`.

    Raises:
        CeleryflowAssertionError: Something was done twice; it says what, and by which fault.
        ValueError: The effects of one run last into the next, and there is no ``reset``.
    """
    __tracebackhide__ = True
    if not callable(effects):
        raise ValueError(f"effects={effects!r} cannot be called: give a function that tells them")
    once: list[Any] = []
    put_back = reset or _put_back(effects)

    def body(flow: Flow) -> None:
        put_back()
        before = copy.deepcopy(effects())
        run = flow.run(canvas.clone())
        if run.verdict.lost or run.verdict.hung:
            return
        done = _added(before, effects())
        once.append(done)
        if once[0] and not done and reset is None:
            raise ValueError(
                "effects: what one run did lasts into the next, so that a second time cannot be "
                "told; give reset=, which brings back the state before the workflow"
            )
        if done != once[0]:
            raise CeleryflowAssertionError(
                f"the workflow is not idempotent: its effects are {done!r}, and without a fault "
                f"{once[0]!r}",
                expected=once[0],
                actual=done,
            )

    told = {"strategy": "crash_points", "faults": faults, **options}
    found = explore(body, app or canvas.app, **told)
    if found.failure is not None and isinstance(found.failure.error, ValueError):
        raise found.failure.error
    found.check()
    return found


def _put_back(effects: Callable[[], Any]) -> Callable[[], None]:
    """What puts a container back to what it is now, if it is the container that is told."""
    held = effects()
    if held is not effects() or not isinstance(held, list | dict | set):
        return lambda: None
    kept = copy.deepcopy(held)

    def put_back() -> None:
        held.clear()
        if isinstance(held, list):
            held.extend(copy.deepcopy(kept))
        else:
            held.update(copy.deepcopy(kept))

    return put_back


def _added(before: Any, after: Any) -> Any:
    """What came to be since, where that can be told; else what there is."""
    if isinstance(before, bool) or type(before) is not type(after):
        return copy.deepcopy(after)
    if isinstance(before, int | float | Counter):
        return after - before
    if isinstance(before, list | tuple) and after[: len(before)] == before:
        return copy.deepcopy(after[len(before) :])
    return copy.deepcopy(after)
