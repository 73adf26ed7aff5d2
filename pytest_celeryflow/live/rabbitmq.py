"""kombu's own AMQP transport with names of a test's own, a ledger, and a wait that can be ended.

AMQP has neither a key prefix nor a way to make a virtual host; so every queue and exchange
gets a prefix on its way to the server and loses it on the way back, the app's own queues
included. What a killed test run has made is deleted by `services.sweeper`. A queue has
``x-expires`` besides, so that a server that lost sight of a machine forgets its queues after an
hour. An exchange has no such thing; but it may be deleted with the last queue that is bound to it
(``auto_delete``), and one more queue, that gets nothing, keeps it until then.

Relies on `kombu/transport/pyamqp.py` and `amqp.Channel` as of kombu 5.3 to 5.7.
"""

from __future__ import annotations

import select
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import pyamqp as base

from pytest_celeryflow.live.bell import Bell
from pytest_celeryflow.live.ledger import MARK, Ledger

__all__ = ["KEEPER", "SCHEME", "RabbitChannel", "RabbitTransport"]

SCHEME = "celeryflow-rabbitmq"
TRANSPORT_ALIASES.setdefault(SCHEME, f"{__name__}:RabbitTransport")

#: The queue that exchanges are bound to, without the prefix.
KEEPER = "celeryflow-keeper"

#: Milliseconds after which the server deletes a queue that nobody uses.
_EXPIRES = 3_600_000


class RabbitChannel(base.Channel):
    """kombu's channel, telling the ledger, with the ledger's prefix on every name."""

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        self._ledger: Ledger = connection.ledger
        self._name = self._ledger.on_server
        self._queue_of: dict[str, str] = {}
        super().__init__(connection, *args, **kwargs)
        # With publisher confirms, `amqp` puts another method in its place.
        self._send: Any = getattr(self, "basic_publish")  # noqa: B009 - its type is unknown
        self.basic_publish = self._publish

    # --- what passes ---

    def _publish(
        self, msg: Any, exchange: str = "", routing_key: str = "", *args: Any, **kwargs: Any
    ) -> Any:
        properties = dict(msg.properties)
        headers = dict(properties.get("application_headers") or {})
        raw = {
            "body": msg.body,
            "content-type": properties.get("content_type"),
            "content-encoding": properties.get("content_encoding"),
            "headers": headers,
            "properties": {
                **properties,
                "delivery_info": {"exchange": exchange, "routing_key": routing_key},
            },
        }
        mark, stored = self._ledger.publishing(exchange, routing_key, raw)
        key = routing_key if exchange else self._name(routing_key)
        try:
            if not stored:
                return self._send(msg, self._name(exchange), key, *args, **kwargs)
            result = None
            for each in self._ledger.copies(mark):
                msg.properties["application_headers"] = {**headers, MARK: each}
                result = self._send(msg, self._name(exchange), key, *args, **kwargs)
        except BaseException:
            self._ledger.not_sent(mark)
            raise
        else:
            return result

    def basic_consume(
        self, queue: str = "", consumer_tag: str = "", *args: Any, callback: Any = None, **kwargs: Any
    ) -> Any:
        """Consume a queue."""
        no_ack = bool(kwargs.get("no_ack"))

        def delivered(message: Any) -> Any:
            headers = message.properties.get("application_headers") or {}
            tag = message.delivery_tag
            self._ledger.delivered(headers, queue, self, tag, no_ack=no_ack)
            headers.pop(MARK, None)
            info = message.delivery_info
            info["exchange"] = self._ledger.here(info["exchange"])
            if not info["exchange"]:
                info["routing_key"] = self._ledger.here(info["routing_key"])
            return callback(message)

        self._ledger.consumes(queue, self)
        result = super().basic_consume(
            self._name(queue), consumer_tag, *args, callback=delivered, **kwargs
        )
        self._queue_of[result if isinstance(result, str) else consumer_tag] = queue
        return result

    def basic_cancel(self, consumer_tag: str, *args: Any, **kwargs: Any) -> Any:
        """Stop consuming."""
        queue = self._queue_of.pop(consumer_tag, None)
        if queue is not None:
            self._ledger.cancelled(queue, self)
        return super().basic_cancel(consumer_tag, *args, **kwargs)

    def basic_ack(self, delivery_tag: int, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge."""
        if self._ledger.loses_ack(self, delivery_tag):
            return self.basic_reject(delivery_tag, True)
        with self._ledger.settles(self, delivery_tag, "acked"):
            return super().basic_ack(delivery_tag, *args, **kwargs)

    def basic_reject(self, delivery_tag: int, requeue: bool, *args: Any, **kwargs: Any) -> Any:
        """Reject, or give back."""
        if not requeue:
            with self._ledger.settles(self, delivery_tag, "rejected"):
                return super().basic_reject(delivery_tag, requeue, *args, **kwargs)
        self._ledger.returned(self, delivery_tag)
        return super().basic_reject(delivery_tag, requeue, *args, **kwargs)

    def collect(self) -> None:
        """It is closed."""
        self._ledger.gone(self)
        super().collect()

    # --- names ---

    def exchange_declare(
        self,
        exchange: str,
        type: str,  # noqa: A002
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = True,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Make an exchange, which the server deletes when it has deleted the context's queues."""
        self._ledger.exchange_declared(exchange, type)
        name = self._name(exchange)
        ours = name.startswith(self._ledger.prefix) and not passive
        told = super().exchange_declare(
            name, type, passive, durable, ours or auto_delete, *args, **kwargs
        )
        if ours and name not in self._ledger.kept:
            self._ledger.kept.add(name)
            self._keep(name)
        return told

    def _keep(self, exchange: str) -> None:
        """Bind an exchange to a queue that gets nothing, so that it is there while that is."""
        keeper = self._name(KEEPER)
        self._ledger.queue_declared(KEEPER)
        arguments = {"x-expires": _EXPIRES, "x-max-length": 0}
        super().queue_declare(keeper, auto_delete=False, arguments=arguments)
        # Headers exchanges look at the arguments, all others but fanout at the key.
        never = {"x-match": "all", KEEPER: keeper}
        super().queue_bind(keeper, exchange, keeper, arguments=never)

    def exchange_delete(self, exchange: str, *args: Any, **kwargs: Any) -> Any:
        """Delete an exchange."""
        name = self._name(exchange)
        self._ledger.kept.discard(name)
        return super().exchange_delete(name, *args, **kwargs)

    def exchange_bind(self, destination: str, source: str = "", *args: Any, **kwargs: Any) -> Any:
        """Bind an exchange to another."""
        return super().exchange_bind(self._name(destination), self._name(source), *args, **kwargs)

    def exchange_unbind(self, destination: str, source: str = "", *args: Any, **kwargs: Any) -> Any:
        """Undo `exchange_bind`."""
        return super().exchange_unbind(self._name(destination), self._name(source), *args, **kwargs)

    def queue_declare(self, queue: str = "", *args: Any, arguments: Any = None, **kwargs: Any) -> Any:
        """Make a queue."""
        if queue:
            if not kwargs.get("exclusive"):  # one that is goes with its connection
                self._ledger.queue_declared(queue)
            arguments = {"x-expires": _EXPIRES, **(arguments or {})}
        told = super().queue_declare(self._name(queue), *args, arguments=arguments, **kwargs)
        return told._replace(queue=self._ledger.here(told.queue)) if told is not None else None

    def queue_bind(
        self, queue: str, exchange: str = "", routing_key: str = "", *args: Any, **kwargs: Any
    ) -> Any:
        """Bind a queue."""
        self._ledger.bound(queue, exchange, routing_key)
        names = self._name(queue), self._name(exchange)
        return super().queue_bind(*names, routing_key, *args, **kwargs)

    def queue_unbind(
        self, queue: str, exchange: str, routing_key: str = "", *args: Any, **kwargs: Any
    ) -> Any:
        """Undo `queue_bind`."""
        self._ledger.unbound(queue, exchange, routing_key)
        names = self._name(queue), self._name(exchange)
        return super().queue_unbind(*names, routing_key, *args, **kwargs)

    def queue_delete(self, queue: str = "", *args: Any, **kwargs: Any) -> Any:
        """Delete a queue."""
        result = super().queue_delete(self._name(queue), *args, **kwargs)
        self._ledger.purged(queue)
        return result

    def queue_purge(self, queue: str = "", *args: Any, **kwargs: Any) -> Any:
        """Throw away what waits."""
        result = super().queue_purge(self._name(queue), *args, **kwargs)
        self._ledger.purged(queue)
        return result

    def basic_get(self, queue: str = "", *args: Any, **kwargs: Any) -> Any:
        """Take one message."""
        no_ack = bool(args[0] if args else kwargs.get("no_ack"))
        message = super().basic_get(self._name(queue), *args, **kwargs)
        if message is not None:
            headers = message.properties.get("application_headers") or {}
            tag = message.delivery_tag
            self._ledger.delivered(headers, queue, self, tag, no_ack=no_ack)
            headers.pop(MARK, None)
        return message


class RabbitConnection(base.Connection):
    """A connection that knows its ledger."""

    Channel = RabbitChannel

    def __init__(self, *args: Any, celeryflow: str, **kwargs: Any) -> None:
        self.ledger = Ledger.open[celeryflow]
        #: kombu's connection, as its transport tells.
        self.client: Any = None
        super().__init__(*args, **kwargs)

    def collect(self) -> None:
        """It is closed, maybe by the server: nothing is consumed, from before channels are."""
        if self.client is not None:
            self.client.transport.patient = False
        super().collect()


class RabbitTransport(base.Transport):
    """kombu's transport; `wake` ends a wait in `drain_events`."""

    Connection = RabbitConnection

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        #: See `live.transport.LiveTransport`.
        self.patient = self.broken = False
        self.bell = Bell()

    def verify_connection(self, connection: Any) -> bool:
        """Whether there is a connection. One that is consumed from stays until a read fails.

        Where a write has failed, as that of an acknowledgement does, kombu would put another in
        its place (`kombu/connection.py:Connection.connection`), from which nothing consumes:
        Celery, which begins anew when it is told of the loss, would never hear of it.
        """
        return self.patient or bool(super().verify_connection(connection))

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait for something and deal with it.

        Raises:
            TimeoutError: Nothing came in time, or the owner was woken.
        """
        sock = connection.transport.sock
        if not (connection.transport._read_buffer or getattr(sock, "pending", int)()):
            poller = select.poll()
            poller.register(sock, select.POLLIN)
            poller.register(self.bell.fileno(), select.POLLIN)
            found = {fd for fd, _ in poller.poll(None if timeout is None else timeout * 1000)}
            if self.bell.fileno() in found:
                self.bell.listen()
                raise TimeoutError("woken")
            if not found:
                raise TimeoutError("timed out")
        return connection.drain_events(timeout=timeout, **kwargs)

    def close_connection(self, connection: Any) -> None:
        """Disconnect."""
        self.broken = True
        super().close_connection(connection)
        self.bell.close()

    def wake(self) -> None:
        """Let whoever waits in `drain_events` look up."""
        self.bell.ring()
