"""In the worker: tells the test what happens to tasks.

From the processes of the pool: ``task_prerun``, ``task_postrun``, ``task_success``,
``task_failure`` and ``task_retry`` (`celery/app/trace.py`), with real arguments and results;
what the result store has taken; and errbacks that Celery calls in place. From the main
process: ``task_received``, ``task_revoked``, ``task_unknown``, ``task_rejected`` and what it
finds out itself (``task_failure``, ``task_retry`` of `celery/worker/request.py`); and, around
the pool's callbacks, that a task was given to the pool, was accepted, is over, met a time
limit or lost its process (`billiard/pool.py:ApplyResult`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery, signals
from celery.concurrency.prefork import TaskPool
from celery.exceptions import TimeLimitExceeded
from celery.worker.consumer import Consumer
from celery.worker.request import Request

from pytest_celeryflow.faults import CrashPoint
from pytest_celeryflow.process.questions import Interest, Questions
from pytest_celeryflow.process.values import packed

__all__ = ["Telling"]


class Telling:
    """What the processes of one worker say.

    Args:
        app: The user's app.
        questions: The way to the test.
        reach: Called where something can go wrong in the main process.
    """

    def __init__(
        self, app: Celery, questions: Questions, reach: Callable[[CrashPoint, str, str], None]
    ) -> None:
        self._app, self._questions, self._reach = app, questions, reach
        self._main = os.getpid()
        #: Id of the task whose job this process carries out.
        self.job: str | None = None
        questions.carried = lambda: self.job

    @property
    def in_pool(self) -> bool:
        """Whether this is a process of the pool."""
        return os.getpid() != self._main

    def install(self) -> None:
        """Begin to tell."""
        for signal, handler in (
            (signals.task_received, self._on_received),
            (signals.task_prerun, self._on_prerun),
            (signals.task_postrun, self._on_postrun),
            (signals.task_success, self._on_success),
            (signals.task_failure, self._on_failure),
            (signals.task_retry, self._on_retry),
            (signals.task_revoked, self._on_revoked),
            (signals.task_unknown, self._on_unknown),
            (signals.task_rejected, self._on_rejected),
        ):
            signal.connect(handler, weak=False)
        apply_async = TaskPool.apply_async

        def told(pool: Any, target: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            if options.get("correlation_id"):
                options = self._followed(args[0], options)
            return apply_async(pool, target, args, kwargs, **options)

        TaskPool.apply_async = told
        # The message is settled first, and the rest follows: the result, the signal.
        self._count(Request, "_announce_revoked", lambda request, *_: (request.name, request.id))
        self._count(Consumer, "on_unknown_task", lambda _, body, message, *__: _named(body, message))

    def _count(self, owner: Any, name: str, about: Callable[..., tuple[Any, Any]]) -> None:
        """Let what the main process does with a task count as under way."""
        method = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            task, id_ = about(*args)
            if id_ is None:
                return method(*args, **kwargs)
            self._questions.tell("job", task=task, id=id_)
            outer, self.job = self.job, id_
            try:
                return method(*args, **kwargs)
            finally:
                self.job = outer
                self._questions.tell("over", task=task, id=id_)

        setattr(owner, name, counted)

    def _mine(self, sender: Any) -> bool:
        return getattr(sender, "app", None) is self._app

    # --- signals ---

    def _on_received(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        if self._mine(sender):
            self._questions.tell("received", task=request.name, id=request.id)
            self._reach(CrashPoint.RECEIVED, request.name, request.id)

    def _on_prerun(
        self, sender: Any, task_id: str, args: Any = (), kwargs: Any = None, **_: Any
    ) -> None:
        if not self._mine(sender):
            return
        if self.in_pool:
            self.job = task_id
            if self._questions.wanted(Interest.POINT):
                self._questions.ask("begin", id=task_id)
        request = sender.request
        info = request.delivery_info or {}
        self._questions.tell(
            "started",
            task=sender.name,
            id=task_id,
            args=packed(tuple(args or ())),
            kwargs=packed(dict(kwargs or {})),
            retries=request.retries or 0,
            redelivered=bool(info.get("redelivered")),
            parent=request.parent_id,
            root=request.root_id,
        )

    def _on_postrun(self, sender: Any, task_id: str, state: Any = None, **more: Any) -> None:
        if self._mine(sender):
            error = packed(more.get("retval")) if state in ("IGNORED", "REJECTED") else None
            self._questions.tell("ended", task=sender.name, id=task_id, state=state, error=error)

    def _on_success(self, sender: Any, result: Any = None, **_: Any) -> None:
        if self._mine(sender):
            self._outcome("succeeded", sender.name, sender.request.id, result=packed(result))

    def _on_failure(self, sender: Any, task_id: str, exception: Any = None, **_: Any) -> None:
        if self._mine(sender):
            self._outcome("failed", sender.name, task_id, error=packed(exception))

    def _on_retry(self, sender: Any, request: Any = None, reason: Any = None, **_: Any) -> None:
        if not self._mine(sender):
            return
        details = {"error": packed(getattr(reason, "exc", None))}
        when = getattr(reason, "when", None)
        if isinstance(when, int | float):
            details["countdown"] = packed(when)
        self._outcome("retried", sender.name, request.id, **details)

    def _on_revoked(
        self,
        sender: Any,
        request: Any = None,
        terminated: bool = False,
        expired: bool = False,
        **_: Any,
    ) -> None:
        if not self._mine(sender):
            return
        if expired:
            self._questions.tell("noted", kind="expired", task=sender.name, id=request.id)
        else:
            ended = packed(bool(terminated))
            self._outcome("revoked", sender.name, request.id, terminated=ended)

    def _on_unknown(self, sender: Any = None, name: Any = None, id: Any = None, **_: Any) -> None:  # noqa: A002
        if self._mine(sender):
            reason = "no such task is registered in the worker"
            self._questions.tell("noted", kind="rejected", task=name, id=id, reason=reason)

    def _on_rejected(
        self, sender: Any = None, message: Any = None, exc: Any = None, **_: Any
    ) -> None:
        if self._mine(sender):
            headers = getattr(message, "headers", None) or {}
            reason = str(exc) if exc is not None else "not a task message"
            about = {"task": headers.get("task"), "id": headers.get("id")}
            self._questions.tell("noted", kind="rejected", reason=reason, **about)

    def _outcome(self, kind: str, task: str, id: str, **details: Any) -> None:  # noqa: A002
        self._questions.tell("outcome", kind=kind, task=task, id=id, details=details)

    # --- the pool ---

    def _followed(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """The callbacks of a job, with what they mean told before and after."""
        id_ = options["correlation_id"]
        late = bool(self._app.tasks[name].acks_late)
        about = {"task": name, "id": id_}
        self._questions.tell("job", **about)
        hard = False

        def carried(callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            outer, self.job = self.job, id_
            try:
                return callback(*args, **kwargs)
            finally:
                self.job = outer

        def accepted(pid: int, when: float) -> None:
            self._reach(CrashPoint.BEFORE_ACK, name, id_)
            options["accept_callback"](pid, when)
            self._questions.tell("accepted", late=late, process=pid, **about)

        def over(callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
            try:
                carried(callback, *args, **kwargs)
            finally:
                self._questions.tell("over", **about)

        def succeeded(result: Any) -> None:
            if late:
                self._reach(CrashPoint.BEFORE_LATE_ACK, name, id_)
            over(options["callback"], result)

        def failed(info: Any) -> None:
            nonlocal hard
            exc = getattr(info, "exception", None)
            exc = getattr(exc, "exc", exc)  # as `Request.on_failure` unwraps it
            if isinstance(exc, TimeLimitExceeded):
                hard = True
                self._questions.tell("limit", limit="hard", seconds=exc.args[0], **about)
                carried(options["error_callback"], info)
                return
            if isinstance(exc, WorkerLostError):
                self._questions.tell("lost", reason=str(exc).partition(" Job:")[0], **about)
            over(options["error_callback"], info)

        def timed_out(soft: bool, timeout: float) -> None:
            if soft:
                self._questions.tell("limit", limit="soft", seconds=timeout, **about)
            if hard and not soft:
                over(options["timeout_callback"], soft=soft, timeout=timeout)
            else:
                carried(options["timeout_callback"], soft=soft, timeout=timeout)

        return {
            **options,
            "accept_callback": accepted,
            "callback": succeeded,
            "error_callback": failed,
            "timeout_callback": timed_out,
        }

    # --- errbacks that are called in place (`errbacks.errbacks_recorded`) ---

    def called_in_place(
        self, errback: Any, failed: str, call: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Call an errback that is called as a function, and tell of it; what it returns."""
        request, exc, _, *more = args
        about = {"task": errback.task, "failed": failed}
        self._questions.tell(
            "errback_began",
            exc=packed(exc),
            more=packed(tuple(more)),
            kwargs=packed(dict(kwargs)),
            root=request.root_id,
            **about,
        )
        try:
            result = call(errback, *args, **kwargs)
        except Exception as error:
            self._questions.tell("errback_ended", kind="failed", error=packed(error), **about)
            raise
        self._questions.tell("errback_ended", kind="succeeded", result=packed(result), **about)
        return result


def _named(body: Any, message: Any) -> tuple[Any, Any]:
    """Name and id of the task in a message; protocol 1 has them in the body."""
    headers = message.headers or {}
    told = headers if "id" in headers else (body if isinstance(body, dict) else {})
    return told.get("task"), told.get("id")
