"""Celery's own worker in a thread: start it, wake its loop, stop it within a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery, _state
from celery.bootsteps import CLOSE, RUN
from celery.worker.consumer import Consumer

from pytest_celeryflow.controller import Controller, build
from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.live.pool import SoloPool, ThreadPool
from pytest_celeryflow.live.timer import LiveTimer
from pytest_celeryflow.recorder import Recorder

__all__ = ["LiveWorker"]

#: Real seconds that a worker may take to start, and its loop to end.
_PATIENCE = 10.0


class _Consumer(Consumer):
    """Celery's consumer, whose loop is woken when another thread gives it something to do."""

    recorder: Recorder

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """What deals with a message; it counts until that is done."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            with self.recorder.handling((message.headers or {}).get("id", "")):
                return handle(message)

        return on_task_received

    def call_soon(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Run something in the loop's thread, which alone uses the worker's connection."""
        result = super().call_soon(p, *args, **kwargs)
        self.wake()
        return result

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge there, as Celery's event loop and its versions before 5.7 do.

        Its loop without events does so at once, because there all tasks are greenlets of one
        thread (`celery/worker/consumer/consumer.py`).
        """
        return self.call_soon(p, *args, **kwargs)

    def _restore_prefetch_count_after_connection_restart(self, *args: Any) -> None:
        """Announce a larger prefetch count there; the answer comes to whoever reads.

        Celery does so where a task was acknowledged. In a thread of the pool that would wait
        for an answer which the loop reads, and the loop for its turn.
        """
        self.call_soon(super()._restore_prefetch_count_after_connection_restart, *args)

    def apply_eta_task(self, task: Any) -> None:
        """A task's ETA has come: the loop has a larger prefetch count to announce."""
        with self.recorder.handling(task.id):
            super().apply_eta_task(task)
        self.wake()

    def _limit_post_eta(self, *args: Any) -> Any:
        result = super()._limit_post_eta(*args)
        self.wake()
        return result

    def on_ready(self) -> None:
        """It consumes, for the first time or again: from now on it is woken when need be."""
        super().on_ready()
        self.connection.transport.patient = True

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """It consumes no more, from before its channels give back what they have."""
        self.connection.transport.patient = False
        super().on_connection_error_after_connected(exc)

    def wake(self) -> None:
        """Let the loop go round."""
        connection = self.connection  # the loop may lose it meanwhile
        if connection is not None:
            connection.transport.wake()


class _Controller(Controller):
    ready: threading.Event

    def on_consumer_ready(self, consumer: Any) -> None:
        super().on_consumer_ready(consumer)
        self.ready.set()


class LiveWorker:
    """One real worker in a thread of this process."""

    def __init__(
        self,
        app: Celery,
        recorder: Recorder,
        *,
        name: str,
        pool: str,
        concurrency: int,
        queues: Sequence[str] | None,
    ) -> None:
        self.name = name
        self.app = app
        base = {"threads": ThreadPool, "solo": SoloPool}[pool]
        cls = type(base.__name__, (base,), {"recorder": recorder})
        ready = threading.Event()
        controller_cls = type("Controller", (_Controller,), {"ready": ready})
        self.controller = build(
            controller_cls,
            app,
            name,
            queues,
            pool=cls,
            consumer_cls=type("Consumer", (_Consumer,), {"recorder": recorder}),
            timer_cls=LiveTimer,
            concurrency=concurrency,
        )
        self._ready = ready
        self._error: BaseException | None = None
        self._abandoned = False
        #: Called in its own thread when its loop has ended after `abandon`.
        self.left: Callable[[], None] = _nothing
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"celeryflow-{name}")

    @property
    def consumer(self) -> Any:
        """Its consumer."""
        return self.controller.consumer

    @property
    def consuming(self) -> bool:
        """Whether it has a connection to consume from."""
        connection = self.consumer.connection if self.consumer is not None else None
        transport = connection.transport if connection is not None else None
        return transport is not None and transport.patient and not transport.broken

    def _run(self) -> None:
        _state._set_current_app(self.app)
        try:
            self.controller.blueprint.start(self.controller)
        except BaseException as exc:  # noqa: BLE001 - raised in the thread that starts or stops
            self._error = exc
        finally:
            self._ready.set()
            if self._abandoned:
                self.left()

    def start(self) -> None:
        """Start it and wait until it consumes.

        Raises:
            CeleryflowError: It did not come up in time.
            Exception: What kept it from starting.
        """
        self._thread.start()
        if not self._ready.wait(_PATIENCE):
            raise CeleryflowError(f"worker {self.name} did not start within {_PATIENCE:g} s")
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            if isinstance(error, SystemExit):
                return
            raise error

    def stop(self) -> None:
        """Stop it; its tasks must have ended.

        Raises:
            CeleryflowError: Its loop did not end in time.
        """
        blueprint = self.consumer.blueprint
        if self._thread.is_alive():
            # The loop ends first, so that only one thread takes the worker apart.
            blueprint.state = CLOSE
            self.consumer.wake()
            self._thread.join(_PATIENCE)
            if self._thread.is_alive():
                raise CeleryflowError(f"worker {self.name} did not stop within {_PATIENCE:g} s")
            blueprint.state = RUN
        self.controller.stop()
        self._raise_error()

    def ended(self) -> bool:
        """Wait for the end of its loop, which was asked to end; whether it did."""
        self._thread.join(_PATIENCE)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Let it go although a task of its pool will not end."""
        self._abandoned = True
        self.consumer.blueprint.state = CLOSE
        self.consumer.wake()
        self.controller.timer.stop()
        executor = getattr(self.controller.pool, "executor", None)
        if executor is not None:
            executor.shutdown(wait=False)


def _nothing() -> None:
    """The default of `LiveWorker.left`."""
