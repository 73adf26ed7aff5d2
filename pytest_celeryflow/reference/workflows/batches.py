"""`map`, `starmap` and `chunks`: many calls in one message.

`map` and `starmap` run *all* calls in one task, one after the other, on one worker: cheap for
many quick calls, slow for slow ones. Only that one task has a result, a time limit and retries.
`chunks` makes one such task for each part of the list, which workers share. Called as it is,
its parts run as a group; as one step of a chain, take its `.group()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def square(number: int) -> int:
    return number * number


@app.task
def area(width: int, height: int) -> int:
    return width * height


def squares(numbers: Sequence[int]) -> Any:
    return square.map(numbers)


def areas(sizes: Sequence[tuple[int, int]]) -> Any:
    return area.starmap(sizes)


def areas_in_parts(sizes: Sequence[tuple[int, int]], size: int) -> Any:
    return area.chunks(sizes, size).group()


WORKFLOWS = (
    Workflow(
        name="map",
        about="One task that calls another for each argument.",
        canvas=lambda _: squares([1, 2, 3]),
        shape="square.map([1, 2, 3])",
        end=[1, 4, 9],
        executions={"map": 1, "square": 0},
    ),
    Workflow(
        name="starmap",
        about="The same, with several arguments each.",
        canvas=lambda _: areas([(1, 2), (3, 4)]),
        shape="area.starmap([[1, 2], [3, 4]])",
        end=[2, 12],
        executions={"starmap": 1, "area": 0},
    ),
    Workflow(
        name="chunks",
        about="A long list of calls in parts of a few, which workers share.",
        canvas=lambda _: areas_in_parts([(n, n) for n in range(5)], 2),
        shape=(
            "group(area.starmap([[0, 0], [1, 1]]), area.starmap([[2, 2], [3, 3]]), "
            "area.starmap([[4, 4]]))"
        ),
        end=[[0, 1], [4, 9], [16]],
        executions={"starmap": 3, "area": 0},
    ),
)
