"""Fan out, fan in: ask many sources at the same time, and go on when all have answered.

The time it takes is that of the slowest member. Members must be ready to run in any order and
on any worker. How many run at a time is for the workers' concurrency to say, not for the
canvas: a header of ten thousand members is ten thousand messages at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from celery import chord

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task
def offer_of(dealer: str, seconds: float) -> dict[str, Any]:
    time.sleep(seconds)
    return {"dealer": dealer, "price": len(dealer)}


@app.task
def cheapest(offers: list[dict[str, Any]]) -> str:
    return str(min(offers, key=lambda offer: offer["price"])["dealer"])


def best_offer(dealers: Mapping[str, float]) -> Any:
    return chord([offer_of.s(name, seconds) for name, seconds in dealers.items()], cheapest.s())


WORKFLOWS = (
    Workflow(
        name="fan-out-fan-in",
        about="Several sources are asked at the same time, and the best answer is taken.",
        canvas=lambda at: best_offer(
            {"Amber": at.seconds(3), "Bo": at.seconds(9), "Cecilia": at.seconds(6)}
        ),
        shape=(
            "chord([offer_of('Amber', 3.0), offer_of('Bo', 9.0), "
            "offer_of('Cecilia', 6.0)], cheapest())"
        ),
        end="Bo",
        executions={"offer_of": 3, "cheapest": 1},
        claims={
            "the sources are asked at the same time": lambda run: (
                run.overlapped(offer_of, offer_of)
            ),
            "nothing is decided before all have answered": lambda run: (
                len(run[cheapest].args[0][0]) == 3
            ),
        },
        takes=9,
        longest=9,
        workers=2,
        concurrency=2,
        differs={
            "eager": Differs(
                "The members run one after the other.",
                broken=("the sources are asked at the same time",),
            )
        },
    ),
)
