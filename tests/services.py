"""Real services that tests compare with: skip without one, unless they are required.

With ``CELERYFLOW_REQUIRE_SERVICES=1``, as CI sets it, a missing service is a failure.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

from pytest_celeryflow.services import PrivateRedis, ServiceMissing, start_redis

__all__ = ["private_redis", "rabbitmq_url", "redis_client", "redis_url"]

_PATIENCE = 2.0


def redis_url() -> str:
    """The URL of a real Redis that answers."""
    url = os.environ.get("CELERYFLOW_REDIS_URL", "redis://localhost:6379/15")
    return _reachable("Redis", url, 6379)


def rabbitmq_url() -> str:
    """The URL of a real RabbitMQ that answers."""
    url = os.environ.get("CELERYFLOW_RABBITMQ_URL", "amqp://guest:guest@localhost:5672//")
    return _reachable("RabbitMQ", url, 5672)


def private_redis(name: str = "") -> PrivateRedis:
    """A Redis of this process's own, which a test may interrupt; one for each name."""
    pytest.importorskip("redis")
    try:
        return start_redis(name)
    except ServiceMissing as exc:
        _missing(str(exc))


def redis_client() -> Any:
    """A client of a real Redis; the caller closes it and deletes its own keys."""
    redis = pytest.importorskip("redis")
    return redis.Redis.from_url(redis_url(), socket_timeout=_PATIENCE)


def _reachable(service: str, url: str, port: int) -> str:
    parts = urlsplit(url)
    try:
        address = (parts.hostname or "localhost", parts.port or port)
        socket.create_connection(address, timeout=_PATIENCE).close()
    except OSError as exc:
        _missing(f"no {service} at {parts.hostname}:{parts.port or port}: {exc}")
    return url


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CELERYFLOW_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{reason} (CELERYFLOW_REQUIRE_SERVICES=1)", pytrace=False)
    pytest.skip(reason)
