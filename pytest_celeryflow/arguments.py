"""What the arguments of the context managers may be; the same for the keywords of the marker.

A check names the argument and lists what is valid. It loads no mode and asks no server, so that
pytest can check all markers before the first test runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import Celery
from celery.app.backends import BACKEND_ALIASES

from pytest_celeryflow.borrow import check_config
from pytest_celeryflow.broker.semantics import SEMANTICS
from pytest_celeryflow.clock import moment
from pytest_celeryflow.durations import seconds
from pytest_celeryflow.results.select import BACKENDS, needs_no_server
from pytest_celeryflow.services.reaching import masked
from pytest_celeryflow.services.worker import check_json

__all__ = ["SCHEMES", "check_app", "check_arguments", "is_used_as_it_is"]

#: How the URL of a server begins.
SCHEMES = {"redis": ("redis://", "rediss://"), "rabbitmq": ("amqp://", "amqps://", "pyamqp://")}

_Check = Callable[[str, Any], object]


def check_app(app: Any) -> None:
    """Check the app itself.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(app, Celery):
        raise TypeError(f"app={app!r} is not a Celery app")


def check_arguments(mode: str, arguments: Mapping[str, Any]) -> None:
    """Check what a mode's context manager is given, besides the app.

    Raises:
        ValueError: An argument is not valid; the message lists what is.
    """
    for name, value in arguments.items():
        _CHECKS[mode][name](name, value)


def is_used_as_it_is(backend: Any) -> bool:
    """Whether a result backend is one of Celery's, and of no server that a test keeps apart."""
    if not isinstance(backend, str) or "://" not in backend or backend.startswith(SCHEMES["redis"]):
        return False
    scheme = backend.partition("://")[0].lower()
    return scheme in BACKEND_ALIASES or scheme.partition("+")[0] in BACKEND_ALIASES


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(name: str, value: Any) -> None:
    if not _is_whole(value):
        raise ValueError(f"{name}={value!r} must be a whole number")


def _at_least_one(name: str, value: Any) -> None:
    if not _is_whole(value) or value < 1:
        raise ValueError(f"{name}={value!r} must be a whole number, 1 or more")


def _prefetch(name: str, value: Any) -> None:
    if value is not None and not (_is_whole(value) and value >= 0):
        raise ValueError(f"{name}={value!r} must be a whole number, 0 or more, or None")


def _one_of(*valid: Any) -> _Check:
    def check(name: str, value: Any) -> None:
        if value not in valid:
            raise ValueError(f"{name}={value!r} is not one of {_listed(valid)}")

    return check


def _server(*valid: str) -> _Check:
    schemes = [scheme for server in valid for scheme in SCHEMES.get(server, ())]

    def check(name: str, value: Any) -> None:
        if value in valid or (isinstance(value, str) and value.startswith(tuple(schemes))):
            return
        raise ValueError(
            f"{name}={masked(value)!r} is not one of {_listed(valid)}, nor a URL that begins with "
            f"{', '.join(schemes)}"
        )

    return check


def _simulated_backend(name: str, value: Any) -> None:
    if value not in (*BACKENDS, None) and not needs_no_server(value):
        raise ValueError(
            f"{name}={masked(value)!r} is not one of {_listed((*BACKENDS, None))}, nor a "
            "result_backend that needs no server, such as rpc:// or db+sqlite:///results"
        )


def _worker_backend(name: str, value: Any) -> None:
    if not is_used_as_it_is(value):
        _server("memory", "redis")(name, value)


def _queues(name: str, value: Any) -> None:
    if value is None:
        return
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not listed or not value or not all(isinstance(queue, str) and queue for queue in value):
        raise ValueError(
            f"{name}={value!r} must be a list of names of queues, such as ['celery'], or None"
        )


def _moment(name: str, value: Any) -> None:
    moment(value, argument=name)


def _length(name: str, value: Any) -> None:
    seconds(value, argument=name)


def _config(_: str, value: Any) -> None:
    check_config(value)


def _plain_config(_: str, value: Any) -> None:
    check_json(check_config(value))


def _listed(valid: Sequence[Any]) -> str:
    return ", ".join(map(repr, valid))


_EVERYWHERE: dict[str, _Check] = {"config": _config, "queues": _queues}

_CHECKS: dict[str, dict[str, _Check]] = {
    "sim": {
        **_EVERYWHERE,
        "workers": _at_least_one,
        "concurrency": _at_least_one,
        "prefetch_multiplier": _prefetch,
        "broker": _one_of(*SEMANTICS, None),
        "backend": _simulated_backend,
        "start": _moment,
        "seed": _whole,
    },
    "worker": {
        **_EVERYWHERE,
        "pool": _one_of("threads", "solo"),
        "concurrency": _at_least_one,
        "broker": _server("memory", "redis", "rabbitmq"),
        "backend": _worker_backend,
        "timeout": _length,
        "stop_timeout": _length,
    },
    "process": {
        **_EVERYWHERE,
        "workers": _at_least_one,
        "concurrency": _at_least_one,
        "broker": _server("redis", "rabbitmq"),
        "backend": _server("redis"),
        "config": _plain_config,
        "timeout": _length,
    },
    "eager": {"propagate": _one_of(True, False), "config": _config},
}
