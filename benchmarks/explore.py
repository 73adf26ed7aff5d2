"""Measure exploration: schedules a second, and what a schedule costs against a plain run.

Run ``python benchmarks/explore.py [--runs N]``. Both are measured in this one run, in turns, on
one workflow of ten tasks; ends with status 1 when a bound does not hold. Beside them stands what Celery
itself takes for these tasks: its own worker in a thread, on its own in-memory transport and store,
already started and watched by nobody. A schedule does all of that too, opens and closes a
simulation around it, and writes it down.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery import Celery, chord
from celery.contrib.testing.worker import start_worker
from figures.row import Row, table

from pytest_celeryflow import explore, simulate

#: What exploration must show.
LEAST_PER_SECOND = 150
MOST_AGAINST_PLAIN = 1.6

#: Seconds between two looks of Celery's own in-memory transport and store.
INSTANT = 0.0001

app = Celery("bench", set_as_current=False)


@app.task(name="bench.add", shared=False)
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="bench.total", shared=False)
def total(numbers: list[int]) -> int:
    return sum(numbers)


def body(flow) -> None:
    """A fan-out of seven, its total, and two steps more: ten tasks."""
    header = [add.s(n, n) for n in range(7)]
    run = flow.run(chord(header, total.s()) | add.s(1) | add.s(1))
    assert run.value == 44
    assert len(run.executions) == 10


def plain() -> None:
    with simulate(app) as flow:
        body(flow)


@contextmanager
def celerys_own() -> Iterator[Callable[[], None]]:
    """The workflow on a worker of Celery's own."""
    bare = Celery("bare", broker="memory://", backend="cache+memory://", set_as_current=False)
    # By default it looks for messages once a second, and for results twice.
    bare.conf.broker_transport_options = {"polling_interval": INSTANT}
    add_ = bare.task(name="bare.add", shared=False)(add.run)
    total_ = bare.task(name="bare.total", shared=False)(total.run)

    def once() -> None:
        header = [add_.s(n, n) for n in range(7)]
        result = (chord(header, total_.s()) | add_.s(1) | add_.s(1)).apply_async()
        assert result.get(interval=INSTANT, timeout=60) == 44

    with start_worker(bare, pool="solo", perform_ping_check=False, loglevel="CRITICAL"):
        yield once


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> int:
    """Measure, print, and say whether all bounds hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100, help="schedules in each turn")
    runs: int = parser.parse_args().runs
    for _ in range(5):
        plain()
    explored, plainly = [], []
    with celerys_own() as once:
        once()
        bare = [seconds(lambda: [once() for _ in range(runs)]) / runs for _ in range(5)]
    for turn in range(5):
        explored.append(
            seconds(lambda seed=turn: explore(body, app, runs=runs, faults=(), seed=seed).check())
            / runs
        )
        plainly.append(seconds(lambda: [plain() for _ in range(runs)]) / runs)
    schedule, run = statistics.median(explored), statistics.median(plainly)
    floor = statistics.median(bare)
    rows = [
        Row(
            "the ten tasks on Celery's own worker, warm",
            floor,
            "s",
            note=f"no more than this a second: {1 / floor:.0f}",
        ),
        Row("one plain simulated run of ten tasks", run, "s"),
        Row("one explored schedule of the same", schedule, "s"),
        Row("schedules a second", 1 / schedule, "", at_least=LEAST_PER_SECOND),
        Row("a schedule against a plain run", schedule / run, "x", at_most=MOST_AGAINST_PLAIN),
        Row("a schedule against Celery's own worker", schedule / floor, "x"),
    ]
    print(table(rows))
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
