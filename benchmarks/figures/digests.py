"""One workflow in many processes, each with a hash seed of its own: one digest."""

from __future__ import annotations

import json

from figures.row import Row
from figures.stopwatch import python

__all__ = ["rows"]


def rows(processes: int) -> list[Row]:
    """How many different digests there are."""
    seeds = range(processes)
    found = {python(["-m", "figures.digests"], PYTHONHASHSEED=str(seed)) for seed in seeds}
    return [
        Row(
            f"digests of a group of 20 with retries, {processes} processes",
            len(found),
            "",
            at_most=1,
            note="a PYTHONHASHSEED each",
        )
    ]


def digest() -> str:
    """What a group of 20 with retries and a chord's body did, on two workers."""
    from celery import group

    from figures.workload import add, app, flaky, total
    from pytest_celeryflow import simulate

    with simulate(app, workers=2) as flow:
        run = flow.run(group(flaky.s(n) for n in range(20)) | total.s() | add.s(1))
    if run.value != sum(range(20)) + 1:
        raise RuntimeError(f"it was {run!r}")
    return run.history.digest()


if __name__ == "__main__":
    print(json.dumps(digest()))
