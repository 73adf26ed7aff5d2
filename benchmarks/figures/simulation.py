"""The simulation at work: tasks, wide chords, long waits. Measured from outside of it."""

from __future__ import annotations

from statistics import median

from celery import chord
from figures.row import Row
from figures.stopwatch import median_of, timed
from figures.workload import HOUR, add, app, poll, total
from pytest_celeryflow import run_eager, simulate

__all__ = ["rows"]

RETRIES = 24
NARROW, WIDE = 1_000, 4_000


def rows(*, quick: bool) -> list[Row]:
    """All of it."""
    times = 1 if quick else 3
    return [
        Row(
            "task of a group of 1,000, sim against eager",
            per_task(times),
            "x",
            at_most=4,
            note=f"median of {times} pairs",
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


def per_task(times: int) -> float:
    """How much longer a task takes in `sim` than in `eager`."""

    def group_of(context: object) -> float:
        with context as flow:  # type: ignore[attr-defined]
            return timed(lambda: [flow.run(add.s(1, 2)) for _ in range(1_000)])

    pairs = [(group_of(simulate(app)), group_of(run_eager(app))) for _ in range(times)]
    return median(sim / eager for sim, eager in pairs)


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
