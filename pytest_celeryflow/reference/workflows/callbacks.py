"""`link` and `link_error`: what runs when a task has succeeded, or has failed.

A callback gets the result as its first argument. It is not part of the workflow's result: the
caller waits for the task, not for the callback. An errback that takes one argument is
published, and is given the id of the task that failed; one that takes `(request, exc,
traceback)` is called in place, in the worker that ran the failed task, with no message of its
own.
"""

from __future__ import annotations

from typing import Any

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Raises, Workflow


@app.task
def register(customer: str) -> str:
    if not customer:
        raise ValueError("a customer has a name")
    return customer


@app.task
def welcome(customer: str) -> str:
    return f"welcome, {customer}"


@app.task
def apologise(request: Any, exc: Exception, traceback: Any) -> str:
    return f"{request.task.rpartition('.')[2]}: {exc}"


def registration(customer: str) -> Any:
    signature = register.s(customer)
    signature.link(welcome.s())
    signature.link_error(apologise.s())
    return signature


_SHAPE = "register({!r}).link(welcome()).on_error(apologise())"

WORKFLOWS = (
    Workflow(
        name="link",
        about="A task that is published when another has succeeded.",
        canvas=lambda _: registration("Ada"),
        shape=_SHAPE.format("Ada"),
        end="Ada",
        executions={"register": 1, "welcome": 1, "apologise": 0},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="link-error",
        about="A task that is called when another has failed.",
        canvas=lambda _: registration(""),
        shape=_SHAPE.format(""),
        end=Raises("ValueError", "a customer has a name"),
        executions={"register": 1, "welcome": 0, "apologise": 1},
        claims={
            "the errback is told which task failed and why": lambda run: (
                run[apologise].results == ("register: a customer has a name",)
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq"),
    ),
)
