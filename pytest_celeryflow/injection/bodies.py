"""Changes what a task's body does, where Celery's tracer finds it.

The body is `Task.run`, or what ``autoretry_for`` wraps (`celery/app/autoretry.py` keeps it
in ``_orig_run``), and the tracer that a worker built before keeps it in a closure
(`celery/app/trace.py:build_tracer`). Everything around the body stays: serialisation,
retries, callbacks, chords.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from celery.app.trace import build_tracer

from pytest_celeryflow.faults import Delay, Fail, Fault, Hang
from pytest_celeryflow.recorder import Recorder

__all__ = ["Bodies", "Wrapper", "at_the_start", "troubled"]

#: Called with the body and its arguments in place of the body.
Wrapper = Callable[..., Any]


class Bodies:
    """The bodies of an app's tasks, with what is laid around them, the latest outermost."""

    def __init__(self) -> None:
        self._around: dict[str, tuple[Wrapper, ...]] = {}
        self._undo: dict[str, Callable[[], None]] = {}

    @contextmanager
    def wrapped(self, task: Any, wrapper: Wrapper) -> Iterator[None]:
        """Lay a wrapper around a task's body, and take it off again.

        Several may come and go in any order; with the last of them the task is as it was.
        """
        name = task.name
        if name not in self._undo:
            self._undo[name] = self._install(task)
        self._around[name] = (*self._around.get(name, ()), wrapper)
        try:
            yield
        finally:
            self._around[name] = tuple(w for w in self._around[name] if w is not wrapper)
            if not self._around[name]:
                self._undo.pop(name)()

    def _install(self, task: Any) -> Callable[[], None]:
        body = "_orig_run" if hasattr(task, "_orig_run") else "run"
        original, around, name = getattr(task, body), self._around, task.name
        kept = {key: task.__dict__[key] for key in (body, "__trace__") if key in task.__dict__}

        def run(*args: Any, **kwargs: Any) -> Any:
            call = original
            for wrapper in around[name]:
                call = partial(wrapper, call)
            return call(*args, **kwargs)

        def undo() -> None:
            for key in (body, "__trace__"):
                task.__dict__.pop(key, None)
            task.__dict__.update(kept)

        setattr(task, body, run)
        if "__trace__" in kept:
            task.__trace__ = build_tracer(name, task, task.app.loader, app=task.app)
        return undo


def at_the_start(act: Callable[[], None], body: Callable[[], Any]) -> Any:
    """Do something to a body where nothing can be done inside it."""
    act()
    return body()


@contextmanager
def troubled(
    bodies: Bodies,
    task: Any,
    fault: Fault,
    recorder: Recorder,
    *,
    inside: Callable[[Callable[[], None], Callable[[], Any]], Any] = at_the_start,
    hang: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Let a task's body fail, take longer or hang.

    Args:
        bodies: The app's.
        task: The task.
        fault: A `Fail`, a `Delay` or a `Hang`.
        recorder: Told when the fault strikes.
        inside: Runs the body, and does something once in the middle of it.
        hang: Waits without end, where a mode can.
    """

    def wait() -> None:
        if isinstance(fault, Delay):
            time.sleep(fault.seconds)
        else:
            assert hang is not None
            hang()

    def wrapper(body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not fault.strikes():
            return body(*args, **kwargs)
        told: dict[str, Any] = {"hang": True} if isinstance(fault, Hang) else {}
        recorder.note("fault", task=task.name, id=task.request.id, reason=str(fault), **told)
        if not isinstance(fault, Fail):
            return inside(wait, partial(body, *args, **kwargs))
        if fault.when == "after":
            body(*args, **kwargs)
        raise fault.exc

    with bodies.wrapped(task, wrapper):
        yield
