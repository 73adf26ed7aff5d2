"""A charge that happens once, however often its task runs.

Brokers deliver at least once: after a lost connection, a killed worker or a visibility timeout
the same message comes again. So the task takes a key first, in a store that refuses a second
one (a unique index, `SET NX`), and does the rest only if it was the first. The key is made by
whoever publishes, not in the task. Between taking the key and charging, a worker may die: a
bank that accepts an idempotency key itself closes that gap.
"""

from __future__ import annotations

from typing import Any

from celery import group

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task(acks_late=True, reject_on_worker_lost=True)
def charge(order: str, amount: int, directory: str) -> str:
    if not outside.once(directory, f"charge-{order}"):
        return "charged before"
    outside.write(directory, "bank", f"{order}: {amount}")
    return "charged"


def impatient_customer(order: str, directory: str) -> Any:
    """The button was pressed three times."""
    return group(charge.s(order, 30, directory) for _ in range(3))


@app.task
def statement(_charges: list[str], directory: str) -> list[str]:
    return outside.read(directory, "bank")


WORKFLOWS = (
    Workflow(
        name="idempotent-charge",
        about="The same order is charged three times, and paid once.",
        canvas=lambda at: impatient_customer("A-1", at.directory) | statement.s(at.directory),
        shape="chord([charge('A-1', 30, 'world') × 3], statement('world'))",
        end=["A-1: 30"],
        executions={"charge": 3, "statement": 1},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
