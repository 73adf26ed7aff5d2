"""kombu's own Redis transport, whose messages are written down and whose waiting can be ended.

Relies on `kombu/transport/redis.py` as of kombu 5.3 to 5.7: on `MultiChannelPoller`, which
waits on the sockets of ``BRPOP`` and ``SUBSCRIBE`` and asks ``_fd_to_chan`` whose socket it
is, and on `Channel._brpop_start`. A ``BRPOP`` that waits for the wrong queues, or for none any
more, is ended by ``CLIENT UNBLOCK`` (Redis 5), where kombu waits for up to a second.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as base
from kombu.utils.eventio import READ

from pytest_celeryflow.live.bell import Bell
from pytest_celeryflow.live.ledger import MARK, Ledger

__all__ = ["SCHEME", "RedisChannel", "RedisTransport", "ToldRedisChannel"]

SCHEME = "celeryflow-redis"
TRANSPORT_ALIASES.setdefault(SCHEME, f"{__name__}:RedisTransport")


class ToldRedisChannel(base.Channel):
    """kombu's channel, telling the ledger what passes."""

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        self._ledger = connection.ledger
        super().__init__(connection, *args, **kwargs)

    def basic_publish(
        self, message: dict[str, Any], exchange: str = "", routing_key: str = "", **kwargs: Any
    ) -> Any:
        """Publish."""
        info = {"exchange": exchange, "routing_key": routing_key}
        headers, properties = dict(message.get("headers") or {}), message["properties"]
        headers.pop(MARK, None)
        raw = {
            **message,
            "headers": headers,
            "properties": {**properties, "delivery_info": info},
        }
        mark, stored = self._ledger.publishing(exchange, routing_key, raw)
        if not stored:
            return super().basic_publish(message, exchange, routing_key, **kwargs)
        try:
            for each in self._ledger.copies(mark):
                # kombu encodes the body and gives a tag, in place.
                marked = {**message, "headers": {**headers, MARK: each}, "properties": {**properties}}
                super().basic_publish(marked, exchange, routing_key, **kwargs)
        except BaseException:
            self._ledger.not_sent(mark)
            raise

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any
    ) -> Any:
        """Consume a queue."""

        def delivered(message: Any) -> Any:
            tag = message.delivery_tag
            self._ledger.delivered(message.headers, queue, self, tag, no_ack=no_ack)
            message.headers = {k: v for k, v in message.headers.items() if k != MARK}
            return callback(message)

        self._ledger.consumes(queue, self)
        return super().basic_consume(queue, no_ack, delivered, consumer_tag, **kwargs)

    def basic_cancel(self, consumer_tag: str) -> Any:
        """Stop consuming."""
        queue = self._tag_to_queue.get(consumer_tag)
        if queue is not None:
            self._ledger.cancelled(queue, self)
        return super().basic_cancel(consumer_tag)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge."""
        if self._ledger.loses_ack(self, delivery_tag):
            self.basic_reject(delivery_tag, requeue=True)
            return
        with self._ledger.settles(self, delivery_tag, "acked"):
            super().basic_ack(delivery_tag, multiple)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject, or give back."""
        if not requeue:
            with self._ledger.settles(self, delivery_tag, "rejected"):
                super().basic_reject(delivery_tag, requeue)
            return
        self._ledger.returned(self, delivery_tag)
        super().basic_reject(delivery_tag, requeue)

    def exchange_declare(self, exchange: str | None = None, type: str = "direct", **kwargs: Any) -> Any:  # noqa: A002
        """Make an exchange."""
        self._ledger.exchange_declared(exchange or "", type)
        return super().exchange_declare(exchange, type, **kwargs)

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", **kwargs: Any
    ) -> None:
        """Bind a queue."""
        super().queue_bind(queue, exchange, routing_key, **kwargs)
        self._ledger.bound(queue, exchange or "amq.direct", routing_key)

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", **kwargs: Any
    ) -> None:
        """Undo `queue_bind`."""
        self._ledger.unbound(queue, exchange or "amq.direct", routing_key)

    def queue_purge(self, queue: str, **kwargs: Any) -> Any:
        """Throw away what waits."""
        size = super().queue_purge(queue, **kwargs)
        self._ledger.purged(queue)
        return size

    def close(self) -> None:
        """Close; what was unacknowledged goes back."""
        if not self.closed:
            self._ledger.gone(self)
        super().close()


class RedisChannel(ToldRedisChannel):
    """The same, with a wait that can be ended."""

    def __init__(self, connection: RedisTransport, *args: Any, **kwargs: Any) -> None:
        #: The connection that waits in BRPOP, and what the server calls it.
        self._waiting_as: tuple[Any, int] = (None, 0)
        super().__init__(connection, *args, **kwargs)

    def basic_consume(self, *args: Any, **kwargs: Any) -> Any:
        """Consume a queue."""
        result = super().basic_consume(*args, **kwargs)
        self.unblock()  # it waits for the queues that it knew
        return result

    def _brpop_start(self, timeout: float | None = None) -> None:
        connection = self.client.connection
        if self._waiting_as[0] is not connection._sock:
            connection.send_command("CLIENT", "ID")
            self._waiting_as = (connection._sock, int(connection.read_response()))
        super()._brpop_start(timeout)

    def unblock(self) -> None:
        """Let a BRPOP that waits come back with nothing."""
        if self._in_poll:
            with self.conn_or_acquire() as client:
                client.execute_command("CLIENT", "UNBLOCK", self._waiting_as[1])

    def close(self) -> None:
        """Close, without waiting for a message that nobody wants."""
        try:
            self.unblock()
        except self.connection_errors:
            self._in_poll = None
        super().close()


class RedisTransport(base.Transport):
    """kombu's transport; `wake` ends a wait in `drain_events`."""

    Channel = RedisChannel

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.ledger = Ledger.open[client.transport_options["celeryflow"]]
        #: See `live.transport.LiveTransport`.
        self.patient = self.broken = False
        self.bell = Bell()
        # To the poller it is one more channel with something to read.
        self.qos = SimpleNamespace(can_consume=lambda: True)
        self.handlers = {"RUNG": self.bell.listen}

    def establish_connection(self) -> Any:
        """Connect."""
        cycle = self.cycle
        if self.bell.fileno() not in cycle._fd_to_chan:
            cycle._fd_to_chan[self.bell.fileno()] = (self, "RUNG")
            cycle.poller.register(self.bell.fileno(), READ)
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        """Disconnect."""
        self.broken = True
        super().close_connection(connection)
        self.bell.close()

    def wake(self) -> None:
        """Let whoever waits in `drain_events` look up."""
        self.bell.ring()
