"""Errbacks that Celery calls in place, in the history like any other task.

An errback that takes ``(request, exc, traceback)`` is not published: the worker, or the task
that fails, calls its signature as a function
(`celery/backends/base.py:Backend._call_task_errbacks`). There is no message and no signal,
so that a test would look for it in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from celery import Celery
from celery.app.task import Context
from celery.backends.base import Backend
from celery.canvas import Signature
from celery.utils.threads import get_ident

__all__ = ["errbacks_recorded"]


class Calls(Protocol):
    """Who is told: the recorder, or whoever tells it from another process."""

    def called_in_place(
        self, errback: Any, failed: str, call: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Call an errback, and record it; what it returns."""


@contextmanager
def errbacks_recorded(app: Celery, recorder: Calls) -> Iterator[None]:
    """Record what an app's backends call in place when a task fails.

    Each thread can have a backend of its own (`Celery.backend`), so the class is changed.
    """
    call_errbacks, call = Backend._call_task_errbacks, Signature.__call__
    failing: dict[Any, str] = {}

    def call_task_errbacks(self: Any, request: Any, exc: Any, traceback: Any) -> Any:
        if self.app is not app:
            return call_errbacks(self, request, exc, traceback)
        me = get_ident()
        outer = failing.get(me)
        failing[me] = request.id
        try:
            return call_errbacks(self, request, exc, traceback)
        finally:
            if outer is None:
                failing.pop(me, None)
            else:
                failing[me] = outer

    def call_signature(self: Any, *args: Any, **kwargs: Any) -> Any:
        me = get_ident()
        failed = failing.get(me)
        if failed is None or self.app is not app or not isinstance(args[0], Context):
            return call(self, *args, **kwargs)
        del failing[me]  # what the errback itself calls is its own affair
        try:
            return recorder.called_in_place(self, failed, call, args, kwargs)
        finally:
            failing[me] = failed

    Backend._call_task_errbacks = call_task_errbacks
    Signature.__call__ = call_signature
    try:
        yield
    finally:
        Signature.__call__ = call
        Backend._call_task_errbacks = call_errbacks
