"""Errbacks that Celery calls in place, in the history like any other task.

An errback that takes ``(request, exc, traceback)`` is not published: the worker, or the task
that fails, calls it as a function (`celery/backends/base.py:Backend._call_task_errbacks`).
There is no message and no signal, so that a test would look for it in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.app.task import Context, Task
from celery.utils.threads import get_ident

from pytest_celeryflow.recorder import Recorder

__all__ = ["errbacks_recorded"]


@contextmanager
def errbacks_recorded(app: Celery, recorder: Recorder) -> Iterator[None]:
    """Record what an app's backend calls in place when a task fails."""
    backend = app.backend
    call_errbacks, call = backend._call_task_errbacks, Task.__call__
    failing: dict[Any, str] = {}

    def call_task_errbacks(request: Any, exc: Any, traceback: Any) -> Any:
        me = get_ident()
        outer = failing.get(me)
        failing[me] = request.id
        try:
            return call_errbacks(request, exc, traceback)
        finally:
            if outer is None:
                failing.pop(me, None)
            else:
                failing[me] = outer

    def call_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        me = get_ident()
        failed = failing.get(me)
        in_place = failed is not None and args and isinstance(args[0], Context)
        if not in_place or self.app is not app:
            return call(self, *args, **kwargs)
        del failing[me]  # what the errback itself calls is its own affair
        try:
            return recorder.called_in_place(self, str(failed), call, args, kwargs)
        finally:
            failing[me] = str(failed)

    backend._call_task_errbacks = call_task_errbacks
    Task.__call__ = call_task
    try:
        yield
    finally:
        Task.__call__ = call
        del backend._call_task_errbacks
