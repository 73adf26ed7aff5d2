"""One way or the other: a task decides with `replace` which steps come next.

A canvas has no `if`. A task that replaces itself by one of two canvases is one. What follows in
the chain follows whichever was taken; both ways must therefore return the same kind of thing.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def approve(amount: int) -> str:
    return f"{amount} approved"


@app.task
def ask_a_person(amount: int) -> str:
    return f"{amount} is a lot"


@app.task
def record(decision: str, by: str) -> str:
    return f"{decision} ({by})"


@app.task(bind=True)
def decide(self: Task, amount: int) -> Any:
    if amount > 1000:
        return self.replace(ask_a_person.s(amount) | record.s("Ada"))
    return self.replace(approve.s(amount))


@app.task
def inform(decision: str) -> str:
    return f"dear customer: {decision}"


def credit(amount: int) -> Any:
    return decide.s(amount) | inform.s()


WORKFLOWS = (
    Workflow(
        name="condition",
        about="A small amount is approved by itself.",
        canvas=lambda _: credit(100),
        shape="decide(100) | inform()",
        ran="approve(100) | inform()",
        end="dear customer: 100 approved",
        executions={"decide": 1, "approve": 1, "ask_a_person": 0, "record": 0, "inform": 1},
    ),
    Workflow(
        name="condition-otherwise",
        about="A large one goes to a person: two steps instead of one.",
        canvas=lambda _: credit(5000),
        shape="decide(5000) | inform()",
        ran="ask_a_person(5000) | record('Ada') | inform()",
        end="dear customer: 5000 is a lot (Ada)",
        executions={"decide": 1, "approve": 0, "ask_a_person": 1, "record": 1, "inform": 1},
    ),
)
