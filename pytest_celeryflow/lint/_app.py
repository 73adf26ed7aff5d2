"""An app as rules see it: settings, tasks, and what its broker and result backend are.

Reading the configuration and the tasks is what any worker does when it starts; nothing is
connected, and no backend is made: its class is found by `celery.app.backends.by_url`, which
imports it. What class and scheme say is all that is known, so a setting of the server itself
(RabbitMQ's `consumer_timeout`, a memory limit of Redis) is not seen.

Relies on: `Celery.conf`, `tasks`, `loader.import_default_modules`, `backend_cls`;
`celery.app.backends.by_url`; `celery.app.routes.MapRoute`. Celery 5.4 to 5.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from celery import Celery
from celery.app.backends import by_url
from celery.app.routes import prepare
from celery.utils.time import maybe_iso8601

__all__ = ["AppView", "Counting", "moment"]

#: How a result backend finds out that a chord's header is done.
#: ``redis``: counters and the results in Redis itself. ``counter``: a counter, then the stored
#: results are joined (Memcached, DynamoDB, ...). ``polling``: the task `celery.chord_unlock`
#: looks at the stored results (databases, files, MongoDB, ...). ``django``: a counter in the
#: database, then the stored results are joined if all are there. ``none``: no chords.
#: ``unknown``: the class cannot be imported here.
Counting = Literal["redis", "counter", "polling", "django", "none", "unknown"]

_REDIS = ("redis", "rediss", "sentinel", "redis+socket", "valkey")
#: Seconds that kombu's transports keep a message that is not acknowledged
#: (`kombu/transport/redis.py:Channel`, `kombu/transport/SQS.py:Channel`).
_VISIBILITY = {
    "redis": 3600.0,
    "rediss": 3600.0,
    "sentinel": 3600.0,
    "valkey": 3600.0,
    "sqs": 1800.0,
}

#: What the brokers of tests call themselves.
_OURS = "celeryflow"
#: From how many seconds on Celery refuses a countdown (`celery/app/amqp.py:AMQP._verify_seconds`).
_MOST_SECONDS = 2**31


@dataclass(frozen=True)
class AppView:
    """What rules ask about an app."""

    app: Celery

    @property
    def conf(self) -> Any:
        """Its settings."""
        return self.app.conf

    # -- tasks ----------------------------------------------------------------------------

    @cached_property
    def tasks(self) -> dict[str, Any]:
        """The user's tasks by name; the modules that a worker would import are imported."""
        self.app.finalize(auto=True)
        self.app.loader.import_default_modules()
        return {
            name: task
            for name, task in sorted(self.app.tasks.items())
            # pytest-celery, the official plugin, shares tasks with every app.
            if not name.startswith(("celery.", "pytest_celery."))
        }

    def task(self, name: str) -> Any | None:
        """A task by its full name, or None if no module registers it."""
        self.app.finalize(auto=True)
        return self.app.tasks.get(name) or self.tasks.get(name)

    def limits(self, task: Any) -> tuple[float | None, float | None]:
        """Soft and hard time limit of a task, its own or the settings'.

        Before 5.7 the settings are not attributes of the task; the worker's pool has them
        (`celery/worker/components.py:Pool`).
        """
        return (
            task.soft_time_limit or self.conf.task_soft_time_limit or None,
            task.time_limit or self.conf.task_time_limit or None,
        )

    # -- broker ---------------------------------------------------------------------------

    @cached_property
    def broker(self) -> str:
        """Scheme of the broker's URL; nothing if none is configured.

        While a mode of ours has borrowed the app, its broker is not the user's.
        """
        url = (
            self.conf.broker_write_url or self.conf.broker_url or self.conf.get("broker_transport")
        )
        if isinstance(url, list | tuple):
            url = url[0] if url else None
        scheme = str(url or "").partition("://")[0].partition("+")[0].lower()
        return "" if scheme.startswith(_OURS) else scheme

    @cached_property
    def visibility_timeout(self) -> float | None:
        """Seconds after which the broker hands out again what is not acknowledged."""
        if self.broker not in _VISIBILITY:
            return None
        options = self.conf.broker_transport_options or {}
        return float(options.get("visibility_timeout", _VISIBILITY[self.broker]))

    # -- results --------------------------------------------------------------------------

    @cached_property
    def backend(self) -> Any:
        """The result backend as configured: a URL, a name, a class or nothing."""
        return self.app.backend_cls or self.conf.result_backend

    @property
    def is_configured(self) -> bool:
        """Whether it names a broker or a result backend: an app of a test may name neither."""
        return bool(self.broker or self.backend)

    @cached_property
    def counting(self) -> Counting:
        """How its result backend counts a chord."""
        backend = self.backend
        if not backend:
            # A test lends the app a backend object, and maybe a broker, where it names none.
            lent = getattr(self.app, "_backend_cache", None)
            return "none" if lent is None or _counting_of(type(lent)) == "none" else "unknown"
        if isinstance(backend, str):
            if backend.partition("://")[0].lower() in _REDIS:
                return "redis"
            try:
                backend, _ = by_url(backend, self.app.loader)
            except Exception:  # noqa: BLE001 - its client library may not be installed here
                return "unknown"
        return _counting_of(backend if isinstance(backend, type) else type(backend))

    @cached_property
    def result_expires(self) -> float | None:
        """Seconds that results are kept; None for ever."""
        longest = 0.0
        for value in (self.conf.result_expires, self.conf.get("result_chord_expires")):
            seconds = value.total_seconds() if isinstance(value, timedelta) else value
            longest = max(longest, float(seconds or 0))
        return longest or None

    # -- queues ---------------------------------------------------------------------------

    @cached_property
    def queues(self) -> frozenset[str] | None:
        """Names of the queues in `task_queues`; None if it is not set."""
        queues = self.conf.task_queues
        if not queues:
            return None
        names = queues if isinstance(queues, Mapping) else [queue.name for queue in queues]
        return frozenset(map(str, names))

    @cached_property
    def routes(self) -> list[Any]:
        """The routers of `task_routes`, as Celery prepares them."""
        return list(prepare(self.conf.task_routes))

    # -- time -----------------------------------------------------------------------------

    def delay(self, options: Mapping[str, Any]) -> float:
        """Seconds that `countdown` or `eta` keep a task from starting."""
        countdown = options.get("countdown")
        if isinstance(countdown, int | float) and 0 < countdown < _MOST_SECONDS:
            return float(countdown)
        eta = moment(options.get("eta"))
        return max(0.0, (eta - datetime.now(UTC)).total_seconds()) if eta else 0.0


def moment(value: Any) -> datetime | None:
    """Read a date as Celery reads it: without a time zone it is in UTC."""
    if isinstance(value, str):
        try:
            value = maybe_iso8601(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _counting_of(backend: type) -> Counting:
    names = {each.__name__ for each in backend.__mro__}
    if names & {"DisabledBackend", "RPCBackend"}:
        return "none"
    if "RedisBackend" in names:
        return "redis"
    if any(each.__module__ == "django_celery_results.backends.database" for each in backend.__mro__):
        return "django"
    return "counter" if getattr(backend, "implements_incr", False) else "polling"
