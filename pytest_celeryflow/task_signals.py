"""What Celery's signals say of an app's tasks, in the words of the history.

The signals as Celery 5.4 to 5.7 sends them: ``task_received`` from `celery/worker/strategy.py`;
``task_prerun``, ``task_postrun``, ``task_success``, ``task_failure`` and ``task_retry`` from
`celery/app/trace.py`, and the last two for what the worker's own process finds out, from
`celery/worker/request.py`; ``task_revoked``, ``task_unknown`` and ``task_rejected`` from the worker.
Publications are not among them: signals do not tell a message's queue or its priority.

Who hears them is a subclass: the recorder beside them (`listening`), or, in a worker's process, the
way to the test (`process.telling`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from celery import Celery, signals

__all__ = ["TaskSignals"]


class TaskSignals(ABC):
    """Hears of the tasks of one app, for as long as it is connected.

    Args:
        app: The app; the tasks of others are not heard of.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connected: list[tuple[Any, Callable[..., None]]] = []

    def connect(self) -> None:
        """Begin to hear."""
        self._connected = [
            (signals.task_received, self._on_received),
            (signals.task_prerun, self._on_prerun),
            (signals.task_postrun, self._on_postrun),
            (signals.task_success, self._on_success),
            (signals.task_failure, self._on_failure),
            (signals.task_retry, self._on_retry),
            (signals.task_revoked, self._on_revoked),
            (signals.task_unknown, self._on_unknown),
            (signals.task_rejected, self._on_rejected),
        ]
        for signal, handler in self._connected:
            signal.connect(handler, weak=False, dispatch_uid=(id(self), handler.__name__))

    def disconnect(self) -> None:
        """Hear no more."""
        for signal, handler in self._connected:
            signal.disconnect(dispatch_uid=(id(self), handler.__name__))
        self._connected = []

    # --- what is heard ---

    @abstractmethod
    def heard_received(self, task: str, id: str) -> None:  # noqa: A002 - Celery's own word
        """A worker has taken a message."""

    @abstractmethod
    def heard_start(self, task: str, id: str, **details: Any) -> None:  # noqa: A002
        """A body is about to run.

        Args:
            task: Name of the task.
            id: Its id.
            details: ``args``, ``kwargs``, ``retries``, ``redelivered``, ``parent``, ``root``.
        """

    @abstractmethod
    def heard_outcome(self, kind: str, task: str, id: str, **details: Any) -> None:  # noqa: A002
        """How an execution ended: ``succeeded``, ``failed``, ``retried`` or ``revoked``."""

    @abstractmethod
    def heard_return(self, task: str, id: str, state: str | None, returned: Any) -> None:  # noqa: A002
        """The tracer is done with an execution, and this is its state.

        ``IGNORED`` and ``REJECTED`` have no signal of their own; what they were raised with is
        what has returned.
        """

    @abstractmethod
    def heard_note(self, kind: str, task: Any, id: Any, **details: Any) -> None:  # noqa: A002
        """What became of a message that was never executed: ``expired`` or ``rejected``."""

    # --- the signals ---

    def _concerns(self, sender: Any) -> bool:
        return getattr(sender, "app", None) is self._app

    def _on_received(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        if self._concerns(sender):
            self.heard_received(request.name, request.id)

    def _on_prerun(
        self, sender: Any, task_id: str, args: Any = (), kwargs: Any = None, **_: Any
    ) -> None:
        if not self._concerns(sender):
            return
        request = sender.request
        info = request.delivery_info or {}
        self.heard_start(
            sender.name,
            task_id,
            args=tuple(args or ()),
            kwargs=dict(kwargs or {}),
            retries=request.retries or 0,
            redelivered=bool(info.get("redelivered")),
            parent=request.parent_id,
            root=request.root_id,
        )

    def _on_postrun(
        self, sender: Any, task_id: str, state: str | None = None, retval: Any = None, **_: Any
    ) -> None:
        if self._concerns(sender):
            self.heard_return(sender.name, task_id, state, retval)

    def _on_success(self, sender: Any, result: Any = None, **_: Any) -> None:
        if self._concerns(sender):
            self.heard_outcome("succeeded", sender.name, sender.request.id, result=result)

    def _on_failure(self, sender: Any, task_id: str, exception: Any = None, **_: Any) -> None:
        if self._concerns(sender):
            self.heard_outcome("failed", sender.name, task_id, error=exception)

    def _on_retry(self, sender: Any, request: Any = None, reason: Any = None, **_: Any) -> None:
        if not self._concerns(sender):
            return
        details = {"error": getattr(reason, "exc", None)}
        when = getattr(reason, "when", None)
        if isinstance(when, int | float):
            details["countdown"] = when
        self.heard_outcome("retried", sender.name, request.id, **details)

    def _on_revoked(
        self,
        sender: Any,
        request: Any = None,
        terminated: bool = False,
        expired: bool = False,
        **_: Any,
    ) -> None:
        if not self._concerns(sender):
            return
        if expired:
            self.heard_note("expired", sender.name, request.id)
        else:
            self.heard_outcome("revoked", sender.name, request.id, terminated=bool(terminated))

    def _on_unknown(self, sender: Any = None, name: Any = None, id: Any = None, **_: Any) -> None:  # noqa: A002
        if self._concerns(sender):
            self.heard_note("rejected", name, id, reason="no such task is registered in the worker")

    def _on_rejected(
        self, sender: Any = None, message: Any = None, exc: Any = None, **_: Any
    ) -> None:
        if self._concerns(sender):
            headers = getattr(message, "headers", None) or {}
            reason = str(exc) if exc is not None else "not a task message"
            self.heard_note("rejected", headers.get("task"), headers.get("id"), reason=reason)
