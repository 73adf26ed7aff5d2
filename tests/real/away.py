"""The result store away, and nothing else: two servers, of which one fails.

Redis's own client does not try again under Celery (`celery/backends/redis.py` gives it a pool of
connections without a policy). What is tried again is writing a result, by the backend's ``ensure``,
and, with ``result_backend_always_retry``, looking for an earlier one before that, storing as a whole
and reading: since a version after 5.4, where the Redis backend calls no error safe to retry. Nothing
tries again to count a chord.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from celery.backends.redis import RedisBackend

from tests.real.around import SOON_AGAIN
from tests.real.bench import Bench, Outcome
from tests.real.scenario import Scenario

__all__ = ["AWAY"]

#: Whether ``result_backend_always_retry`` does anything with Redis.
TRIES_AGAIN = "exception_safe_to_retry" in vars(RedisBackend)

NEVER: dict[str, Any] = {"task_track_started": False}
ALWAYS = {
    **NEVER,
    "result_backend_always_retry": True,
    "result_backend_max_sleep_between_retries_ms": 100,
}
THRICE = {**ALWAYS, "result_backend_max_retries": 3}
DEDUPLICATE = {"worker_deduplicate_successful_tasks": True}


DONE = Outcome("SUCCESS", "slept", "on_success task_success")


def noticed(bench: Bench, times: int, *, again: bool) -> None:
    """Wait until so many tasks have met the outage, and bring the store back.

    Args:
        bench: The bench.
        times: How many.
        again: They try again for as long as it lasts, if this Celery does.
    """
    if again and TRIES_AGAIN:
        bench.said("tried again", 4 * times)
    else:
        bench.said("gave up", times)
    bench.gate.open()


# --- single tasks ---

SINGLE: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "returns": ("plain", ("sleep", 0.4), {}),
    "returns, late": ("late", ("sleep", 0.4), {}),
    "returns, late, kept on failure": ("late_keep", ("sleep", 0.4), {}),
    "fails": ("plain", ("sleep, fail", 0.4), {}),
    "fails, late": ("late", ("sleep, fail", 0.4), {}),
    "retries": ("plain", ("sleep, retry first", 0.4), {}),
    "retries, late": ("late", ("sleep, retry first", 0.4), {}),
    "ignored": ("plain", ("sleep", 0.4), {"ignore_result": True}),
}


def send(bench: Bench, *labels: str) -> dict[str, str]:
    ids = {}
    for label in labels:
        task, args, options = SINGLE[label]
        errback = bench.app.signature("real.errback")
        ids[label] = bench.send(task, *args, link_error=errback, **options)
    return ids


def begun(bench: Bench, *labels: str) -> dict[str, str]:
    ids = send(bench, *labels)
    for task_id in ids.values():
        bench.started(task_id)
    return ids


def bodies_end(*, again: bool) -> Callable[[Bench], dict[str, str]]:
    """The bodies of all of these end while the store is away."""

    def run(bench: Bench) -> dict[str, str]:
        ids = begun(bench, *SINGLE)
        bench.gate.shut()
        noticed(bench, len(ids) - 1, again=again)
        return ids

    return run


def paused_and_stopped(bench: Bench) -> dict[str, str]:
    """The server answers nobody for a second; then it ends, and comes back with what it held."""
    paused = begun(bench, "returns", "returns, late", "fails")
    bench.store.pause()
    bench.wait(lambda: False, 1.0)
    bench.store.resume()
    for task_id in paused.values():
        assert bench.rest(task_id)
    stopped = begun(bench, *paused)
    bench.store.down()
    bench.said("gave up", len(stopped))
    bench.store.up()
    bench.listen()
    return {
        **{f"paused: {label}": i for label, i in paused.items()},
        **{f"stopped: {label}": i for label, i in stopped.items()},
        **{f"after: {label}": i for label, i in send(bench, "returns").items()},
    }


def redelivered(*, again: bool) -> Callable[[Bench], dict[str, str]]:
    """A worker is lost; another one is given what it had while the store is away."""

    def run(bench: Bench) -> dict[str, str]:
        task_id = bench.send("late", "sleep first", 60)
        bench.started(task_id)
        bench.gate.shut()
        bench.workers[0].kill()
        bench.start(1)
        noticed(bench, 1, again=again)
        return {"redelivered": task_id}

    return run


# --- what becomes of it ---

DONE = Outcome("SUCCESS", "slept", "on_success task_success")
FAILED = Outcome("FAILURE", "ValueError: boom", "errback on_failure task_failure")
RETRIED = Outcome(
    "RETRY SUCCESS",
    "second time",
    "on_retry task_retry on_success task_success",
    retries=(0, 1),
    redelivered=(False, False),
)
#: Executed, acknowledged, and never heard of: no result, no handler, no errback, no redelivery.
UNHEARD = Outcome("", "PENDING")
#: Not even executed.
UNTOUCHED = replace(UNHEARD, retries=(), redelivered=())
AGAIN = Outcome(
    "SUCCESS",
    "second time",
    "on_success task_success",
    retries=(0, 0),
    redelivered=(False, True),
)
#: The retry was published before it was to be stored.
STILL_RETRIED = replace(RETRIED, states="SUCCESS", calls="on_success task_success")
BODIES_LOST = {
    "returns": UNHEARD,
    "returns, late": UNHEARD,
    "returns, late, kept on failure": UNHEARD,
    "fails": UNHEARD,
    "fails, late": UNHEARD,
    "retries": STILL_RETRIED,
    "retries, late": STILL_RETRIED,
    "ignored": replace(DONE, states="", result="PENDING"),
}
BODIES_STORED = {
    **BODIES_LOST,
    "returns": DONE,
    "returns, late": DONE,
    "returns, late, kept on failure": DONE,
    "fails": FAILED,
    "fails, late": FAILED,
    "retries": RETRIED,
    "retries, late": RETRIED,
}


def two(
    name: str,
    run: Callable[[Bench], dict[str, str]],
    expected: Mapping[str, Outcome],
    config: Mapping[str, Any],
    before: Mapping[str, Outcome] | None = None,
    concurrency: int = 1,
) -> Scenario:
    """A scenario with a broker and a store."""
    return Scenario(name, run, expected, before or {}, config, concurrency, two_servers=True)


AWAY = (
    two("store away", bodies_end(again=False), BODIES_LOST, NEVER, concurrency=8),
    two(
        "store away, always retry",
        bodies_end(again=True),
        BODIES_STORED,
        ALWAYS,
        BODIES_LOST,
        concurrency=8,
    ),
    # Three times in the pool's process, three times for what becomes of that, three times in the
    # main process; then as if nobody had tried again.
    two("store away, retry thrice", bodies_end(again=False), BODIES_LOST, THRICE, concurrency=8),
    two(
        "store paused and stopped",
        paused_and_stopped,
        {
            "paused: returns": DONE,
            "paused: returns, late": DONE,
            "paused: fails": FAILED,
            "stopped: returns": UNHEARD,
            "stopped: returns, late": UNHEARD,
            "stopped: fails": UNHEARD,
            "after: returns": DONE,
        },
        NEVER,
        concurrency=3,
    ),
    two(
        "redelivered while the store is away",
        redelivered(again=False),
        {"redelivered": replace(UNHEARD, retries=(0, 0), redelivered=(False, True))},
        {**NEVER, **SOON_AGAIN},
    ),
    # Nobody can say whether it was done before; and so it is not done.
    two(
        "redelivered while the store is away, deduplicated",
        redelivered(again=False),
        {"redelivered": UNHEARD},
        {**NEVER, **SOON_AGAIN, **DEDUPLICATE},
    ),
    two(
        "redelivered while the store is away, deduplicated, always retry",
        redelivered(again=True),
        {"redelivered": AGAIN},
        {**ALWAYS, **SOON_AGAIN, **DEDUPLICATE},
        {"redelivered": UNHEARD},
    ),
)
