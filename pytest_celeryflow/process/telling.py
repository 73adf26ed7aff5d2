"""In the worker: tells the test what happens to tasks.

From the processes of the pool: what Celery's signals say (`task_signals`), with real arguments and
results; what the result store has taken; and errbacks that Celery calls in place. From the main
process: what the signals say there; and, around the pool's callbacks, that a task was given to the
pool, was accepted, is over, met a time limit or lost its process (`billiard/pool.py:ApplyResult`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.concurrency.prefork import TaskPool
from celery.exceptions import TimeLimitExceeded
from celery.worker.consumer import Consumer
from celery.worker.request import Request

from pytest_celeryflow.faults import CrashPoint
from pytest_celeryflow.process.questions import Interest, Questions
from pytest_celeryflow.process.values import packed
from pytest_celeryflow.task_signals import TaskSignals

__all__ = ["Telling"]


class Telling(TaskSignals):
    """What the processes of one worker say.

    Args:
        app: The user's app.
        questions: The way to the test.
        reach: Called where something can go wrong in the main process.
    """

    def __init__(
        self, app: Celery, questions: Questions, reach: Callable[[CrashPoint, str, str], None]
    ) -> None:
        super().__init__(app)
        self._questions, self._reach = questions, reach
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
        self.connect()
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

    # --- what the signals say ---

    def heard_received(self, task: str, id: str) -> None:  # noqa: A002 - Celery's own word
        """See `TaskSignals`."""
        self._questions.tell("received", task=task, id=id)
        self._reach(CrashPoint.RECEIVED, task, id)

    def heard_start(self, task: str, id: str, **details: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        if self.in_pool:
            self.job = id
            if self._questions.wanted(Interest.POINT):
                self._questions.ask("begin", id=id)
        values = {name: packed(details.pop(name)) for name in ("args", "kwargs")}
        self._questions.tell("started", task=task, id=id, **values, **details)

    def heard_outcome(self, kind: str, task: str, id: str, **details: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        values = {name: packed(value) for name, value in details.items()}
        self._questions.tell("outcome", kind=kind, task=task, id=id, details=values)

    def heard_return(self, task: str, id: str, state: str | None, returned: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        error = packed(returned) if state in ("IGNORED", "REJECTED") else None
        self._questions.tell("ended", task=task, id=id, state=state, error=error)

    def heard_note(self, kind: str, task: Any, id: Any, **details: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        self._questions.tell("noted", kind=kind, task=task, id=id, **details)

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
