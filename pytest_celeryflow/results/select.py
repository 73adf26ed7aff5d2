"""Which result backend stands in for which URL.

The app's own choice decides, so that its chord logic is what runs: Redis by Celery's Redis
backend over an in-process store, Memcached and its like by the key-value logic, databases
on a server by polling. A backend that needs no server is used as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from celery import Celery
from celery.app import backends
from celery.backends.base import KeyValueStoreBackend

from pytest_celeryflow.borrow import is_configured
from pytest_celeryflow.broker.semantics import MEMORY, semantics_of
from pytest_celeryflow.results.memory import MemoryBackend, NoBackend, PollingBackend
from pytest_celeryflow.results.values import Values

__all__ = ["BACKENDS", "for_simulation", "is_lasting", "needs_no_server"]

#: What ``backend=`` accepts by name.
BACKENDS = ("memory", "redis", "rabbitmq", "polling")

_REDIS = ("redis", "rediss", "sentinel", "redis+socket", "valkey")
_SERVERLESS = ("rpc", "file", "django-db", "django-cache", "db+sqlite", "database+sqlite")
#: Those of them that may still hold what an earlier simulation stored under the same ids. A
#: test's own transaction takes care of ``django-db``; ``rpc://`` keeps nothing.
_LASTING = ("file", "django-cache", "db+sqlite", "database+sqlite")


def needs_no_server(backend: Any) -> bool:
    """Whether a ``result_backend`` is used as it is."""
    scheme = backend.partition("://")[0].lower() if isinstance(backend, str) else ""
    return scheme.startswith(_SERVERLESS)


def for_simulation(app: Celery, name: str | None, values: Values) -> Callable[[], Any] | None:
    """Make the backend that the simulation shall use; ``None``: that of ``result_backend``, as it is.

    Raises:
        ImportError: The app names Redis and redis-py is not installed.
    """
    if name == "rabbitmq" or needs_no_server(name):
        return None
    if name is not None:
        return _named(app, name, values)
    url = app.backend_cls or app.conf.result_backend
    if not url or (not isinstance(url, str)):
        if url:
            return None
        # An app with no broker of its own, or none but kombu's in memory, is a test's.
        alone = not is_configured(app, "broker_url") or semantics_of(app.conf.broker_url) is MEMORY
        return lambda: (MemoryBackend if alone else NoBackend)(app, values)
    scheme = url.partition("://")[0].lower()
    if scheme in _REDIS or url == "redis":
        return _named(app, "redis", values)
    if needs_no_server(url):
        return None
    if url == "disabled" or scheme == "disabled":
        return lambda: NoBackend(app, values)
    counts = _counts_chords(url, app)
    return lambda: (MemoryBackend if counts else PollingBackend)(app, values)


def is_lasting(app: Celery) -> bool:
    """Whether the app's own backend keeps results for longer than a simulation lasts."""
    url = app.backend_cls or app.conf.result_backend
    return isinstance(url, str) and url.partition("://")[0].lower().startswith(_LASTING)


def _named(app: Celery, name: str, values: Values) -> Callable[[], Any]:
    if name == "memory":
        return lambda: MemoryBackend(app, values)
    if name == "polling":
        return lambda: PollingBackend(app, values)
    if find_spec("redis") is None:
        raise ImportError(
            "the app's results are in Redis, and Celery's Redis backend needs redis-py: "
            "pip install pytest-celeryflow[redis], or simulate(app, backend='memory') for the "
            "plain key-value logic"
        )
    from pytest_celeryflow.results.redis import InProcessClient, InProcessRedis  # noqa: PLC0415

    client = InProcessClient(values)
    return lambda: InProcessRedis(app, client)


def _counts_chords(url: str, app: Celery) -> bool:
    """Whether the backend class behind a URL counts chords by itself."""
    try:
        cls, _ = backends.by_url(url, app.loader)
    except Exception:  # noqa: BLE001 - its client library is not installed: the commoner logic
        return False
    return bool(issubclass(cls, KeyValueStoreBackend) and cls.implements_incr)
