"""Celery's `WorkController`, as both kinds of worker build it.

`worker_ready` is sent as `celery/apps/worker.py` does. Gossip, mingle and heartbeats are off:
they speak to other workers, and there are none.

Celery's Django fixup (`celery/fixups/django.py`) connects, on ``worker_init``, handlers that
close the database connections of the thread around every task. That is right in a worker's
process. Here it would end the transaction of a test in the same thread, and the handlers would
stay for the rest of the session. So they rest in the simulation; beside a real worker they leave
the test's thread alone, and are gone afterwards.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from celery import Celery, _state, signals
from celery.app import trace
from celery.utils.dispatch import Signal
from celery.utils.log import get_logger
from celery.worker import WorkController
from celery.worker.consumer import consumer

__all__ = [
    "Controller",
    "build",
    "consume_too",
    "django_fixup_elsewhere",
    "django_fixup_resting",
    "warnings_not_raised",
]

logger = get_logger(__name__)


class Controller(WorkController):
    """A worker that announces that it is ready."""

    def on_consumer_ready(self, consumer: Any) -> None:
        """Send ``worker_ready``."""
        signals.worker_ready.send(sender=consumer)


def build(
    cls: type[Controller], app: Celery, name: str, queues: Sequence[str] | None, **options: Any
) -> Any:
    """Make a worker of an app.

    Args:
        cls: The class of it.
        app: The app.
        name: Its node name.
        queues: Names of the queues to consume; ``None`` takes the app's.
        options: Further arguments of `WorkController`.
    """
    controller = cls(
        app=app,
        hostname=name,
        queues=list(queues) if queues is not None else None,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARN",
        use_eventloop=False,
        **options,
    )
    consumer_ = controller.consumer
    consumer_.strategies = strategies = _Strategies(consumer_)
    if type(consumer_).update_strategies is consumer.Consumer.update_strategies:
        consumer_.update_strategies = strategies.start_anew
    # Creating the pool forbids waiting for results everywhere; only tasks must not.
    _state._set_task_join_will_block(False)
    return controller


class _Strategies(dict[str, Any]):
    """How a worker deals with each task: made when the first message of it comes.

    Celery makes the table, and a tracer for each task, whenever the worker has connected
    (`celery/worker/consumer/consumer.py:Consumer.update_strategies`). In a project of hundreds
    that takes longer than the test itself (`benchmarks/figures/simulation.py`), and a task that the
    test defines afterwards would be unknown. A tracer is made where it is first called for (`as_workers_trace`).
    """

    def __init__(self, consumer: Any) -> None:
        super().__init__()
        self._consumer = consumer

    def start_anew(self) -> None:
        """In place of ``update_strategies``: what tasks and settings say by now counts."""
        self.clear()
        for task in self._consumer.app.tasks.values():
            task.__trace__ = None

    def __missing__(self, name: str) -> Any:
        consumer = self._consumer
        strategy = self[name] = consumer.app.tasks[name].start_strategy(consumer.app, consumer)
        return strategy


@contextmanager
def warnings_not_raised() -> Iterator[None]:
    """Log what Celery's worker warns of, where the test's filters make errors of warnings.

    A worker's process has filters of its own. Raised in the middle of its loop or its tracer,
    a warning would change what the worker does.
    """
    kept = trace.warn, consumer.warnings
    trace.warn = _warn
    consumer.warnings = SimpleNamespace(warn=_warn)
    try:
        yield
    finally:
        trace.warn, consumer.warnings = kept


def _warn(message: Any, category: type[Warning] | None = None, *_: Any, **__: Any) -> None:
    try:
        warnings.warn(message, category, stacklevel=2)
    except Warning as warning:
        logger.warning("%s: %s", type(warning).__name__, warning)


#: Django is set up by it (`DjangoFixup.on_import_modules`); it closes nothing.
_SET_UP = signals.import_modules


@contextmanager
def django_fixup_resting() -> Iterator[None]:
    """Let no signal reach Celery's Django fixup, nor what an earlier worker left connected."""
    with _receivers_put_back() as before:
        for signal, entries in before.items():
            if signal is not _SET_UP:
                signal.receivers[:] = [e for e in entries if not _is_method_of(e, *_FIXUPS)]
        yield


@contextmanager
def django_fixup_elsewhere(app: Celery) -> Iterator[None]:
    """Let Celery's Django fixup close the connections of a worker's threads, not those of this one.

    It also closes when it is installed, and that is done by the thread of the test. Afterwards
    the handlers that it connected are gone, and the fixup of the app is the one it was.
    """
    thread = threading.get_ident()
    fixups = [fixup for fixup in app._fixups if type(fixup).__name__ == "DjangoFixup"]
    kept = [(fixup, fixup._worker_fixup) for fixup in fixups]

    def guarded(close: Callable[..., None]) -> Callable[..., None]:
        def elsewhere(**kwargs: Any) -> None:
            if threading.get_ident() != thread:
                close(**kwargs)

        return elsewhere

    with _receivers_put_back():
        for fixup in fixups:
            fixup._worker_fixup = None
            worker_fixup = fixup.worker_fixup  # made anew
            worker_fixup._close_database = guarded(worker_fixup._close_database)
            worker_fixup.close_cache = guarded(worker_fixup.close_cache)
        try:
            yield
        finally:
            for fixup, worker_fixup in kept:
                fixup._worker_fixup = worker_fixup


@contextmanager
def _receivers_put_back() -> Iterator[dict[Any, list[Any]]]:
    """Put back what Django's fixups had connected to signals, in its place, and nothing new.

    What others connect or disconnect meanwhile stays so.
    """
    every = [value for value in vars(signals).values() if isinstance(value, Signal)]
    before = {signal: list(signal.receivers or ()) for signal in every}
    try:
        yield before
    finally:
        for signal, entries in before.items():
            now = list(signal.receivers)
            old = [e for e in entries if _is_among(e, now) or _is_method_of(e, *_FIXUPS)]
            new = [e for e in now if not _is_among(e, entries)]
            signal.receivers[:] = [*old, *(e for e in new if not _is_method_of(e, _FIXUPS[1]))]


_FIXUPS = ("DjangoFixup", "DjangoWorkerFixup")


def _is_among(entry: Any, entries: list[Any]) -> bool:
    return any(entry is each for each in entries)


def _is_method_of(entry: Any, *owners: str) -> bool:
    """Whether what is connected is a method of an object of such a class."""
    receiver = entry[1]
    target = receiver() if isinstance(receiver, weakref.ReferenceType) else receiver
    return type(getattr(target, "__self__", None)).__name__ in owners


def consume_too(consumer: Any, queue: str, *, connected: bool) -> None:
    """Let a worker consume a queue that was not among its own, now or when it is back.

    Args:
        consumer: The worker's `celery.worker.consumer.Consumer`.
        queue: Name of the queue.
        connected: Whether it has a connection now; on the next one it consumes all queues
            that are selected (`celery/app/amqp.py:AMQP.TaskConsumer`).
    """
    if connected:
        consumer.add_task_queue(queue)
    elif queue not in consumer.app.amqp.queues:
        consumer.app.amqp.queues.select_add(
            queue, exchange=queue, exchange_type="direct", routing_key=queue
        )
