"""The result store away at each moment of a canvas's life, and connections to it that break.

Tasks go one after the other through one process, so that a moment is one of one task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celery import chain, chord, group

from tests.real.away import (
    ALWAYS,
    DONE,
    FAILED,
    NEVER,
    RETRIED,
    UNHEARD,
    UNTOUCHED,
    noticed,
    send,
    two,
)
from tests.real.bench import Bench, Outcome

__all__ = ["AWAY_IN_CANVASES"]

TRACK = {"task_track_started": True}


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


def tracked(*, again: bool) -> Callable[[Bench], dict[str, str]]:
    """With ``task_track_started`` no body begins before STARTED is stored."""

    def run(bench: Bench) -> dict[str, str]:
        bench.gate.shut()
        ids = send(bench, "returns", "returns, late")
        noticed(bench, len(ids), again=again)
        rest(bench)
        return {**ids, **in_a_chain(bench, again=again)}

    return run


# --- what becomes of it ---

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


AWAY_IN_CANVASES = (
    two("store away, tracked", tracked(again=False), TRACKED_LOST, {**NEVER, **TRACK}),
    two(
        "store away, tracked, always retry",
        tracked(again=True),
        TRACKED_STORED,
        {**ALWAYS, **TRACK},
        TRACKED_LOST,
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
