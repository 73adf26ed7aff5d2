"""One message, as a broker keeps it: what kombu wrote, and what has become of it since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Alarm", "Raw", "Stored"]

#: A message as kombu's virtual channel writes it.
Raw = dict[str, Any]


class Alarm(Protocol):
    """Something that will happen unless it is cancelled."""

    def cancel(self) -> None:
        """Let it not happen."""


@dataclass(slots=True, eq=False)
class Stored:
    """One message in the broker.

    Attributes:
        raw: The message as kombu's virtual channel writes it; never changed once stored.
        queue: The queue that it was put into.
        number: Position in the order of publication, over all queues.
        level: Rank within the queue, the smallest first.
        redelivered: Whether it was delivered before.
        alarm: What will give it back unless it is acknowledged before.
        told: Name and id of the task, where a watcher had to look into the body for them.
        forgotten: It is out, and an acknowledgement of its twin has settled it as well.
        orphaned: It is out, and whoever had it is gone.
    """

    raw: Raw
    queue: str
    number: int
    level: int = 0
    redelivered: bool = False
    alarm: Alarm | None = None
    told: tuple[str, str] | None = None
    forgotten: bool = False
    orphaned: bool = False

    @property
    def headers(self) -> dict[str, Any]:
        """The message's headers; a task message has ``task`` and ``id`` among them."""
        return self.raw.get("headers") or {}

    @property
    def task(self) -> str | None:
        """Name of the task, or ``None`` for a message that is not a task."""
        return self._identity[0]

    @property
    def task_id(self) -> str | None:
        """Celery's task id, or ``None`` for a message that is not a task."""
        return self._identity[1]

    @property
    def _identity(self) -> tuple[str | None, str | None]:
        """Protocol 2 has them in the headers, protocol 1 in the body, where a watcher looks."""
        if self.told is not None:
            return self.told
        headers = self.headers
        return (headers["task"], headers.get("id")) if "task" in headers else (None, None)

    @property
    def tag(self) -> str:
        """The delivery tag."""
        return str(self.raw["properties"]["delivery_tag"])

    def calm(self) -> None:
        """The delivery is over: nothing has to give the message back any more."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None

    def copy(self, tag: str) -> Raw:
        """The message for one delivery: the consumer may change it."""
        properties = self.raw["properties"]
        info = {**properties.get("delivery_info", {}), "redelivered": self.redelivered}
        return {
            **self.raw,
            "headers": dict(self.headers),
            "properties": {**properties, "delivery_tag": tag, "delivery_info": info},
        }
