"""A result backend of Celery's that is used as it is, by a worker in this process.

Each thread has one of its own (`Celery.backend`), with connections that nobody closes: a process
that ends does. Those of ``rpc://`` get results as messages; a result that is waited for has a consumer
of its own, and its state does not change until somebody reads (`celery/backends/rpc.py:
ResultConsumer`, `RPCBackend.get_task_meta`).

Relies on ``result_consumer`` of `celery/backends/asynchronous.py:AsyncBackendMixin`; the same from 5.4
to 5.7. Does not model: backends that keep other connections open than SQLAlchemy's pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery

from pytest_celeryflow.replacing import real_monotonic, real_sleep

__all__ = ["backends_closed", "catch_up"]

#: Real seconds that a result may be on its way, and between two looks.
_PATIENCE, _STEP = 1.0, 0.02


@contextmanager
def backends_closed(app: Celery) -> Iterator[None]:
    """Close the connections of all backends that an app makes meanwhile."""
    made: list[Any] = []
    make = app._get_backend

    def making() -> Any:
        made.append(make())
        return made[-1]

    app._get_backend = making
    try:
        yield
    finally:
        del app._get_backend
        for backend in made:
            consumer: Any = getattr(backend, "result_consumer", None)
            if getattr(consumer, "_consumer", None) is not None:
                with suppress(Exception):  # the server is gone: it has nothing to close
                    consumer.stop()


def catch_up(backend: Any, known: Callable[[], bool]) -> None:
    """Read what a backend was sent until something is known, for a second at most."""
    consumer = getattr(backend, "result_consumer", None)
    if consumer is None:
        return
    until = real_monotonic() + _PATIENCE
    while not known() and real_monotonic() < until:
        if getattr(consumer, "_connection", None) is None:
            real_sleep(_STEP)
            continue
        with suppress(TimeoutError):
            consumer.drain_events(timeout=_STEP)
