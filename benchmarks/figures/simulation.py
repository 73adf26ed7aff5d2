"""The simulation at work: tasks, wide chords, long waits. Measured from outside of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from statistics import median

from celery import chord

from figures.row import Row
from figures.stopwatch import median_of, timed
from figures.workload import HOUR, add, app, poll, total
from pytest_celeryflow import Flow, run_eager, simulate

__all__ = ["rows"]

RETRIES = 24
NARROW, WIDE = 1_000, 4_000
TURN = 100


def rows(*, quick: bool) -> list[Row]:
    """All of it."""
    times, turns = (1, 5) if quick else (5, 31)
    return [
        Row(
            "delay().get(), sim against this project's eager",
            per_task(turns),
            "x",
            at_most=4,
            note=f"median of {turns} pairs of {TURN}",
        ),
        *(
            Row(
                f"chord of {WIDE:,} against {NARROW:,}, {backend} logic",
                growth(backend, times),
                "x",
                at_most=4.6,
                note=f"median of {times} pairs",
            )
            for backend in ("redis", "memory")
        ),
        Row(
            f"{RETRIES} retries an hour apart",
            long_wait(3 if quick else 20),
            "s",
            at_most=0.050,
            note="the context included",
        ),
    ]


def per_task(pairs: int) -> float:
    """How much longer ``delay().get()`` takes in `sim` than in `eager`.

    In short turns, one after the other, so that both have the same machine.
    """

    def turn(context: AbstractContextManager[Flow]) -> float:
        with context:
            add.delay(1, 2).get()
            return timed(lambda: [add.delay(1, 2).get() for _ in range(TURN)])

    turn(simulate(app))
    ratios = [turn(simulate(app)) / turn(run_eager(app)) for _ in range(pairs)]
    return median(ratios)


def growth(backend: str, times: int) -> float:
    """How much longer a chord takes that is four times as wide."""

    def width(count: int) -> float:
        with simulate(app, backend=backend) as flow:
            canvas = chord([add.s(1, n) for n in range(count)], total.s())

            def once() -> None:
                if flow.run(canvas).value != count + count * (count - 1) // 2:
                    raise RuntimeError("the chord is wrong")

            return timed(once)

    width(10)
    pairs = [(width(NARROW), width(WIDE)) for _ in range(times)]
    return median(wide / narrow for narrow, wide in pairs)


def long_wait(times: int) -> float:
    """Seconds for a task that is polled for a virtual day."""

    def once() -> None:
        with simulate(app) as flow:
            run = flow.run(poll.s(RETRIES))
        if (run.value, run.elapsed) != (RETRIES, RETRIES * HOUR):
            raise RuntimeError(f"it was {run!r}")

    return median_of(times, once)
