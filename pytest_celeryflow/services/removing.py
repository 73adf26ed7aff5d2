"""Removes, from a server that others use too, what bears a test's name, and nothing else.

kombu is imported when it is needed, not with this module.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_celeryflow.services.reaching import PATIENCE

__all__ = ["remove_from_rabbitmq", "remove_keys"]

#: Keys that are removed in one command.
_BATCH = 500


def remove_keys(url: str, prefix: str) -> None:
    """Delete every key of a Redis that begins with a prefix; SCAN blocks nobody else.

    Args:
        url: The server's.
        prefix: Which means itself in a pattern.
    """
    from kombu import Connection  # noqa: PLC0415 - not before it is needed

    options = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    with Connection(url, transport_options=options) as connection:
        client = connection.default_channel.client
        keys = list(client.scan_iter(match=f"{prefix}*", count=_BATCH))
        for start in range(0, len(keys), _BATCH):
            client.unlink(*keys[start : start + _BATCH])


def remove_from_rabbitmq(url: str, queues: Iterable[str], exchanges: Iterable[str]) -> None:
    """Delete queues and exchanges; RabbitMQ does not mind those that are gone already."""
    from kombu import Connection  # noqa: PLC0415 - not before it is needed

    with Connection(url, connect_timeout=PATIENCE) as connection:
        channel = connection.default_channel
        for queue in queues:
            channel.queue_delete(queue)
        for exchange in exchanges:
            channel.exchange_delete(exchange)
