"""The kombu transport of the simulation: waiting for a message is waiting in the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pytest_celeryflow.broker import channel as base
from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.stored import Stored
from pytest_celeryflow.sim.fiber import Fiber
from pytest_celeryflow.sim.world import World

__all__ = ["BrokerSource", "Deliver", "SimTransport"]


class SimTransport(base.Transport):
    """A connection whose owner waits in the world."""

    scheme = "celeryflow-sim"

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.world: World = self.means
        self.inbox: list[tuple[base.Channel, Stored]] = []
        self.fiber: Fiber | None = None
        #: Set to let a worker's loop go round once without a message.
        self.nudged = False

    def check(self) -> None:
        """Raise a connection error when the broker cannot be reached."""
        self.world.act()
        super().check()

    def break_off(self) -> None:
        """The broker is gone: whoever waits for messages finds out next."""
        super().break_off()
        if self.fiber is not None:
            self.fiber.wake()

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Wait for a message and let its consumer have it.

        A worker waits without limit, whatever its loop asks for: it is nudged when there is
        something else for its loop to do.

        Raises:
            TimeoutError: None came in time, or the worker was nudged.
        """
        world = self.world
        self.check()
        self.fiber = world.fiber
        in_worker = self.fiber is not None and not self.fiber.is_task
        self.receiving = True
        try:
            world.block(self._has_something, None if in_worker else timeout)
        finally:
            self.receiving = False
            self.fiber = None
        self.check()
        if self.inbox:
            channel, message = self.inbox.pop(0)
            channel.receive(message.queue, message)
            return
        self.nudged = False
        raise TimeoutError("timed out")

    def _has_something(self) -> bool:
        return bool(self.inbox) or self.nudged or self.broken


@dataclass(slots=True)
class Deliver:
    """The move: the next message of a queue goes to one consumer."""

    broker: Broker
    message: Stored
    channel: base.Channel
    label: Callable[[str, str | None], str]

    @property
    def name(self) -> str:
        """``<label> is delivered to <worker>``."""
        fiber = self.channel.connection.fiber
        again = " again" if self.message.redelivered else ""
        return f"{self.actor} is delivered{again} to {fiber.actor if fiber else 'the test'}"

    @property
    def actor(self) -> str:
        """The label of its task."""
        message = self.message
        if message.task_id is None:
            return f"a message in {message.queue}"
        return self.label(message.task_id, message.task)

    def make(self) -> None:
        """Take the message and let the consumer's greenlet go on with it."""
        taken = self.broker.take(self.message.queue)
        if taken is None:
            return
        transport: SimTransport = self.channel.connection
        transport.inbox.append((self.channel, taken))
        self.broker.rotate(taken.queue, self.channel)
        if transport.fiber is not None:
            transport.world.enter(transport.fiber)


class BrokerSource:
    """The moves of one broker: control messages first, then tasks by age."""

    def __init__(self, broker: Broker, label: Callable[[str, str | None], str]) -> None:
        self._broker, self._label = broker, label

    def moves(self) -> Iterator[Deliver]:
        """A delivery for each queue head and each consumer that has room for it."""
        offers = sorted(
            self._broker.deliverable(),
            key=lambda offer: (offer[0].task_id is not None, offer[0].number),
        )
        for message, channels in offers:
            for channel in channels:
                yield Deliver(self._broker, message, channel, self._label)  # type: ignore[arg-type]
