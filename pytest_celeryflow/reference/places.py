"""Where a session runs the reference workflows: modes, and services of the user's.

With no option: each mode, and a real Redis, RabbitMQ and worker process for the workflows that name
them, if there is one. With ``--celeryflow-mode`` or ``--celeryflow-modes``: those. With
``--celeryflow-redis-url``, ``--celeryflow-rabbitmq-url``, ``--celeryflow-backend-url`` or
``--celeryflow-own-services``: mode ``worker`` on those services, and the session ends with a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from celery.app.defaults import SETTING_KEYS

from pytest_celeryflow.plugin import MODES, option

__all__ = ["Place", "places"]

#: Mode ``worker`` on a server that is found or started.
_SERVERS: Mapping[str, Mapping[str, Any]] = {
    "redis": {"broker": "redis", "backend": "redis"},
    "rabbitmq": {"broker": "rabbitmq"},
}

#: How long anything may take on services of the user's, in seconds.
_TIMEOUT = 15.0

#: Celery looks once a second whether a chord is complete, where the backend does not count.
_LOOK_OFTEN = {"result_chord_retry_interval": 0.1}

#: Settings of the user's app that name its own tasks and queues, or make the mode.
_NOT_TAKEN = frozenset(
    "beat_schedule broker_read_url broker_transport broker_url broker_write_url imports include "
    "result_backend task_always_eager task_annotations task_create_missing_queues "
    "task_default_exchange task_default_queue task_default_routing_key task_eager_propagates "
    "task_ignore_result task_queues task_routes task_store_eager_result".split()
)


@dataclass(frozen=True)
class Place:
    """Where a workflow runs.

    Attributes:
        name: In the test's id.
        like: The one of `PLACES` whose known differences hold there.
        services: Arguments of `run_worker`, where it is mode ``worker`` on servers.
        told: What the table calls it; nothing, if the session's end shall not tell.
        trouble: Why it cannot be used.
    """

    name: str
    like: str
    services: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""
    trouble: str = ""


def places(config: pytest.Config) -> list[Place]:
    """The places that a session asks for."""
    own = list(_of_the_user(config))
    one = option(config, "mode")
    several = [m.strip() for m in str(option(config, "modes") or "").split(",") if m.strip()]
    modes = several or ([one] if one else [])
    if not modes and not own:
        modes = [*MODES]
        return [*(Place(m, m) for m in modes), *(Place(s, s, _SERVERS[s]) for s in _SERVERS)]
    return [*(Place(mode, mode) for mode in modes), *own]


def _of_the_user(config: pytest.Config) -> Iterator[Place]:
    redis, rabbitmq = option(config, "redis-url"), option(config, "rabbitmq-url")
    backend = option(config, "backend-url")
    if redis:
        yield _place("redis", redis, backend or redis)
    if rabbitmq:
        yield _place("rabbitmq", rabbitmq, backend or redis or "memory")
    if backend and not (redis or rabbitmq):
        yield _place("backend", "memory", backend)
    if config.getoption("--celeryflow-own-services"):
        yield _own(config)


def _place(
    name: str, broker: str, backend: str, settings: Mapping[str, Any] | None = None
) -> Place:
    told = f"{_shown(broker)}, results in {_shown(backend)}"
    services = {
        "broker": broker,
        "backend": backend,
        "timeout": _TIMEOUT,
        "config": {**_LOOK_OFTEN, **(settings or {})},
    }
    like = "rabbitmq" if "amqp" in broker else "redis" if broker != "memory" else "worker"
    return Place(name, like, services, told)


def _own(config: pytest.Config) -> Place:
    path = config.getini("celeryflow_app")
    hint = "--celeryflow-own-services"
    if not path:
        raise pytest.UsageError(f"{hint} needs the ini option celeryflow_app = module:attribute")
    module, _, attribute = path.partition(":")
    try:
        app = getattr(import_module(module), attribute or "app")
    except (ImportError, AttributeError) as exc:
        reason = f"{hint}: celeryflow_app={path!r} cannot be imported: {exc}"
        raise pytest.UsageError(reason) from None
    if not isinstance(app, Celery):
        raise pytest.UsageError(f"{hint}: celeryflow_app={path!r} is not a Celery app")
    broker, backend = str(app.conf.broker_url or "amqp://"), app.conf.result_backend
    if not broker.startswith(("redis", "amqp", "pyamqp")):
        trouble = f"mode worker can use Redis and RabbitMQ, not the broker {_shown(broker)}"
        return Place("own", "worker", told=_shown(broker), trouble=trouble)
    if not isinstance(backend, str) or not backend:
        trouble = "the app has no result_backend: no result of a workflow can be read"
        return Place("own", "worker", told=_shown(broker), trouble=trouble)
    settings = {
        name: app.conf[name]
        for name in SETTING_KEYS
        if name not in _NOT_TAKEN and app.conf.value_set_for(name)
    }
    return _place("own", broker, backend, settings)


def _shown(url: str) -> str:
    """A URL without its password."""
    if url == "memory":
        return "memory"
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":…@", 1)
