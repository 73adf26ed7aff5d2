"""Signatures: a task with some or all of its arguments, to be called later.

A partial is given the result of the task before it as its *first* argument: `discounted.s(25)`
after `price_of` is `discounted(price, 25)`. One that does not want it is written with `.si()`.
One argument too many is noticed where the task is published, which is in the worker: the task
*before* it fails with `TypeError` (`celery/app/task.py:Task.apply_async`). `lint` finds it
first (CF104).
"""

from __future__ import annotations

from typing import Any

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def price_of(article: str) -> int:
    return {"book": 20, "lamp": 80}[article]


@app.task
def discounted(price: int, percent: int) -> float:
    return price * (100 - percent) / 100


@app.task
def report(title: str) -> str:
    return f"report: {title}"


def quote() -> Any:
    return discounted.s(200, percent=25)


def quote_for(article: str) -> Any:
    return price_of.s(article) | discounted.s(25)


def close_of_day() -> Any:
    return price_of.s("lamp") | report.si("close of day")


WORKFLOWS = (
    Workflow(
        name="signature",
        about="One task with all of its arguments.",
        canvas=lambda _: quote(),
        shape="discounted(200, percent=25)",
        end=150.0,
        executions={"discounted": 1},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="partial",
        about="A task whose first argument is the result of the one before.",
        canvas=lambda _: quote_for("lamp"),
        shape="price_of('lamp') | discounted(25)",
        end=60.0,
        executions={"price_of": 1, "discounted": 1},
    ),
    Workflow(
        name="immutable",
        about="A task that runs after another and takes nothing from it.",
        canvas=lambda _: close_of_day(),
        shape="price_of('lamp') | report.si('close of day')",
        end="report: close of day",
        executions={"price_of": 1, "report": 1},
    ),
)
