"""How a broker treats messages: priority, the place of one given back, visibility.

The three are plain values, read off kombu 5.3 to 5.7 (`kombu/transport/redis.py`:
``priority_steps``, ``QoS.restore_visible``, ``Channel._restore``) and RabbitMQ's
documentation of priority queues. What is not modelled: persistence, dead-letter exchanges,
``x-message-ttl``, quorum queues.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["MEMORY", "RABBITMQ", "REDIS", "SEMANTICS", "Semantics", "semantics_of"]


@dataclass(frozen=True, slots=True)
class Semantics:
    """The habits of one kind of broker.

    Attributes:
        name: What a user writes: ``"redis"``, ``"rabbitmq"`` or ``"memory"``.
        driver_type: What kombu's transport of it calls itself; Celery branches on this.
        keeps_tag: A message given back keeps its delivery tag (Redis), so that a late
            acknowledgement of the first delivery also settles the second.
        visibility: Unacknowledged messages are given back after ``visibility_timeout``.
    """

    name: str
    driver_type: str
    keeps_tag: bool = False
    visibility: bool = False

    def level(
        self, priority: int | None, queue_arguments: Mapping[str, Any], steps: Sequence[int]
    ) -> int:
        """The rank of a message in its queue; the smallest is delivered first."""
        value = 0 if priority is None else int(priority)
        if self.name == "redis":
            return max(bisect_right(steps, value) - 1, 0)
        if self.name == "rabbitmq":
            ceiling = queue_arguments.get("x-max-priority")
            return 0 if ceiling is None else -min(value, int(ceiling))
        return -min(max(value, 0), 9)


REDIS = Semantics("redis", "redis", keeps_tag=True, visibility=True)
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
