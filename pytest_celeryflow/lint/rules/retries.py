"""Rules about retries: how often, how soon, and on what.

Relies on `celery/app/task.py:Task.retry` and `celery/app/autoretry.py:add_autoretry_behaviour`; the
options of the decorator are attributes of the task.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from celery.app.task import Task

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import app_rule
from pytest_celeryflow.lint._source import own_retries, retries_itself

__all__ = [
    "autoretry_catches_everything",
    "autoretry_catches_soft_limit",
    "longest_delay",
    "none_is_the_default",
    "retries_all_at_once",
    "retries_without_limit",
    "time_in_retries",
]


@app_rule("CF202", "retries-without-limit")
def retries_without_limit(app: AppView) -> Iterator[Trouble]:
    """A task that retries does so without end.

    Sees: `max_retries=None` on a task that has `autoretry_for` or calls `self.retry`.

    Why: a message that can never succeed comes back for ever. Such messages add up, and whoever
    waits for the result, or a chord, waits for ever too.

    Celery: `app/task.py:Task.retry` gives up only if `max_retries` is not None.

    Repair: set a number that covers the longest outage you want to sit out.

    Bad:
        @app.task(autoretry_for=(OSError,), retry_backoff=True, max_retries=None)
        def download(url):
            return url

        app

    Good:
        @app.task(autoretry_for=(OSError,), retry_backoff=True, max_retries=10)
        def download(url):
            return url

        app
    """
    for task in app.tasks.values():
        endless = _autoretries(task) and _limit(task) is None
        if endless or (task.max_retries is None and retries_itself(task)):
            yield Trouble(
                task.name,
                "max_retries=None: it is retried for ever",
                "max_retries=10, or what covers the longest outage",
                task=task.name,
            )


@app_rule("CF203", "retries-all-at-once")
def retries_all_at_once(app: AppView) -> Iterator[Trouble]:
    """A task retries after a fixed time that nobody chose.

    Sees: `autoretry_for` without `retry_backoff`, without a countdown in `retry_kwargs` and without
    a `default_retry_delay` of the task.

    Why: each failed task comes back after exactly three minutes, and all that failed together
    come back together. A service that has broken down under load breaks down again. Without
    growing delays, three retries also cover nine minutes only.

    Celery: `app/autoretry.py:add_autoretry_behaviour` computes a countdown only with
    `retry_backoff`; else `app/task.py:Task.default_retry_delay` holds, 180 seconds.

    Repair: `retry_backoff=True`, which doubles the delay and spreads it at random; or choose a
    `default_retry_delay`.

    Bad:
        @app.task(autoretry_for=(OSError,))
        def download(url):
            return url

        app

    Good:
        @app.task(autoretry_for=(OSError,), retry_backoff=True)
        def download(url):
            return url

        app
    """
    for task in app.tasks.values():
        if (
            _autoretries(task)
            and not getattr(task, "retry_backoff", False)
            and not {"countdown", "eta"} & _retry_kwargs(task).keys()
            and task.default_retry_delay == Task.default_retry_delay
        ):
            yield Trouble(
                task.name,
                f"each try follows after {task.default_retry_delay} s, that of all failed tasks "
                "at once",
                "retry_backoff=True",
                task=task.name,
            )


@app_rule("CF204", "none-is-the-default")
def none_is_the_default(app: AppView) -> Iterator[Trouble]:
    """`max_retries=None` is given where it does not mean "without end".

    Sees: `retry_kwargs={"max_retries": None}`, and `self.retry(max_retries=None)` in the body, of a
    task that has a limit.

    Why: there None means the task's own limit, three unless it says otherwise: the task gives up
    although it was meant not to.

    Celery: `app/task.py:Task.retry` takes `self.max_retries` if its argument is None, and says so.

    Repair: set `max_retries` on the task.

    Bad:
        @app.task(autoretry_for=(OSError,), retry_backoff=True, retry_kwargs={"max_retries": None})
        def download(url):
            return url

        app

    Good:
        @app.task(autoretry_for=(OSError,), retry_backoff=True, max_retries=50)
        def download(url):
            return url

        app
    """
    for task in app.tasks.values():
        if task.max_retries is None:
            continue
        given = _retry_kwargs(task)
        if ("max_retries" in given and given["max_retries"] is None) or _retries_with_none(task):
            yield Trouble(
                task.name,
                f"max_retries=None means the task's own limit here: {task.max_retries}",
                "set max_retries on the task itself",
                task=task.name,
            )


@app_rule("CF205", "autoretry-catches-soft-limit")
def autoretry_catches_soft_limit(app: AppView) -> Iterator[Trouble]:
    """A task that runs into its soft time limit is retried.

    Sees: a task with a soft time limit, its own or the setting's, whose `autoretry_for` contains
    `Exception` or another class that SoftTimeLimitExceeded is one of, and whose `dont_autoretry_for`
    does not.

    Why: the limit is there to end what takes too long. Instead it is begun again, and takes as long
    again, as often as `max_retries` says.

    Celery: `app/autoretry.py:add_autoretry_behaviour` catches `autoretry_for`; SoftTimeLimitExceeded
    is an ordinary Exception (`billiard/exceptions.py`).

    Repair: name the errors that pass by themselves, such as OSError; or
    `dont_autoretry_for=(SoftTimeLimitExceeded,)`.

    Bad:
        @app.task(
            autoretry_for=(Exception,),
            dont_autoretry_for=(TypeError,),
            retry_backoff=True,
            soft_time_limit=60,
        )
        def download(url):
            return url

        app

    Good:
        @app.task(autoretry_for=(OSError,), retry_backoff=True, soft_time_limit=60)
        def download(url):
            return url

        app
    """
    for task in app.tasks.values():
        soft, _ = app.limits(task)
        caught, spared = _autoretries(task), tuple(getattr(task, "dont_autoretry_for", ()))
        if (
            soft
            and caught
            and issubclass(SoftTimeLimitExceeded, caught)
            and not issubclass(SoftTimeLimitExceeded, spared)
        ):
            yield Trouble(
                task.name,
                f"autoretry_for retries it when it ran into its soft limit of {soft:g} s",
                "dont_autoretry_for=(SoftTimeLimitExceeded,), or name the errors that pass",
                task=task.name,
            )


@app_rule("CF219", "autoretry-catches-everything")
def autoretry_catches_everything(app: AppView) -> Iterator[Trouble]:
    """A task is retried whatever it raises.

    Sees: `autoretry_for` with `Exception` or `BaseException`. Who has given `dont_autoretry_for` has
    thought about it.

    Why: a wrong name or argument fails the same way each time. Instead of failing at once, the task
    is tried as often as `max_retries` says, over minutes or hours, and does each time again what it
    does before it fails. Whoever waits for it, such as a chord, learns of the error that much later.

    Celery: `app/autoretry.py:add_autoretry_behaviour` catches `autoretry_for`, and lets only `Ignore`,
    `Retry` and `dont_autoretry_for` through.

    Repair: name the errors that pass by themselves, such as `OSError` (which ConnectionError and
    TimeoutError are) and those of the client that is used.

    Bad:
        @app.task(autoretry_for=(Exception,), retry_backoff=True)
        def download(url):
            return url

        app

    Good:
        @app.task(autoretry_for=(OSError,), retry_backoff=True)
        def download(url):
            return url

        app
    """
    for task in app.tasks.values():
        everything = {Exception, BaseException} & set(_autoretries(task))
        if everything and not getattr(task, "dont_autoretry_for", ()):
            name = min(each.__name__ for each in everything)
            yield Trouble(
                task.name,
                f"autoretry_for=({name},) retries programming errors, too: a TypeError is raised "
                f"{_tries(task)}",
                "name the errors that pass: autoretry_for=(OSError,)",
                task=task.name,
            )


def _tries(task: Any) -> str:
    limit = _limit(task)
    return "for ever" if limit is None else f"{limit + 1} times"


def _limit(task: Any) -> int | None:
    """How often `autoretry_for` retries: `retry_kwargs` outrank the task's own number."""
    own = _retry_kwargs(task).get("max_retries")
    return task.max_retries if own is None else own


def longest_delay(task: Any) -> float | None:
    """Seconds that the longest retry of `autoretry_for` waits; None if it does not retry."""
    limit = _limit(task)
    if not _autoretries(task) or limit == 0:
        return None
    backoff = float(getattr(task, "retry_backoff", False))
    if not backoff:
        countdown = _retry_kwargs(task).get("countdown")
        return float(task.default_retry_delay if countdown is None else countdown)
    longest = float(getattr(task, "retry_backoff_max", 600))
    if limit is None:
        return longest
    return min(longest, int(max(1.0, backoff)) * 2.0 ** min(limit - 1, 64))


def time_in_retries(task: Any) -> float:
    """Seconds that all retries of `autoretry_for` wait together; 0 if there is no end to them."""
    longest, limit = longest_delay(task), _limit(task)
    if longest is None or limit is None:
        return 0.0
    backoff = float(getattr(task, "retry_backoff", False))
    if not backoff:
        return longest * float(limit)
    first = int(max(1.0, backoff))
    tries = range(min(limit, 64))
    capped = max(limit - 64, 0) * longest
    return capped + sum(min(longest, first * 2.0**retry) for retry in tries)


def _autoretries(task: Any) -> tuple[type[BaseException], ...]:
    return tuple(getattr(task, "autoretry_for", ()))


def _retry_kwargs(task: Any) -> dict[str, Any]:
    return dict(getattr(task, "retry_kwargs", None) or {})


def _retries_with_none(task: Any) -> bool:
    return any(
        keyword.arg == "max_retries"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is None
        for call in own_retries(task)
        for keyword in call.keywords
    )
