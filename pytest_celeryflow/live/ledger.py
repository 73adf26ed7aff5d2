"""What a test knows of a broker that is a server: every message that passes through its hands.

A server tells nobody what it holds, and asking it again and again would be polling. But app
and worker are in one process here, and each message leaves it and comes back to it through
a channel of ours (`live.redis`, `live.rabbitmq`), which tells the ledger. It answers what
`broker.queues.Broker` answers of itself, and tells the same watcher the same things.

A message is known again by a mark among its headers, which is taken off before Celery sees
it. What the server does by itself is seen when it shows: a message that Redis gives back
after its visibility timeout, when it is delivered again. Not seen: a message that expires
in a queue, or that somebody else takes out.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, ClassVar

from pytest_celeryflow.broker.stored import Raw, Stored
from pytest_celeryflow.broker.watching import Watcher

__all__ = ["MARK", "Ledger"]

#: The header that a message bears between our channels.
MARK = "celeryflow-mark"


class Ledger:
    """Messages on their way through a server, for one context.

    Args:
        watcher: Told of every change.
        prefix: Begins the name of everything on the server, where the client library has no
            means for that itself.
    """

    #: Name -> ledger, for every context that is open.
    open: ClassVar[dict[str, Ledger]] = {}
    _names: ClassVar[Any] = count(1)

    def __init__(self, watcher: Watcher, *, prefix: str = "") -> None:
        self.watcher = watcher
        self.prefix = prefix
        self.lock = threading.RLock()
        #: Called with the name of a queue that has a task message and nobody to consume it.
        self.unconsumed: Callable[[str], None] = _ignore
        #: Called with ``"queue"`` or ``"exchange"`` and a name on the server, before it is made.
        self.made: Callable[[str, str], None] = _ignore
        #: Names, without the prefix, of what was made on the server.
        self.queues: dict[str, None] = {}
        self.exchanges: dict[str, str] = {}
        #: Names on the server of exchanges that go when all queues are gone.
        self.kept: set[str] = set()
        self._bindings: dict[str, list[tuple[str, str]]] = {}
        self._waiting: dict[tuple[str, str], Stored] = {}
        self._out: dict[tuple[Hashable, Any], list[Stored]] = {}
        self._orphans: dict[tuple[str, str], Stored] = {}
        #: Channel -> the delivery that it is about to settle, and how.
        self._settling: dict[Hashable, tuple[Any, str]] = {}
        #: Settled as far as is known, by a channel whose process was killed meanwhile.
        self._doubtful: dict[tuple[str, str], Stored] = {}
        self._consumers: dict[str, list[Hashable]] = {}
        self._numbers = count(1)

    @contextmanager
    def opened(self) -> Iterator[str]:
        """Let channels find it, by this name."""
        name = f"ledger-{next(self._names)}"
        self.open[name] = self
        try:
            yield name
        finally:
            del self.open[name]

    # --- what a mode asks (`broker.queues.Broker`) ---

    def waiting(self) -> list[Stored]:
        """Everything that was published and not delivered, in the order of publication."""
        with self.lock:
            return sorted(self._waiting.values(), key=lambda message: message.number)

    def out(self) -> list[Stored]:
        """Everything that is delivered and not acknowledged, likewise."""
        with self.lock:
            there = {message for messages in self._out.values() for message in messages}
            return sorted(there, key=lambda message: message.number)

    def consumers(self, queue: str) -> list[Hashable]:
        """Who consumes a queue, or is about to."""
        with self.lock:
            return list(self._consumers.get(queue, ()))

    def all_consumers(self) -> set[Hashable]:
        """Who consumes any queue."""
        with self.lock:
            return {channel for channels in self._consumers.values() for channel in channels}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing: a server delivers when it likes."""
        yield

    # --- names ---

    def on_server(self, name: str) -> str:
        """The name on the server of a queue or an exchange."""
        own = not name or name.startswith(("amq.", self.prefix))
        return name if own else self.prefix + name

    def here(self, name: str) -> str:
        """The name that the app knows."""
        return name.removeprefix(self.prefix)

    # --- what channels ask ---

    def copies(self, mark: str) -> list[str]:
        """The marks under which a message leaves: one, unless somebody tampers with it."""
        return [mark]

    def loses_ack(self, channel: Hashable, tag: Any) -> bool:
        """Whether an acknowledgement is lost: then the message is given back instead."""
        return False

    # --- what channels tell ---

    def queue_declared(self, queue: str) -> None:
        """A queue is about to be made."""
        if queue not in self.queues:
            self.made("queue", self.on_server(queue))
        self.queues[queue] = None

    def exchange_declared(self, exchange: str, kind: str) -> None:
        """An exchange is about to be made."""
        if exchange:
            name = self.on_server(exchange)
            if exchange not in self.exchanges and name.startswith(self.prefix):
                self.made("exchange", name)
            self.exchanges[exchange] = kind

    def bound(self, queue: str, exchange: str, key: str) -> None:
        """An exchange gives messages to a queue."""
        with self.lock:
            bindings = self._bindings.setdefault(exchange, [])
            if (queue, key) not in bindings:
                bindings.append((queue, key))

    def unbound(self, queue: str, exchange: str, key: str) -> None:
        """It does not any more."""
        with self.lock:
            bindings = self._bindings.get(exchange, [])
            if (queue, key) in bindings:
                bindings.remove((queue, key))

    def consumes(self, queue: str, channel: Hashable) -> None:
        """A channel consumes a queue, or will."""
        with self.lock:
            self._consumers.setdefault(queue, []).append(channel)

    def cancelled(self, queue: str, channel: Hashable) -> None:
        """Undo `consumes`."""
        with self.lock:
            consumers = self._consumers.get(queue, [])
            if channel in consumers:
                consumers.remove(channel)

    def publishing(
        self, exchange: str, key: str, raw: Raw, mark: str | None = None
    ) -> tuple[str, list[Stored]]:
        """A message is about to leave; its mark, and what there will be of it.

        Told before it leaves: the worker may have it before the publisher goes on.
        """
        with self.lock:
            mark, stored = mark or f"{next(self._numbers)}", []
            for queue in self._targets(exchange, key):
                message = Stored(raw, queue, next(self._numbers))
                self.watcher.published(message)
                if message.task_id is not None:
                    self._waiting[mark, queue] = message
                    stored.append(message)
        for message in stored:
            if not self.consumers(message.queue):
                self.unconsumed(message.queue)
        return mark, stored

    def not_sent(self, mark: str) -> None:
        """It did not leave."""
        with self.lock:
            for known in [known for known in self._waiting if known[0] == mark]:
                self.watcher.settled(self._waiting.pop(known), "dropped")

    def delivered(
        self, headers: Mapping[str, Any], queue: str, channel: Hashable, tag: Any, *, no_ack: bool
    ) -> None:
        """A message came in."""
        mark = headers.get(MARK)
        if mark is None:
            return
        with self.lock:
            message = self._waiting.pop((mark, queue), None)
            if message is None:
                message = self._restored(mark, queue) or self._again(mark, queue)
            if message is None:
                return
            self.watcher.delivered(message)
            if no_ack:
                self.watcher.settled(message, "acked")
                return
            message.raw.setdefault("mark", mark)
            self._out.setdefault((channel, tag), []).append(message)

    def _restored(self, mark: str, queue: str) -> Stored | None:
        """One whose consumer died with it, and that the server has given back."""
        message = self._orphans.pop((mark, queue), None)
        if message is not None:
            message.orphaned, message.redelivered = False, True
            self.watcher.returned(message)
        return message

    def _again(self, mark: str, queue: str) -> Stored | None:
        """One that is out already, whose visibility timed out; or that was not settled after all."""
        known = [m for m in self.out() if m.raw.get("mark") == mark and m.queue == queue]
        doubtful = self._doubtful.pop((mark, queue), None)
        if doubtful is not None:
            known.append(doubtful)
        for message in known:
            twin = Stored(message.raw, queue, next(self._numbers), redelivered=True)
            twin.told = message.told
            self.watcher.reappeared(twin)
            return twin
        return None

    @contextmanager
    def settles(self, channel: Hashable, tag: Any, how: str) -> Iterator[None]:
        """A delivery is acknowledged, or rejected for good, meanwhile."""
        yield
        self.settled(channel, tag, how)

    def settling(self, channel: Hashable, tag: Any, how: str) -> None:
        """A process that may be killed meanwhile is about to settle a delivery."""
        with self.lock:
            self._settling[channel] = tag, how

    def not_settled(self, channel: Hashable) -> None:
        """It could not."""
        with self.lock:
            self._settling.pop(channel, None)

    def settled(self, channel: Hashable, tag: Any, how: str) -> None:
        """A delivery was acknowledged, or rejected for good."""
        with self.lock:
            self._settling.pop(channel, None)
            message = self._pop(channel, tag)
            if message is not None:
                self.watcher.settled(message, how)

    def returned(self, channel: Hashable, tag: Any) -> None:
        """A delivery is about to be given back."""
        with self.lock:
            message = self._pop(channel, tag)
            if message is not None:
                self._put_back(message)

    def gone(self, channel: Hashable) -> None:
        """A channel is closed: the server has what was unacknowledged."""
        with self.lock:
            self._doubt(channel)
            for consumers in self._consumers.values():
                while channel in consumers:
                    consumers.remove(channel)
            for owner, tag in [key for key in self._out if key[0] == channel]:
                for message in self._out.pop((owner, tag)):
                    self._put_back(message)

    def marked(self, mark: str) -> list[Stored]:
        """What waits under a mark, in one queue or several."""
        with self.lock:
            return [message for (known, _), message in self._waiting.items() if known == mark]

    def doubled(self, mark: str) -> str:
        """A message leaves twice; the mark of the second."""
        with self.lock:
            second = f"{mark}-twice"
            for message in self.marked(mark):
                twin = Stored(message.raw, message.queue, next(self._numbers))
                twin.told = message.told
                self._waiting[second, message.queue] = twin
                self.watcher.duplicated(twin)
            return second

    def held_by(self, channel: Hashable, tag: Any) -> Stored | None:
        """The message of a delivery that is not acknowledged."""
        with self.lock:
            messages = self._out.get((channel, tag))
            return messages[0] if messages else None

    def died(self, channel: Hashable) -> None:
        """A channel's process is gone, and the server does not know: it still counts as out."""
        with self.lock:
            self._doubt(channel)
            for owner, tag in [key for key in self._out if key[0] == channel]:
                for message in self._out.pop((owner, tag)):
                    message.orphaned = True
                    self._orphans[message.raw["mark"], message.queue] = message
            self.gone(channel)

    def _doubt(self, channel: Hashable) -> None:
        """Settle what a channel was about to settle when it ended; if it did not, it will show."""
        tag, how = self._settling.pop(channel, (None, ""))
        message = self._pop(channel, tag)
        if message is not None:
            self._doubtful[message.raw["mark"], message.queue] = message
            self.watcher.settled(message, how)

    def orphans(self) -> list[Stored]:
        """What was out to somebody who is gone, and the server has not given back yet."""
        with self.lock:
            return sorted(self._orphans.values(), key=lambda message: message.number)

    def _put_back(self, message: Stored) -> None:
        message.redelivered = True
        self._waiting[message.raw["mark"], message.queue] = message
        self.watcher.returned(message)

    def purged(self, queue: str) -> None:
        """What waited in a queue was thrown away."""
        with self.lock:
            for known in [known for known in self._waiting if known[1] == queue]:
                self.watcher.settled(self._waiting.pop(known), "purged")

    def _pop(self, channel: Hashable, tag: Any) -> Stored | None:
        messages = self._out.get((channel, tag))
        if not messages:
            return None
        message = messages.pop(0)
        if not messages:
            del self._out[channel, tag]
        return message

    def _targets(self, exchange: str, key: str) -> list[str]:
        if not exchange:
            return [key]
        kind = self.exchanges.get(exchange, "direct")
        bindings = self._bindings.get(exchange, ())
        found = [queue for queue, bound in bindings if _matches(kind, bound, key)]
        return list(dict.fromkeys(found))


def _matches(kind: str, bound: str, key: str) -> bool:
    if kind == "fanout":
        return True
    if kind != "topic":
        return bound == key
    words = {"*": r"[^.]+", "#": r".*"}
    pattern = r"\.".join(words.get(word) or re.escape(word) for word in bound.split("."))
    return re.fullmatch(pattern.replace(r"\..*", r"(\..*)?").replace(r".*\.", r"(.*\.)?"), key) is not None


def _ignore(*_: object) -> None:
    """The default of what a ledger calls."""
