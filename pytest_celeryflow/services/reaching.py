"""Whether a broker answers, asked the way Celery will ask it, and within a bound.

kombu is imported when it is needed, not with this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

__all__ = ["PATIENCE", "check_url", "masked", "where", "why_not"]

#: Real seconds that a service may take to answer.
PATIENCE = 2.0

#: How kombu's transports are told the same; redis-py repeats a failed attempt otherwise.
_REDIS_OPTIONS: Mapping[str, Any] = {
    "socket_connect_timeout": PATIENCE,
    "socket_timeout": PATIENCE,
    "retry_on_timeout": False,
}


def why_not(url: str) -> str | None:
    """Why a broker cannot be used; ``None`` if it answers.

    Args:
        url: As Celery's ``broker_url``.
    """
    from kombu import Connection  # noqa: PLC0415 - not before it is needed

    if url.startswith("redis") and find_spec("redis") is None:
        return "redis-py is not installed: pip install 'pytest-celeryflow[redis]'"
    options = dict(_REDIS_OPTIONS) if url.startswith("redis") else {}
    try:
        with Connection(url, connect_timeout=PATIENCE, transport_options=options) as connection:
            # Once, where `Connection.connect` tries again after two seconds. A Redis channel
            # sends PING when it opens (`kombu/transport/redis.py:Channel`), AMQP shakes hands.
            transport = connection.transport
            transport.close_connection(transport.establish_connection())
    except Exception as exc:  # noqa: BLE001 - each transport has errors of its own
        return f"{where(url)}: {exc}" if str(exc) else f"{where(url)}: {type(exc).__name__}"
    return None


def where(url: str) -> str:
    """The place that a URL names, without its password."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return parts.path or url
    return parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"


def masked(url: object) -> object:
    """A URL as it may be shown: without its password."""
    return re.sub(r"(://[^/@]*?:)[^/@]*@", r"\1***@", url) if isinstance(url, str) else url


def check_url(source: str, url: str, service: str, schemes: Sequence[str]) -> None:
    """Check that a URL can be one of a service.

    Args:
        source: Who names it, for the error.
        url: The URL.
        service: Such as ``"Redis"``.
        schemes: How it may begin.

    Raises:
        ValueError: It cannot; the message lists what is valid.
    """
    valid = ", ".join(schemes[:-1]) + f" and {schemes[-1]}"
    told = f"{source}: {masked(url)!r} is not the URL of a {service}"
    if not url.startswith(tuple(schemes)):
        raise ValueError(f"{told}; valid are {valid}")
    try:
        urlsplit(url).port  # noqa: B018 - read for its error
    except ValueError as exc:
        raise ValueError(f"{told}: {exc}; valid are {valid}") from None
