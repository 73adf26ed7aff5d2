"""A name space of one test inside a service that others use too.

Each context manager yields the Celery settings that keep to it, and removes afterwards what
bears its name. Nothing else is ever touched: no ``FLUSHDB``, no purge of a shared queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pytest_celeryflow.services.rabbitmq import RabbitMQ
from pytest_celeryflow.services.reaching import PATIENCE
from pytest_celeryflow.services.server import Redis

__all__ = ["own_keys", "own_queue"]

#: Keys that are removed in one command.
_BATCH = 500


@contextmanager
def own_keys(redis: Redis) -> Iterator[dict[str, Any]]:
    """Keys of one test in a Redis, as broker and as result store.

    Every key and channel begins with a prefix of the test's own: kombu's by
    ``global_keyprefix`` (`kombu/transport/redis.py:GlobalKeyPrefixMixin`), those of results by
    the option of the same name (`celery/backends/base.py:KeyValueStoreBackend`). Both options
    take the place of the user's own; lay further ones over them.

    What tasks themselves write to that Redis is theirs.

    Args:
        redis: See `find_redis`.

    Yields:
        Celery settings.

    Example:
        >>> with own_keys(find_redis()) as settings:  # doctest: +SKIP
        ...     app.conf.update(settings)
    """
    # In hexadecimal, so that it means itself in the pattern below.
    prefix = f"celeryflow-{uuid4().hex}:"
    try:
        yield {
            "broker_url": redis.url,
            "result_backend": redis.url,
            "broker_transport_options": {"global_keyprefix": prefix},
            "result_backend_transport_options": {"global_keyprefix": prefix},
        }
    finally:
        _remove_keys(redis.url, prefix)


def _remove_keys(url: str, prefix: str) -> None:
    """Delete what begins with a prefix; SCAN blocks nobody else."""
    from kombu import Connection  # noqa: PLC0415 - not before it is needed

    options = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    with Connection(url, transport_options=options) as connection:
        client = connection.default_channel.client
        keys = list(client.scan_iter(match=f"{prefix}*", count=_BATCH))
        for start in range(0, len(keys), _BATCH):
            client.unlink(*keys[start : start + _BATCH])


@contextmanager
def own_queue(rabbitmq: RabbitMQ) -> Iterator[dict[str, Any]]:
    """A default queue of one test in a RabbitMQ, with exchanges of its own.

    Commands to workers and events keep to it as well, so that a test's ``shutdown`` stops
    nobody else's worker. Not covered: queues that the app names itself, in ``task_routes`` or
    ``task_queues``; and results, whose ``result_backend`` is the caller's choice. RabbitMQ
    would keep those apart by a virtual host, but AMQP cannot make one.

    Args:
        rabbitmq: See `find_rabbitmq`.

    Yields:
        Celery settings.

    Example:
        >>> with own_queue(find_rabbitmq()) as settings:  # doctest: +SKIP
        ...     app.conf.update(settings)
    """
    name = f"celeryflow-{uuid4().hex}"
    control, events = f"{name}.control", f"{name}.events"
    try:
        yield {
            "broker_url": rabbitmq.url,
            "task_default_queue": name,
            "control_exchange": control,
            "event_exchange": events,
            "event_queue_prefix": events,
        }
    finally:
        # Two names are made by `kombu/pidbox.py:Mailbox`, of the control exchange's.
        mailbox = [f"{control}.pidbox", f"reply.{control}.pidbox"]
        _remove_queue(rabbitmq.url, name, [name, events, *mailbox])


def _remove_queue(url: str, queue: str, exchanges: list[str]) -> None:
    """Delete them; RabbitMQ does not mind those that were never made."""
    from kombu import Connection  # noqa: PLC0415 - not before it is needed

    with Connection(url, connect_timeout=PATIENCE) as connection:
        channel = connection.default_channel
        channel.queue_delete(queue)
        for exchange in exchanges:
            channel.exchange_delete(exchange)
