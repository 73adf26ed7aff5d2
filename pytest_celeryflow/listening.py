"""The recorder's ears, in the process of the test: what Celery's signals say there is written down."""

from __future__ import annotations

from typing import Any

from celery.utils.threads import get_ident

from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.task_signals import TaskSignals

__all__ = ["Listening"]


class Listening(TaskSignals):
    """Lets a recorder know what happens on this process's threads and greenlets.

    Args:
        recorder: The one that writes it down.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder.app)
        self._recorder = recorder

    def _concerns(self, sender: Any) -> bool:
        return super()._concerns(sender) and get_ident() not in self._recorder.silenced

    def heard_received(self, task: str, id: str) -> None:  # noqa: A002 - Celery's own word
        """See `TaskSignals`."""
        self._recorder.note("received", task=task, id=id)

    def heard_start(self, task: str, id: str, **details: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        self._recorder.began(task, id, get_ident(), self._recorder.where(), **details)

    def heard_outcome(self, kind: str, task: str, id: str, **details: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        self._recorder.ended(kind, task, id, None, **details)

    def heard_return(self, task: str, id: str, state: str | None, returned: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        if state in ("IGNORED", "REJECTED"):
            self._recorder.ended(state.lower(), task, id, None, error=returned)
        self._recorder.left(get_ident())

    def heard_note(self, kind: str, task: Any, id: Any, **details: Any) -> None:  # noqa: A002
        """See `TaskSignals`."""
        self._recorder.note(kind, task=task, id=id, **details)
