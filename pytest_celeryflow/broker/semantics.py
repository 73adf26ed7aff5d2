"""How a broker treats messages: priority, the place of one given back, visibility.

The three are plain values, read off kombu 5.3 to 5.7 (`kombu/transport/redis.py`:
``priority_steps``, ``QoS.reject``, ``QoS.restore_visible``, ``_do_restore_message``) and
RabbitMQ's documentation of priority queues and of "Message Ordering". What is not modelled: persistence, dead-letter exchanges,
``x-message-ttl``, quorum queues.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["MEMORY", "RABBITMQ", "REDIS", "SEMANTICS", "Place", "Semantics", "semantics_of"]

#: Where in its queue a message is put that is given back: before all others, after them, or
#: where it was when it was delivered.
Place = Literal["first", "last", "own"]


@dataclass(frozen=True, slots=True)
class Semantics:
    """The habits of one kind of broker.

    Attributes:
        name: What a user writes: ``"redis"``, ``"rabbitmq"`` or ``"memory"``.
        driver_type: What kombu's transport of it calls itself; Celery branches on this.
        keeps_tag: A message given back keeps its delivery tag (Redis), so that a late
            acknowledgement of the first delivery also settles the second.
        visibility: Unacknowledged messages are given back after ``visibility_timeout``.
        requeued: Place of a message that a consumer rejects with ``requeue=True``.
        restored: Place of one that was unacknowledged when its channel closed, or too long.
    """

    name: str
    driver_type: str
    keeps_tag: bool = False
    visibility: bool = False
    requeued: Place = "own"
    restored: Place = "own"

    def level(
        self, priority: int | None, queue_arguments: Mapping[str, Any], steps: Sequence[int]
    ) -> int:
        """The rank of a message in its queue; the smallest is delivered first."""
        value = 0 if priority is None else int(priority)
        if self.name == "redis":
            # A priority below the first step lands in the last list, as in kombu.
            return (bisect_right(steps, min(max(value, 0), 9)) - 1) % len(steps)
        if self.name == "rabbitmq":
            ceiling = queue_arguments.get("x-max-priority")
            return 0 if ceiling is None else -min(value, int(ceiling))
        return -min(max(value, 0), 9)


REDIS = Semantics(
    "redis", "redis", keeps_tag=True, visibility=True, requeued="last", restored="first"
)
RABBITMQ = Semantics("rabbitmq", "amqp")
MEMORY = Semantics("memory", "memory")

SEMANTICS = {s.name: s for s in (REDIS, RABBITMQ, MEMORY)}

_SCHEMES = {
    "redis": REDIS,
    "rediss": REDIS,
    "sentinel": REDIS,
    "valkey": REDIS,
    "amqp": RABBITMQ,
    "amqps": RABBITMQ,
    "pyamqp": RABBITMQ,
    "librabbitmq": RABBITMQ,
}


def semantics_of(url: str | None) -> Semantics:
    """The semantics that a broker URL names; ``memory`` for one that is not modelled."""
    scheme = (url or "").split(";")[0].partition("://")[0].split("+")[0].lower()
    return _SCHEMES.get(scheme, MEMORY)
