"""The simulation at work: tasks, wide chords, long waits. Measured from outside of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median

from celery import Celery, chord

from figures.row import Row
from figures.stopwatch import median_of, python, timed
from figures.workload import HOUR, add, app, poll, total
from pytest_celeryflow import Flow, run_eager, simulate

__all__ = ["rows"]

RETRIES = 24
NARROW, WIDE = 1_000, 4_000
MANY = 500
TURN = 50


def rows(*, quick: bool) -> list[Row]:
    """All of it, each figure in a process of its own: what one leaves in memory slows the next."""
    times, turns = (1, 10) if quick else (5, 40)
    return [
        Row(
            "delay().get(), sim against this project's eager",
            _alone("per_task", turns),
            "x",
            at_most=4,
            note=f"the best of {turns} turns of {TURN} each",
        ),
        *(
            Row(
                f"chord of {WIDE:,} against {NARROW:,}, {backend} logic",
                _alone("growth", times, backend),
                "x",
                at_most=4.6,
                note=f"median of {times} pairs",
            )
            for backend in ("redis", "memory")
        ),
        Row(
            f"{RETRIES} retries an hour apart",
            _alone("long_wait", 5 if quick else 31),
            "s",
            at_most=0.050,
            note="median, the context included",
        ),
        Row(
            f"one task in an app of {MANY} tasks against one of a few",
            _alone("project", 5 if quick else 31),
            "x",
            at_most=2,
            note="the context included; the best of each",
        ),
    ]


def _alone(function: str, times: int, *arguments: str) -> float:
    return float(python(["-m", "figures.simulation", function, str(times), *arguments]))


def per_task(turns: int) -> float:
    """How much longer ``delay().get()`` takes in `sim` than in `eager`.

    In turns, so that both have the same machine, and the best of each, because a machine
    that is busy with something else takes more from whoever needs more memory.
    """

    def turn(context: AbstractContextManager[Flow]) -> float:
        with context:
            add.delay(1, 2).get()
            return timed(lambda: [add.delay(1, 2).get() for _ in range(TURN)])

    turn(simulate(app))
    pairs = [(turn(simulate(app)), turn(run_eager(app))) for _ in range(turns)]
    return min(sim for sim, _ in pairs) / min(eager for _, eager in pairs)


def growth(times: int, backend: str) -> float:
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


def project(times: int) -> float:
    """How much longer a small test takes in a project with many tasks."""
    large = Celery("large", broker="redis://localhost:6379/0", set_as_current=False)
    for number in range(MANY):
        large.task(name=f"large.add_{number}", shared=False)(add.run)

    def one(of: Celery, name: str) -> float:
        def once() -> None:
            with simulate(of) as flow:
                flow.run(of.tasks[name].s(1, 2))

        return timed(once)

    def turn() -> tuple[float, float]:
        return one(large, "large.add_0"), one(app, add.name)

    turn()
    pairs = [turn() for _ in range(times)]
    return min(many for many, _ in pairs) / min(few for _, few in pairs)


if __name__ == "__main__":
    _function, _times, *_arguments = sys.argv[1:]
    _figures: dict[str, Callable[..., float]] = {
        "per_task": per_task,
        "growth": growth,
        "long_wait": long_wait,
        "project": project,
    }
    print(json.dumps(_figures[_function](int(_times), *_arguments)))
