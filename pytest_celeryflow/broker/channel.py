"""The kombu channel and transport over a `Broker`, without the waiting.

Built on `kombu.transport.virtual`, which has the exchanges, the bindings and the message
format; what is replaced is where messages live (`Broker`), and its accounting of deliveries
(`virtual.QoS` marks acknowledged tags lazily and leaves ``redelivered`` False on a requeue,
kombu 5.3 to 5.7). A transport belongs to the broker that its URL's host names.
"""

from __future__ import annotations

import errno
import itertools
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from amqp.exceptions import RecoverableConnectionError
from kombu.transport import TRANSPORT_ALIASES, virtual

from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import Place
from pytest_celeryflow.broker.stored import Raw, Stored

__all__ = ["Channel", "QoS", "Transport"]


class QoS(virtual.QoS):
    """Which deliveries of a channel are unacknowledged, and whether it may have more."""

    def __init__(self, channel: Channel, prefetch_count: int = 0) -> None:
        self.channel = channel
        self.prefetch_count = prefetch_count or 0
        self._delivered: OrderedDict[str, Any] = OrderedDict()

    def can_consume(self) -> bool:
        """Whether the prefetch limit leaves room."""
        return not self.prefetch_count or len(self._delivered) < self.prefetch_count

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a delivery."""
        self._delivered[delivery_tag] = message

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a delivery."""
        self._delivered.pop(delivery_tag, None)
        self.channel.broker.settle(self.channel, delivery_tag, "acked")

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject a delivery: give it back to its queue, or throw it away."""
        self._delivered.pop(delivery_tag, None)
        broker = self.channel.broker
        if requeue:
            self._give_back(delivery_tag, broker.semantics.requeued)
        else:
            broker.settle(self.channel, delivery_tag, "rejected")

    def restore_unacked(self) -> list[Any]:
        """Give everything unacknowledged back."""
        place, tags = self.channel.broker.semantics.restored, list(self._delivered)
        self._delivered.clear()
        # To find each its own place is quickest from the end. One before the other, in the
        # order of delivery, is what Redis gets: the last delivered comes first then.
        for tag in reversed(tags) if place == "own" else tags:
            self._give_back(tag, place)
        return []

    def _give_back(self, tag: str, place: Place) -> None:
        broker = self.channel.broker
        message = broker.take_back(self.channel, tag)
        if message is not None:
            broker.put_back(message, place)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """The same, when the channel closes."""
        if self.channel.do_restore:
            self.restore_unacked()


class Channel(virtual.Channel):
    """A channel whose messages live in a `Broker`."""

    QoS = QoS
    supports_fanout = True
    #: The message never leaves the process: no base64.
    body_encoding = None
    from_transport_options = ("deadletter_queue",)
    _delivery_tag_numbers: ClassVar[Any] = itertools.count(1)

    @property
    def broker(self) -> Broker:
        """The broker of the connection."""
        return self._broker

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        self._broker: Broker = connection.broker
        self._no_ack: dict[str, bool] = {}
        super().__init__(connection, **kwargs)

    def _next_delivery_tag(self) -> str:
        return str(next(self._delivery_tag_numbers))

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self.broker.declare(queue, kwargs.get("arguments"))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self.broker.has(queue)

    def _size(self, queue: str) -> int:
        return self.broker.size(queue)

    def _purge(self, queue: str) -> int:
        return self.broker.purge(queue)

    def _delete(self, queue: str, *_: Any, **__: Any) -> None:
        self.broker.delete(queue)

    def _queue_bind(self, *_: Any) -> None:
        """Bindings are kept by the virtual channel's own table."""

    def prepare_message(
        self, body: Any, priority: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Make a message. AMQP leaves out a priority of ``None``; virtual channels make it 0."""
        message = super().prepare_message(body, priority, *args, **kwargs)
        if priority is None and self.broker.semantics.name == "rabbitmq":
            message["properties"]["priority"] = None
        return message

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self.connection.check()
        self.broker.publish(queue, message)

    def _put_fanout(
        self, exchange: str, message: dict[str, Any], routing_key: str, **_: Any
    ) -> None:
        self.connection.check()
        for queue in self._lookup(exchange, routing_key):
            # A queue each, a delivery each: virtual channels would give all the same tag.
            tagged = {**message["properties"], "delivery_tag": self._next_delivery_tag()}
            self.broker.publish(queue, {**message, "properties": tagged})

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """Take a message without consuming; ``None`` if there is none."""
        with self.broker.lock:  # a message is in its queue or out, and never in neither
            message = self.broker.take(queue)
            if message is None:
                return None
            raw = self.broker.hand_out(message, self, no_ack=no_ack)
        received = self.Message(raw, channel=self)
        if not no_ack:
            self.qos.append(received, received.delivery_tag)
        return received

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any
    ) -> None:
        """Consume a queue: the broker now knows this channel as one of its consumers."""
        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)
        self._no_ack[queue] = bool(no_ack)
        self.broker.add_consumer(queue, self)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop consuming."""
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue is not None:
            self.broker.remove_consumer(queue, self)

    def abandon(self) -> None:
        """It is gone without a word: the broker has what was unacknowledged."""
        self.do_restore = False
        self.qos._delivered.clear()
        self.broker.abandon(self)

    def can_consume(self) -> bool:
        """Whether this channel could be given a message now."""
        connection = self.connection
        return connection is not None and connection.receiving and self.qos.can_consume()

    def accept(self, message: Stored) -> Raw:
        """Let a message that was taken from its queue be this channel's; the copy of it."""
        return self.broker.hand_out(message, self, no_ack=self._no_ack.get(message.queue, False))

    def receive(self, queue: str, message: Stored) -> None:
        """Let the consumer of a queue have a message that was taken from it."""
        self.connection._deliver(self.accept(message), queue)


class Transport(virtual.Transport):
    """A connection to the broker that the URL's host names.

    A subclass says how to wait for a message, and under which scheme kombu finds it.
    """

    Channel = Channel
    scheme: ClassVar[str]
    #: Host name -> broker, what waiting needs, bindings; for every context that is open.
    served: ClassVar[dict[str, tuple[Broker, Any, virtual.BrokerState]]] = {}
    _hosts: ClassVar[Any] = itertools.count(1)

    #: Those that Celery's consumer and kombu's publishing recover from.
    connection_errors = (*virtual.Transport.connection_errors, ConnectionError)

    implements = virtual.Transport.implements.extend(
        asynchronous=False,
        exchange_type=frozenset(["direct", "topic", "fanout"]),
        heartbeats=False,
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        try:
            self.broker, self.means, self.state = self.served[client.hostname]
        except KeyError:
            raise RecoverableConnectionError(
                f"the test broker {client.hostname!r} is closed: its context has ended"
            ) from None
        self.driver_type = self.broker.semantics.driver_type
        self.driver_name = "celeryflow"
        #: Whether the broker has broken it off.
        self.broken = False
        #: Whether somebody waits in `drain_events`, so that a message can be delivered.
        self.receiving = False

    def driver_version(self) -> str:
        """There is no client library."""
        return "N/A"

    def establish_connection(self) -> Any:
        """Connect.

        Raises:
            ConnectionError: The broker is away.
        """
        broken, self.broken = self.broken, False
        try:
            self.check()
        except ConnectionError:
            self.broken = broken  # an earlier connection is no better for this
            raise
        self.broker.connections[self] = None
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        """Disconnect."""
        self.broker.connections.pop(self, None)
        super().close_connection(connection)

    def break_off(self) -> None:
        """The broker is gone: what was delivered over this connection is not this one's any more."""
        self.broken = True
        for channel in list(self.channels):
            channel.abandon()

    def verify_connection(self, connection: Any) -> bool:
        """Whether it still is one: kombu opens another where it publishes next if it is not.

        As `kombu/transport/pyamqp.py` does it; redis-py does the like by itself. While the broker is
        away the old one will do: publishing over it fails in a way that
        ``task_publish_retry_policy`` covers, and opening another is not covered by that
        (`kombu/connection.py:Connection.default_channel`).
        """
        return not self.broken or self.broker.away()

    def check(self) -> None:
        """Raise a connection error when the broker cannot be reached."""
        self.broker.reached()
        if self.broken:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    @classmethod
    @contextmanager
    def serving(cls, broker: Broker, means: Any) -> Iterator[str]:
        """Make a broker reachable under a URL that was never used before.

        Args:
            broker: The broker.
            means: What connections need for waiting: a world, or a condition variable.
        """
        TRANSPORT_ALIASES.setdefault(cls.scheme, f"{cls.__module__}:{cls.__name__}")
        host = f"{cls.scheme}-{next(cls._hosts)}"
        cls.served[host] = (broker, means, virtual.BrokerState())
        try:
            yield f"{cls.scheme}://{host}//"
        finally:
            del cls.served[host]
