"""Retries with backoff, for a service that fails now and then.

`self.retry` publishes the same task again with an ETA, and raises: write `raise self.retry(…)`.
Wait longer each time, with a limit, and give up after `max_retries`: then the exception given
as `exc` is raised. `autoretry_for` does the same without a `try`; its `retry_jitter`, which is
on by default, spreads the callers. With a broker that redelivers what is not acknowledged in
time (Redis, one hour), an ETA behind that time runs more than once.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Raises, Workflow


@app.task(bind=True, max_retries=4)
def exchange_rate(self: Task, directory: str, wait: float, fails: int) -> float:
    try:
        if outside.call(directory, "bank") <= fails:
            raise ConnectionError("the bank does not answer")
    except ConnectionError as exc:
        countdown = wait * 2**self.request.retries
        raise self.retry(exc=exc, countdown=countdown) from exc
    return 1.25


@app.task
def convert(rate: float, amount: int) -> float:
    return rate * amount


@app.task(
    autoretry_for=(ConnectionError,),
    max_retries=5,
    retry_backoff=60,
    retry_backoff_max=600,
    retry_jitter=False,
)
def weather(directory: str) -> str:
    if outside.call(directory, "weather") < 6:
        raise ConnectionError("the station does not answer")
    return "sunny"


def price_in_dollars(amount: int, directory: str, wait: float, fails: int) -> Any:
    return exchange_rate.s(directory, wait, fails) | convert.s(amount)


_SHAPE = "exchange_rate('world', 60.0, {}) | convert(100)"

WORKFLOWS = (
    Workflow(
        name="retry-with-backoff",
        about="The service answers the fourth time: after 1, 2 and 4 minutes.",
        canvas=lambda at: price_in_dollars(100, at.directory, at.seconds(60), 3),
        shape=_SHAPE.format(3),
        end=125.0,
        executions={"exchange_rate": 4, "convert": 1},
        takes=420,
        longest=240,
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="retries-exhausted",
        about="The service never answers: the task gives up after four retries.",
        canvas=lambda at: price_in_dollars(100, at.directory, at.seconds(60), 99),
        shape=_SHAPE.format(99),
        ran="exchange_rate('world', 60.0, 99)",
        end=Raises("ConnectionError", "the bank does not answer"),
        executions={"exchange_rate": 5, "convert": 0},
        takes=900,
        longest=480,
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="autoretry",
        about="The same by declaration: after 1, 2, 4, 8 and 10 minutes.",
        canvas=lambda at: weather.s(at.directory),
        shape="weather('world')",
        end="sunny",
        executions={"weather": 6},
        takes=1500,
        places=("eager", "sim"),
        elsewhere=(
            "retry_backoff is read when the task is defined (celery/app/autoretry.py): "
            "where time is real this takes 25 minutes"
        ),
    ),
)
