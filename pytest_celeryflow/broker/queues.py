"""Queues of messages as plain data, with who may consume them and who was given what.

Every method is safe to call from several threads. A `Watcher` is told of each change; it is
how the history is written and how waiting consumers are woken. Nothing waits here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from pytest_celeryflow.broker.semantics import Place, Semantics
from pytest_celeryflow.broker.stored import Raw, Stored
from pytest_celeryflow.broker.watching import Watcher

__all__ = ["Broker", "Connection", "Consumer"]

#: Queues of Celery's remote control end so (`kombu/pidbox.py`).
_CONTROL = ".pidbox"

#: Who has a message whose consumer is gone.
_NOBODY = "nobody"


class Consumer(Protocol):
    """Whoever can be given messages: a channel."""

    def can_consume(self) -> bool:
        """Whether its prefetch limit leaves room."""


class Connection(Protocol):
    """A connection that can be broken."""

    def break_off(self) -> None:
        """Break it: whoever uses it finds out."""


@dataclass(slots=True)
class _Queue:
    arguments: dict[str, Any] = field(default_factory=dict)
    levels: dict[int, deque[Stored]] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.levels.values()))

    def __iter__(self) -> Iterator[Stored]:
        for level in sorted(self.levels) if len(self.levels) > 1 else self.levels:
            yield from self.levels[level]


class Broker:
    """Queues, their consumers, and the messages that are out for delivery.

    Args:
        semantics: How to order messages and how to take them back.
        watcher: Told of every change.
        priority_steps: Redis only: the priorities that have a list of their own.
    """

    def __init__(
        self,
        semantics: Semantics,
        watcher: Watcher,
        *,
        priority_steps: tuple[int, ...] = (0, 3, 6, 9),
    ) -> None:
        self.semantics = semantics
        self.watcher = watcher
        self.lock = threading.RLock()
        #: Called after each change, outside of any decision: wakes those who wait.
        self.changed: Callable[[], None] = _nothing
        #: Called with the name of a queue that has a task message and nobody to consume it.
        self.unconsumed: Callable[[str], None] = _ignore
        #: Called with each message that is out and must be acknowledged.
        self.handed_out: Callable[[Stored], None] = _ignore
        #: Deliver from this queue alone (and to remote control), when it is set.
        self.only: str | None = None
        #: How many copies of a message that is published arrive.
        self.copies: Callable[[Stored], int] = _one
        #: Whether the acknowledgement of a message is lost.
        self.loses_ack: Callable[[Stored], bool] = _never
        #: Called when somebody connects or publishes; raises while the broker is away.
        self.reached: Callable[[], None] = _nothing
        #: Whether it cannot be reached now; asking is no attempt.
        self.away: Callable[[], bool] = _there
        #: Connections that are open, oldest first.
        self.connections: dict[Connection, None] = {}
        self._pauses = 0
        self._steps = priority_steps
        self._queues: dict[str, _Queue] = {}
        self._out: dict[tuple[Hashable, str], list[Stored]] = {}
        #: Delivery tag -> messages with that tag, once there is more than one.
        self._twins: dict[str, list[Stored]] = {}
        self._numbers = count(1)
        self._tags = count(1)

    # --- queues ---

    def declare(self, queue: str, arguments: dict[str, Any] | None = None) -> None:
        """Make a queue if it is not there."""
        with self.lock:
            known = self._queues.setdefault(queue, _Queue())
            if arguments:
                known.arguments.update(arguments)

    def has(self, queue: str) -> bool:
        """Whether the queue is there."""
        return queue in self._queues

    def size(self, queue: str) -> int:
        """How many messages wait in the queue."""
        with self.lock:
            return len(self._queues.get(queue, ()))

    def purge(self, queue: str) -> int:
        """Throw away what waits in the queue; the number of messages."""
        with self.lock:
            known = self._queues.get(queue)
            gone = list(known) if known is not None else []
            if known is not None:
                known.levels.clear()
            for message in gone:
                self.watcher.settled(message, "purged")
        self.changed()
        return len(gone)

    def delete(self, queue: str) -> None:
        """Throw away the queue and what waits in it."""
        self.purge(queue)
        with self.lock:
            self._queues.pop(queue, None)

    def waiting(self) -> list[Stored]:
        """Everything that waits in a queue, in the order of delivery within each."""
        with self.lock:
            return [message for queue in self._queues.values() for message in queue]

    def out(self) -> list[Stored]:
        """Everything that is delivered and not acknowledged, in the order of publication."""
        with self.lock:
            there = {message for messages in self._out.values() for message in messages}
            return sorted(there, key=lambda m: m.number)

    # --- messages ---

    def publish(self, queue: str, raw: Raw) -> Stored:
        """Put a message at the end of its queue."""
        with self.lock:
            known = self._queues.setdefault(queue, _Queue())
            priority = raw["properties"].get("priority")
            level = self.semantics.level(priority, known.arguments, self._steps)
            message = Stored(raw, queue, next(self._numbers), level)
            self.watcher.published(message)
            copies = self.copies(message)
            if not copies:
                self.watcher.settled(message, "dropped")
                return message
            waiting = known.levels.setdefault(level, deque())
            waiting.append(message)
            for _ in range(copies - 1):
                waiting.append(twin := self._twin(message))
                self.watcher.duplicated(twin)
            alone = not known.consumers and message.task_id is not None
        if alone:
            self.unconsumed(queue)
        self.changed()
        return message

    def _twin(self, message: Stored) -> Stored:
        properties = message.raw["properties"]
        tag = f"{message.tag}.twin-{next(self._tags)}"
        raw = {**message.raw, "properties": {**properties, "delivery_tag": tag}}
        twin = Stored(raw, message.queue, next(self._numbers), message.level)
        twin.told = message.told
        return twin

    def put_back(self, message: Stored, place: Place) -> None:
        """Give a delivered message back to its queue, marked as redelivered."""
        with self.lock:
            message.redelivered = True
            message.calm()
            self._insert(message, place)
            self.watcher.returned(message)
        self.changed()

    def reappear(self, message: Stored) -> Stored:
        """Put a copy of a message that is out into its queue: its visibility has timed out.

        The first delivery stays out. Whoever has it may finish and acknowledge it; where they
        are gone, the message itself is put back.
        """
        if message.orphaned:
            message.orphaned = False
            self._out.pop((_NOBODY, message.tag))
            self.put_back(message, self.semantics.restored)
            return message
        with self.lock:
            twin = Stored(message.raw, message.queue, next(self._numbers), message.level, True)
            twin.told = message.told
            message.calm()
            self._twins.setdefault(message.tag, [message]).append(twin)
            self._insert(twin, self.semantics.restored)
            self.watcher.reappeared(twin)
        self.changed()
        return twin

    def copies_of(self, message: Stored) -> int:
        """How many of a message there are: one more each time it reappeared unacknowledged."""
        return len(self._twins.get(message.tag, (message,)))

    def _insert(self, message: Stored, place: Place) -> None:
        known = self._queues.setdefault(message.queue, _Queue())
        level = known.levels.setdefault(message.level, deque())
        if place == "first":
            level.appendleft(message)
        elif place == "last":
            level.append(message)
        else:
            later = (at for at, other in enumerate(level) if other.number > message.number)
            level.insert(next(later, len(level)), message)

    def take(self, queue: str) -> Stored | None:
        """Take the next message of a queue, or ``None``."""
        with self.lock:
            known = self._queues.get(queue)
            if known is None:
                return None
            for level in sorted(known.levels):
                if known.levels[level]:
                    return known.levels[level].popleft()
            return None

    def hand_out(self, message: Stored, channel: Hashable, *, no_ack: bool) -> Raw:
        """Note that a message goes to a channel; the copy that it is given."""
        with self.lock:
            keep = self.semantics.keeps_tag
            tag = message.tag if keep else f"{message.tag}.{next(self._tags)}"
            self.watcher.delivered(message)
            if no_ack:
                self.watcher.settled(message, "acked")
            else:
                self._out.setdefault((channel, tag), []).append(message)
                self.handed_out(message)
            return message.copy(tag)

    def settle(self, channel: Hashable, tag: str, how: str) -> None:
        """Forget a delivery: it was acknowledged, or rejected for good.

        Where a tag is kept, its twins that are out are settled too: nothing gives them back
        any more. They are counted until their own consumers are done with them.
        """
        with self.lock:
            message = self._pop(channel, tag)
            if message is not None and how == "acked" and self.loses_ack(message):
                self.put_back(message, self.semantics.restored)
            elif message is not None:
                if tag in self._twins:
                    self._forget(tag)
                self.watcher.settled(message, how)
        self.changed()

    def _forget(self, tag: str) -> None:
        out = {m for (_, other), ms in self._out.items() if other == tag for m in ms}
        for twin in self._twins.pop(tag):
            if twin in out:
                twin.forgotten = True
                twin.calm()

    def take_back(self, channel: Hashable, tag: str) -> Stored | None:
        """Forget a delivery without settling the message; the message, if it was out."""
        with self.lock:
            message = self._pop(channel, tag)
            if message is None or not message.forgotten:
                return message
            self.watcher.settled(message, "acked")
        self.changed()
        return None

    def cut(self) -> int:
        """Break every connection; how many there were."""
        broken, self.connections = list(self.connections), {}
        for connection in broken:
            connection.break_off()
        self.changed()
        return len(broken)

    def abandon(self, channel: Any) -> None:
        """A channel is gone without a word, and with it whoever had its messages.

        They are back at once where the broker notices (RabbitMQ), and when their visibility
        times out where it does not (Redis).
        """
        with self.lock:
            for queue in self._queues.values():
                queue.consumers = [c for c in queue.consumers if c != channel]
            tags = [tag for owner, tag in self._out if owner == channel]
            gone = [(tag, m) for tag in tags for m in self._out.pop((channel, tag))]
            if not self.semantics.visibility:
                for _, message in reversed(gone):
                    self.put_back(message, self.semantics.restored)
                return
            for tag, message in gone:
                if message.forgotten:
                    self.watcher.settled(message, "acked")
                    continue
                message.orphaned = True
                self._out.setdefault((_NOBODY, tag), []).append(message)
        self.changed()

    def _pop(self, channel: Hashable, tag: str) -> Stored | None:
        messages = self._out.get((channel, tag))
        if not messages:
            return None
        message = messages.pop(0)
        if not messages:
            del self._out[channel, tag]
        message.calm()
        return message

    # --- consumers ---

    def add_consumer(self, queue: str, consumer: Consumer) -> None:
        """Let a consumer have messages of a queue."""
        with self.lock:
            self._queues.setdefault(queue, _Queue()).consumers.append(consumer)
        self.changed()

    def remove_consumer(self, queue: str, consumer: Consumer) -> None:
        """Undo `add_consumer`."""
        with self.lock:
            known = self._queues.get(queue)
            if known is not None and consumer in known.consumers:
                known.consumers.remove(consumer)

    def consumers(self, queue: str) -> list[Consumer]:
        """Who may be given messages of a queue."""
        with self.lock:
            known = self._queues.get(queue)
            return list(known.consumers) if known is not None else []

    def rotate(self, queue: str, served: Consumer) -> None:
        """Put the consumer that was just served at the end of the turn."""
        with self.lock:
            known = self._queues.get(queue)
            if known is not None and len(known.consumers) > 1 and served in known.consumers:
                known.consumers.remove(served)
                known.consumers.append(served)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Deliver nothing meanwhile."""
        with self.lock:
            self._pauses += 1
        try:
            yield
        finally:
            with self.lock:
                self._pauses -= 1
            self.changed()

    def deliverable(self) -> Iterator[tuple[Stored, list[Consumer]]]:
        """The head of each queue that has a consumer with room, with these consumers."""
        if self._pauses:
            return
        for name, queue in list(self._queues.items()):
            if self.only is not None and name != self.only and not name.endswith(_CONTROL):
                continue
            head = next(iter(queue), None)
            if head is None:
                continue
            able = [c for c in queue.consumers if c.can_consume()]
            if able:
                yield head, able


def _nothing() -> None:
    """The default of `Broker.changed`."""


def _one(_: object) -> int:
    """The default of `Broker.copies`."""
    return 1


def _never(_: object) -> bool:
    """The default of `Broker.loses_ack`."""
    return False


def _ignore(_: object) -> None:
    """The default of `Broker.unconsumed` and `Broker.handed_out`."""


def _there() -> bool:
    """The default of `Broker.away`."""
    return False
