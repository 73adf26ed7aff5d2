"""Rules about waiting: countdowns, ETAs and expiry against the time limits of others.

Relies on `celery/app/amqp.py:AMQP.as_task_v2`, which makes a date of every countdown, and on how
workers hold a task until its ETA without acknowledging its message
(`celery/worker/strategy.py:default`).

Not modelled: how long tasks run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pytest_celeryflow.lint._app import moment
from pytest_celeryflow.lint._canvas import Canvas, Place
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import canvas_rule
from pytest_celeryflow.lint.rules.retries import time_in_retries

__all__ = [
    "delay_past_visibility",
    "duration",
    "expires_before_it_starts",
    "results_expire_first",
    "time_without_zone",
]


@canvas_rule("CF122", "expires-before-it-starts")
def expires_before_it_starts(canvas: Canvas) -> Iterator[Trouble]:
    """A task has expired before it can start.

    Sees: `expires`, of the signature or of the task, that is not later than the countdown or ETA of
    the same task; or a date that is not later than all the countdowns before it in the canvas.
    Seconds are counted from when the task itself is published.

    Why: the worker throws the task away, with the state REVOKED. The steps after it never run.

    Celery: `app/amqp.py:AMQP.as_task_v2` makes dates of both; `worker/request.py:Request.revoked`
    revokes what has expired when its turn has come.

    Repair: expire later than the task may start.

    Bad:
        fetch.s("a").set(countdown=600, expires=300)

    Good:
        fetch.s("a").set(countdown=600, expires=900)
    """
    for place in canvas.tasks:
        task = canvas.app.task(place.shape.name)
        expires = place.shape.options.get("expires", getattr(task, "expires", None))
        delay = canvas.app.delay(place.shape.options)
        if isinstance(expires, int | float):
            left = expires - delay
        else:
            date = moment(expires)
            if date is None:
                continue
            left = (date - datetime.now(UTC)).total_seconds() - place.waits - delay
        if left <= 0:
            waits = delay + (0 if isinstance(expires, int | float) else place.waits)
            when = f"by the time it can start, in {duration(waits)}" if waits else "already"
            yield Trouble(
                place.path,
                f"{place.short_name} has expired {when} (expires={expires!s})",
                "let it expire later",
                task=place.shape.name,
            )


@canvas_rule("CF123", "delay-past-visibility-timeout")
def delay_past_visibility(canvas: Canvas) -> Iterator[Trouble]:
    """A countdown or ETA is longer than the broker waits for an acknowledgement.

    Sees: a countdown or ETA past the `visibility_timeout` of the broker, in an app whose broker is
    Redis (an hour, unless `broker_transport_options` says otherwise) or Amazon SQS (half an
    hour).

    Why: the task runs more than once. A worker holds it until its time, without acknowledging the
    message; after the visibility timeout the broker hands it to another worker, and another.

    Celery: `worker/strategy.py:default` puts the task on the worker's timer;
    `kombu/transport/redis.py:QoS.restore_visible` gives back what is unacknowledged for too long.

    Repair: set `visibility_timeout` above the longest delay; or keep late work in a database and let
    beat publish it.

    Bad:
        fetch.s("a").set(countdown=7200)

    Good:
        app.conf.broker_transport_options = {"visibility_timeout": 86_400}

        fetch.s("a").set(countdown=7200)
    """
    timeout = canvas.app.visibility_timeout
    if timeout is None:
        return
    for place in canvas.places:
        delay = canvas.app.delay(place.shape.options)
        if delay > timeout:
            yield Trouble(
                place.path,
                f"it waits for {duration(delay)}; the broker hands it out again after "
                f"{duration(timeout)}",
                f'broker_transport_options = {{"visibility_timeout": {int(delay * 1.5)}}}',
                task=place.shape.name,
            )


@canvas_rule("CF124", "results-expire-first")
def results_expire_first(canvas: Canvas) -> Iterator[Trouble]:
    """A chord waits for longer than results are kept.

    Sees: a task in a chord's header that may start, by countdowns, ETAs and all its retries by
    `autoretry_for`, later than `result_expires` after the chord was published
    (`result_chord_expires` too, where there is one).

    Why: the chord never completes, or fails. What it has counted so far is gone when the late member
    reports.

    Celery: `backends/redis.py:on_chord_part_return` and
    `backends/base.py:BaseKeyValueStoreBackend.on_chord_part_return` let the counter and the group
    expire; where beat runs, `celery.backend_cleanup` removes old results from databases every night.

    Repair: keep results for longer than the workflow lasts; or do not let a chord wait: put the
    countdown before it, or publish the chord later.

    Bad:
        app.conf.result_expires = 3600
        app.conf.broker_transport_options = {"visibility_timeout": 86_400}

        chord([fetch.s("a"), fetch.s("b").set(countdown=7200)], publish.s())

    Good:
        app.conf.result_expires = 86_400
        app.conf.broker_transport_options = {"visibility_timeout": 86_400}

        chord([fetch.s("a"), fetch.s("b").set(countdown=7200)], publish.s())
    """
    kept = canvas.app.result_expires
    if kept is None or canvas.app.counting == "none":
        return
    for place in canvas.places:
        if not place.becomes_header:
            continue
        waits = [
            (_latest_start(canvas, each) - place.waits, each) for each in canvas.in_header(place)
        ]
        seconds, last = max(waits, key=lambda pair: pair[0], default=(0.0, place))
        if seconds >= kept:
            yield Trouble(
                last.path,
                f"{last.short_name} may start {duration(seconds)} after the chord was published; "
                f"results are kept for {duration(kept)}",
                f"result_expires = {int(seconds * 2)}",
                task=last.shape.name,
            )


def _latest_start(canvas: Canvas, place: Place) -> float:
    """Seconds until the last try of a task may start; what tasks before it retry is left out."""
    task = canvas.app.task(place.shape.name)
    retries = 0.0 if task is None else time_in_retries(task)
    return place.waits + canvas.app.delay(place.shape.options) + retries


@canvas_rule("CF125", "time-without-zone")
def time_without_zone(canvas: Canvas) -> Iterator[Trouble]:
    """An ETA or a date of expiry has no time zone.

    Sees: a `datetime` without `tzinfo` as `eta` or `expires`.

    Why: it is taken to be in UTC, whatever the machine and the setting `timezone` say:
    `datetime.now() + timedelta(hours=1)` is hours early or late, except where it is UTC.

    Celery: `app/amqp.py:AMQP.as_task_v2` writes it without a zone, and
    `utils/time.py:maybe_make_aware` in `worker/request.py:Request` reads it as UTC.

    Repair: use a time with a zone, or `countdown`.

    Bad:
        fetch.s("a").set(eta=datetime.datetime(2020, 1, 1, 12))

    Good:
        fetch.s("a").set(eta=datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC))
    """
    for place in canvas.places:
        for option in ("eta", "expires"):
            value = place.shape.options.get(option)
            if isinstance(value, datetime) and value.tzinfo is None:
                yield Trouble(
                    f"{place.path}.options[{option!r}]",
                    f"{option} {value} has no time zone: Celery takes it to be in UTC",
                    "datetime.now(UTC) + …, or countdown",
                    task=place.shape.name,
                )


def duration(seconds: float) -> str:
    """Seconds as a person says them, in the two largest units: `1 h 30 min`."""
    if seconds < _UNITS["min"]:
        return f"{seconds:g} s"
    parts, left = [], round(seconds)
    for unit, size in _UNITS.items():
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


_UNITS = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
