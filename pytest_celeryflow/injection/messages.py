"""Changes what the broker does with a task's messages: loses one, has one twice, forgets an ack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.stored import Stored
from pytest_celeryflow.faults import Drop, Duplicate, Fault, Redeliver
from pytest_celeryflow.recorder import Recorder

__all__ = ["Tampering"]


class Tampering:
    """What goes wrong with the messages of one broker."""

    def __init__(self, broker: Broker, recorder: Recorder) -> None:
        self._recorder = recorder
        self._faults: tuple[Fault, ...] = ()
        #: Asked, under exploration, whether a message is lost or comes twice.
        self.choosing: Any = None
        broker.copies, broker.loses_ack = self._copies, self._loses_ack

    @contextmanager
    def planned(self, fault: Fault) -> Iterator[None]:
        """Let a `Drop`, a `Duplicate` or a `Redeliver` strike meanwhile."""
        self._faults = (*self._faults, fault)
        try:
            yield
        finally:
            self._faults = tuple(f for f in self._faults if f is not fault)

    def _copies(self, message: Stored) -> int:
        if self._struck(Drop, message):
            return 0
        if self._struck(Duplicate, message):
            return 2
        return 1 if self.choosing is None else self._chosen(message)

    def _chosen(self, message: Stored) -> int:
        if message.task is None or message.task.startswith("celery."):
            return 1
        label = self._recorder.label(message.task_id or "", message.task)
        copies = {"drop": 0, "duplicate": 2}
        words = {
            "drop": f"the message of {label} is lost on its way",
            "duplicate": f"the message of {label} comes twice",
        }
        kinds = [kind for kind in copies if kind in self.choosing.faults]
        taken = self.choosing.fault([words[kind] for kind in kinds], label)
        if not taken:
            return 1
        kind = kinds[taken - 1]
        self._recorder.note("fault", task=message.task, id=message.task_id, reason=words[kind])
        return copies[kind]

    def _loses_ack(self, message: Stored) -> bool:
        return self._struck(Redeliver, message)

    def _struck(self, kind: type[Fault], message: Stored) -> bool:
        if message.task is None:
            return False
        for fault in self._faults:
            if isinstance(fault, kind) and fault.concerns(message.task) and fault.strikes():
                self._recorder.note(
                    "fault", task=message.task, id=message.task_id, reason=str(fault)
                )
                return True
        return False
