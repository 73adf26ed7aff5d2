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

from celery import chain, chord, group
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
TRACK = {"task_track_started": True}
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


def tracked(*, again: bool) -> Callable[[Bench], dict[str, str]]:
    """With ``task_track_started`` no body begins before STARTED is stored."""

    def run(bench: Bench) -> dict[str, str]:
        bench.gate.shut()
        ids = send(bench, "returns", "returns, late")
        noticed(bench, len(ids), again=again)
        rest(bench)
        return {**ids, **in_a_chain(bench, again=again)}

    return run


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


# --- canvases, one after the other, in one process ---


def rest(bench: Bench) -> None:
    """Wait until the process has done what there was, and what that published."""
    for _ in range(2):
        assert bench.rest(bench.send("plain", "return", 1))


def in_a_chain(bench: Bench, *, again: bool) -> dict[str, str]:
    """The first task ends, and the second is executed."""
    first, second = bench.signature("plain", "sleep", 0.4), bench.signature("plain", "return", 2)
    bench.publish(chain(first, second, app=bench.reader))
    bench.started(first.id)
    bench.gate.shut()
    noticed(bench, 2, again=again)
    return {"chain, first": first.id, "chain, second": second.id}


def in_a_group(bench: Bench, *, again: bool) -> dict[str, str]:
    """The first of two ends."""
    first, second = (bench.signature("plain", "sleep", 0.4) for _ in range(2))
    bench.publish(group(first, second, app=bench.reader))
    bench.started(first.id)
    bench.gate.shut()
    noticed(bench, 1, again=again)
    return {"group, first": first.id, "group, second": second.id}


def chorded(bench: Bench, task: str = "plain", **options: Any) -> dict[str, str]:
    """Publish a chord of two, which one process executes one after the other."""
    first, second = (bench.signature(task, "sleep", 0.4) for _ in range(2))
    body = bench.signature("collect", immutable=False, **options)
    body.link_error(bench.app.signature("real.errback"))
    bench.publish(chord([first, second], body, app=bench.reader))
    return {"first": first.id, "second": second.id, "body": body.id}


#: Command -> how often it comes until the moment that is meant.
MOMENTS = {
    "counts the first": ("a chord counts", 1),
    "counts the last": ("a chord counts", 2),
    "joins": ("a chord joins", 1),
    "cleans up": ("a chord is cleaned up", 1),
}


def canvases(*, again: bool) -> Callable[[Bench], dict[str, str]]:
    """The store is away at each moment of a canvas's life."""

    def run(bench: Bench) -> dict[str, str]:
        ids = {**in_a_chain(bench, again=again)}
        rest(bench)
        ids |= in_a_group(bench, again=again)
        rest(bench)
        for label in ("first", "second"):
            made = chorded(bench)
            bench.started(made[label])
            bench.gate.shut()
            noticed(bench, 1, again=again)
            rest(bench)
            ids |= {f"chord, {label} ends: {part}": i for part, i in made.items()}
        for label, (moment, nth) in MOMENTS.items():
            for task in ("plain", "late") if label == "counts the last" else ("plain",):
                bench.gate.shut_before(moment, nth)
                # A body that is published must not meet the end of the outage.
                made = chorded(bench, task, queue="nobody")
                bench.was_cut()
                noticed(bench, 1, again=again)
                rest(bench)
                ids |= {f"chord {label}, {task}: {part}": i for part, i in made.items()}
        return ids

    return run


def breaks(bench: Bench) -> dict[str, str]:
    """The connection breaks at a moment, and can be made again at once."""
    ids = {}
    for label in ("returns", "returns, late", "fails", "retries"):
        bench.gate.break_before("a result is looked up")
        ids |= send(bench, label)
        bench.was_cut()
        rest(bench)
    bench.gate.break_before("a result is stored")
    ids |= {f"{label}, when written": i for label, i in send(bench, "returns").items()}
    bench.was_cut()
    for label, (moment, nth) in MOMENTS.items():
        bench.gate.break_before(moment, nth)
        made = chorded(bench)
        bench.was_cut()
        rest(bench)
        ids |= {f"chord {label}: {part}": i for part, i in made.items()}
    return ids


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
#: Stored, and then nothing: `Task.on_success` comes when the chord has counted.
UNCOUNTED = Outcome("SUCCESS", "slept")
#: Stored as a success, and told and counted as a failure.
MISCOUNTED = Outcome("SUCCESS", "slept", "on_failure task_failure")
COLLECTED = Outcome("SUCCESS", ["slept", "slept"], "on_success task_success")
NOT_COUNTED = Outcome(
    "FAILURE",
    "ChordError: Dependency raised network:ConnectionError",
    "errback",
    retries=(),
    redelivered=(),
)
NOT_JOINED = replace(NOT_COUNTED, result="ChordError: Join error: network:ConnectionError")


def parts(label: str, *outcomes: Outcome) -> dict[str, Outcome]:
    """The outcomes of a chord's tasks and of its body."""
    return {f"{label}: {p}": o for p, o in zip(("first", "second", "body"), outcomes, strict=True)}


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
CANVASES_LOST = {
    "chain, first": UNHEARD,
    "chain, second": UNHEARD,
    "group, first": UNHEARD,
    "group, second": DONE,
    **parts("chord, first ends", UNHEARD, DONE, UNTOUCHED),
    **parts("chord, second ends", DONE, UNHEARD, UNTOUCHED),
    **parts("chord counts the first, plain", UNCOUNTED, DONE, UNTOUCHED),
    **parts("chord counts the last, plain", DONE, UNCOUNTED, UNTOUCHED),
    **parts("chord counts the last, late", DONE, UNCOUNTED, UNTOUCHED),
    # Its errback has been called, and its failure could not be stored.
    **parts("chord joins, plain", DONE, UNCOUNTED, replace(UNTOUCHED, calls="errback")),
    # The same, and it was published before: it will be executed.
    **parts("chord cleans up, plain", DONE, UNCOUNTED, replace(UNTOUCHED, calls="errback", left=1)),
}
#: A chord's count is not tried again; that it has failed is, until it is counted as a failure.
CANVASES_STORED = {
    "chain, first": DONE,
    "chain, second": replace(DONE, result=2),
    "group, first": DONE,
    "group, second": DONE,
    **parts("chord, first ends", DONE, DONE, COLLECTED),
    **parts("chord, second ends", DONE, DONE, COLLECTED),
    **parts("chord counts the first, plain", MISCOUNTED, DONE, NOT_COUNTED),
    **parts("chord counts the last, plain", DONE, MISCOUNTED, NOT_COUNTED),
    **parts("chord counts the last, late", DONE, MISCOUNTED, NOT_COUNTED),
    **parts("chord joins, plain", DONE, DONE, NOT_JOINED),
    **parts("chord cleans up, plain", DONE, DONE, replace(NOT_JOINED, left=1)),
}
TRACKED_LOST = {
    "returns": UNTOUCHED,
    "returns, late": UNTOUCHED,
    "chain, first": Outcome("STARTED", "STARTED"),
    "chain, second": UNTOUCHED,
}
TRACKED_STORED = {
    "returns": replace(DONE, states="STARTED SUCCESS"),
    "returns, late": replace(DONE, states="STARTED SUCCESS"),
    "chain, first": replace(DONE, states="STARTED SUCCESS"),
    "chain, second": replace(DONE, states="STARTED SUCCESS", result=2),
}
NO_CONNECTION = replace(FAILED, result="ConnectionError")
BROKEN = {
    "returns": NO_CONNECTION,
    "returns, late": NO_CONNECTION,
    # Not with its own error.
    "fails": NO_CONNECTION,
    "retries": replace(
        RETRIED,
        states="FAILURE SUCCESS",
        calls="errback on_failure task_failure on_success task_success",
    ),
    "returns, when written": DONE,
    **parts("chord counts the first", MISCOUNTED, DONE, NOT_COUNTED),
    **parts("chord counts the last", DONE, MISCOUNTED, NOT_COUNTED),
    **parts("chord joins", DONE, DONE, NOT_JOINED),
    # Published, then said to have failed, then executed.
    **parts(
        "chord cleans up",
        DONE,
        DONE,
        replace(
            COLLECTED, states="FAILURE SUCCESS", calls="errback on_success task_success"
        ),
    ),
}
MENDED = {
    **BROKEN,
    "returns": DONE,
    "returns, late": DONE,
    "fails": FAILED,
    "retries": RETRIED,
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
    two("store away, tracked", tracked(again=False), TRACKED_LOST, {**NEVER, **TRACK}),
    two(
        "store away, tracked, always retry",
        tracked(again=True),
        TRACKED_STORED,
        {**ALWAYS, **TRACK},
        TRACKED_LOST,
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
    two("store away in a canvas", canvases(again=False), CANVASES_LOST, NEVER),
    two(
        "store away in a canvas, always retry",
        canvases(again=True),
        CANVASES_STORED,
        ALWAYS,
        CANVASES_LOST,
    ),
    two("connection to the store breaks", breaks, BROKEN, NEVER),
    two("connection to the store breaks, always retry", breaks, MENDED, ALWAYS, BROKEN),
)
