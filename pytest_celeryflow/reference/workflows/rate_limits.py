"""A service that allows so many calls a second.

`rate_limit="2/s"` is kept by each worker for itself: three workers make six calls a second.
Messages that must wait stay in the worker, which has taken them off the queue and lets others
of that task wait behind them. For a limit across all workers, give the task a queue of its own
with one worker. Before kombu 5.6 the time for which a worker had nothing to do counts as waited
(`kombu/utils/limits.py:TokenBucket`): the first two calls come together.
"""

from __future__ import annotations

from typing import Any

from celery import group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(rate_limit="2/s")
def geocode(address: str) -> int:
    return len(address)


def geocoded(*addresses: str) -> Any:
    return group(geocode.s(address) for address in addresses)


def _half_a_second_apart(run: Any) -> bool:
    _, second, third = run[geocode].attempts_at
    return bool(third - second > 0.45)


WORKFLOWS = (
    Workflow(
        name="rate-limit",
        about="Three calls, no more than two of them in any second.",
        canvas=lambda _: geocoded("Rue A", "Rue BC", "Rue D"),
        shape="group(geocode('Rue A'), geocode('Rue BC'), geocode('Rue D'))",
        end=[5, 6, 5],
        executions={"geocode": 3},
        takes=1.0,
        claims={"half a second passes between the last two calls": _half_a_second_apart},
        differs={
            "eager": Differs(
                "A rate limit is the worker's, and there is none.",
                broken=("half a second passes between the last two calls",),
            )
        },
        places=("eager", "sim", "process"),
        elsewhere="a rate limit is a real wait where time is real: one second here",
    ),
)
