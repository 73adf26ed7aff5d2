"""The kombu transport of `worker` mode: a consumer's thread sleeps until it is woken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_celeryflow.broker import channel as base
from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.stored import Raw
from pytest_celeryflow.replacing import real_monotonic

__all__ = ["LiveTransport", "live_broker"]


class LiveTransport(base.Transport):
    """A connection whose owner waits on a condition variable."""

    scheme = "celeryflow-live"

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        #: Notified of the broker's every change.
        self.changed: threading.Condition = self.means
        self._woken = False
        #: Whether its owner is woken for everything that concerns it, and need not look up.
        self.patient = False

    def wake(self) -> None:
        """Let the owner look up although there is no message."""
        with self.changed:
            self._woken = True
            self.changed.notify_all()

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Wait for a message and let its consumer have it.

        Raises:
            TimeoutError: None came in time, or the owner was woken.
        """
        self.check()
        limit = None if timeout is None or self.patient else real_monotonic() + timeout
        with self.changed:
            self.receiving = True
            try:
                while (found := self._take()) is None:
                    if self.broken:
                        self.check()
                    if self._woken:
                        self._woken = False
                        raise TimeoutError("woken")
                    left = None if limit is None else limit - real_monotonic()
                    if left is not None and left <= 0:
                        raise TimeoutError("timed out")
                    self.changed.wait(left)
            finally:
                self.receiving = False
        raw, queue = found
        self._deliver(raw, queue)

    def _take(self) -> tuple[Raw, str] | None:
        """The next message for this connection, handed out to its channel, and its queue.

        Done under the broker's lock, so that nobody finds the message in neither place.
        """
        offers = sorted(
            self.broker.deliverable(),
            key=lambda offer: (offer[0].task_id is not None, offer[0].number),
        )
        for head, channels in offers:
            for channel in channels:
                if channel.connection is self:  # type: ignore[attr-defined]
                    taken = self.broker.take(head.queue)
                    if taken is not None:
                        self.broker.rotate(head.queue, channel)
                        return channel.accept(taken), taken.queue  # type: ignore[attr-defined]
        return None


@contextmanager
def live_broker(broker: Broker) -> Iterator[str]:
    """Make a broker reachable for threads: every change wakes those who wait."""
    changed = threading.Condition(broker.lock)

    def notify() -> None:
        with changed:
            changed.notify_all()

    broker.changed = notify
    with LiveTransport.serving(broker, changed) as url:
        yield url
