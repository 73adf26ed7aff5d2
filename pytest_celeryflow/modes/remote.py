"""`worker` on servers: the same real worker in a thread, on a real Redis or RabbitMQ.

What differs from `modes.worker` is where messages and results are. The test keeps to a name
space of its own on the server, and what bears its name is removed at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from uuid import uuid4

from celery.bootsteps import RUN

from pytest_celeryflow.borrow import is_configured
from pytest_celeryflow.controller import consume_too
from pytest_celeryflow.errors import UnsupportedFault
from pytest_celeryflow.faults import (
    BackendDown,
    BackendFail,
    BrokerDown,
    Drop,
    Duplicate,
    Fault,
    Redeliver,
)
from pytest_celeryflow.live.ledger import Ledger
from pytest_celeryflow.modes.single import broker_settings
from pytest_celeryflow.modes.worker import WorkerMode
from pytest_celeryflow.replacing import real_monotonic
from pytest_celeryflow.results.lent import backends_closed, catch_up
from pytest_celeryflow.services import RabbitMQ, Redis, own_keys
from pytest_celeryflow.services.removing import remove_from_rabbitmq
from pytest_celeryflow.services.sweeper import swept

__all__ = ["RemoteMode"]

#: Settings whose dicts hold something of ours and something of the user's.
_SHARED = ("broker_transport_options", "result_backend_transport_options")

#: Who consumes a queue that the worker's loop was asked to consume.
_SOON = "soon"


class RemoteMode(WorkerMode):
    """One app on a real worker and real servers.

    Args:
        broker: Where messages go; ``None``: they stay in the process.
        store: Where results go; likewise. A text is a ``result_backend`` that is used as it is.
        arguments: See `WorkerMode`.
    """

    def __init__(
        self, *arguments: Any, broker: Redis | RabbitMQ | None, store: Redis | str | None, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self._server = broker
        self._store = None if isinstance(store, str) else store
        self._as_it_is = store if isinstance(store, str) else None
        self._ours: dict[str, dict[str, Any]] = {}

    def _open_broker(self, stack: ExitStack) -> dict[str, Any]:
        server = self._server
        if server is None:
            return super()._open_broker(stack)
        prefix = f"celeryflow-{uuid4().hex}." if isinstance(server, RabbitMQ) else ""
        self.broker = ledger = self._make_ledger(prefix)
        self.outages = _None()
        if self._any_queue():
            ledger.unconsumed = self._consume_too
        settings = broker_settings(self.app, self._way_to(server, stack))
        options: dict[str, Any] = {}
        if isinstance(server, RabbitMQ):
            ledger.made = stack.enter_context(swept(prefix, server.url))
            stack.callback(_remove, server.url, ledger)
            if not is_configured(self.app, "broker_heartbeat"):
                settings["broker_heartbeat"] = 0  # a worker's blocking loop never sends one
        else:
            options = stack.enter_context(own_keys(server))["broker_transport_options"]
        options["celeryflow"] = stack.enter_context(ledger.opened())
        self._ours["broker_transport_options"] = options
        return {**settings, "broker_transport": self._transport(server)}

    def _make_ledger(self, prefix: str) -> Ledger:
        """What keeps the books on messages."""
        return Ledger(self.recorder, prefix=prefix)

    def _way_to(self, server: Redis | RabbitMQ, stack: ExitStack) -> str:
        """The URL by which app and worker reach the server."""
        return server.url

    def _transport(self, server: Redis | RabbitMQ) -> str:
        """How they speak to it."""
        if isinstance(server, RabbitMQ):
            from pytest_celeryflow.live import rabbitmq  # noqa: PLC0415 - when it is used

            return rabbitmq.SCHEME
        from pytest_celeryflow.live import redis  # noqa: PLC0415 - needs redis-py

        return redis.SCHEME

    def _open_store(self, stack: ExitStack) -> dict[str, Any]:
        if self._as_it_is is not None:
            stack.enter_context(backends_closed(self.app))
            return {"result_backend": self._as_it_is}
        if self._store is None:
            return super()._open_store(stack)
        from pytest_celeryflow.results.waited import deprecations_not_raised  # noqa: PLC0415

        stack.enter_context(deprecations_not_raised())
        settings = stack.enter_context(own_keys(self._store))
        options = "result_backend_transport_options"
        self._ours[options] = settings[options]
        return {"result_backend": settings["result_backend"]}

    def catch_up(self, known: Callable[[], bool]) -> None:
        """Read what a result backend sends, as ``rpc://`` does, and wait a little for it."""
        if self._as_it_is is not None:
            catch_up(self.app.backend, known)

    def _laid_over(self, config: dict[str, Any]) -> None:
        for name, ours in self._ours.items():
            theirs = self._config.get(name, self.app.conf[name]) or {}
            config[name] = {**theirs, **ours}

    def _backend(self, stack: ExitStack) -> Callable[[], Any] | None:
        return None if self._as_it_is is not None else super()._backend(stack)

    def _make_backend(self, stack: ExitStack) -> Any:
        if self._store is None:
            return super()._make_backend(stack)
        from pytest_celeryflow.results.waited import WaitedRedis  # noqa: PLC0415 - needs redis-py

        url = self.app.conf.result_backend
        backend = WaitedRedis(self.app, url, wait=self._wait_for_value, now=real_monotonic)
        backend.changed = self.recorder.touch
        stack.callback(backend.close)
        return backend

    def _stop(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        assert self.worker is not None
        self.worker.left = self._disconnect
        try:
            super()._stop(kind, error, traceback)
        finally:
            if self._pool != "solo":  # there the loop is what a task keeps from ending
                self.worker.ended()

    def _disconnect(self) -> None:
        """Close what a worker keeps open that was let go while a task of it runs."""
        assert self.worker is not None
        consumer = self.worker.consumer
        if consumer.connection is not None:
            for channel in getattr(consumer.connection.transport, "channels", None) or ():
                channel.do_restore = False  # its name space is gone
            consumer.blueprint.state = RUN
            consumer.stop()
            consumer.shutdown()

    def _consume_too(self, queue: str) -> None:
        if self._server is None:
            super()._consume_too(queue)
        elif self.worker is not None:
            with self._consuming:
                if self.broker.consumers(queue):
                    return
                self.broker.consumes(queue, _SOON)
            # Only the thread of the loop may use its connection.
            self.worker.consumer.call_soon(self._consume_now, queue)

    def _consume_now(self, queue: str) -> None:
        assert self.worker is not None
        try:
            consume_too(self.worker.consumer, queue, connected=self.worker.consuming)
        finally:
            self.broker.cancelled(queue, _SOON)

    def injected(self, fault: Fault) -> AbstractContextManager[None]:
        """Bring a fault about, unless it takes a broker of ours.

        Raises:
            UnsupportedFault: It does.
        """
        if self._as_it_is is not None and isinstance(fault, BackendDown | BackendFail):
            raise UnsupportedFault(
                f"mode 'worker' cannot do {fault.name} on the result backend {self._as_it_is!r}, "
                "which is used as it is. It can with backend='memory', and so can mode 'sim'"
            )
        if self._server is not None and isinstance(
            fault, Drop | Duplicate | Redeliver | BrokerDown
        ):
            raise UnsupportedFault(
                f"mode 'worker' cannot do {fault.name} on {self._server!r}: the server is not "
                "the toolkit's to disturb. It can with broker='memory', and so can mode 'sim'"
            )
        return super().injected(fault)


class _None:
    """The outages of a server that is left alone."""

    end = True

    @staticmethod
    def notes() -> list[str]:
        return []


def _remove(url: str, ledger: Ledger) -> None:
    """Delete what was made."""
    exchanges = [name for name in ledger.exchanges if not name.startswith("amq.")]
    there = ledger.on_server
    remove_from_rabbitmq(url, map(there, ledger.queues), map(there, exchanges))
