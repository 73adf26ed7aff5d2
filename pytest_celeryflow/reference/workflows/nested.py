"""Chords in a chord: results of shops make the result of a region, those of regions the company's.

The inner chord's place in the outer header is taken by its body. Each level is counted in the
result backend by itself. When an inner member fails, the inner chord fails, and so does the
outer one, with `ChordError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery import chord

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def turnover(shop: int) -> int:
    return shop * 100


@app.task
def total(amounts: list[int]) -> int:
    return sum(amounts)


def company(regions: Mapping[str, Sequence[int]]) -> Any:
    return chord(
        [chord([turnover.s(shop) for shop in shops], total.s()) for shops in regions.values()],
        total.s(),
    )


WORKFLOWS = (
    Workflow(
        name="nested-chords",
        about="Chords whose bodies are the header of another.",
        canvas=lambda _: company({"north": [1, 2], "south": [3, 4]}),
        shape=(
            "chord([chord([turnover(1), turnover(2)], total()), "
            "chord([turnover(3), turnover(4)], total())], total())"
        ),
        end=1000,
        executions={"turnover": 4, "total": 3},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
