"""Plan B: when a task has failed, an errback starts another one.

The caller of the first task gets its failure, whatever plan B does: an errback is not part of
the result. So the outcome is written down where everybody looks, here a journal. Where the
caller needs a value, catch the exception in the task and return `self.replace(plan_b)`.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Raises, Workflow


@app.task
def courier(parcel: str, directory: str) -> str:
    raise ConnectionError(f"no courier for {parcel}")


@app.task
def by_mail(parcel: str, directory: str) -> str:
    outside.write(directory, "journal", f"{parcel} by mail")
    return "by mail"


@app.task(bind=True)
def courier_or_mail(self: Task, parcel: str, directory: str) -> Any:
    try:
        return courier.run(parcel, directory)
    except ConnectionError:
        return self.replace(by_mail.s(parcel, directory))


def shipped_noticed(parcel: str, directory: str) -> Any:
    return courier.s(parcel, directory).on_error(by_mail.si(parcel, directory))


WORKFLOWS = (
    Workflow(
        name="fallback-by-errback",
        about="The errback does it another way; the caller is told of the failure.",
        canvas=lambda at: shipped_noticed("A-1", at.directory),
        shape="courier('A-1', 'world').on_error(by_mail.si('A-1', 'world'))",
        end=Raises("ConnectionError", "no courier for A-1"),
        executions={"courier": 1, "by_mail": 1, "courier_or_mail": 0},
    ),
    Workflow(
        name="fallback-by-replace",
        about="The task itself takes another way; the caller is given a value.",
        canvas=lambda at: courier_or_mail.s("A-1", at.directory),
        shape="courier_or_mail('A-1', 'world')",
        ran="by_mail('A-1', 'world')",
        end="by mail",
        executions={"courier": 0, "by_mail": 1, "courier_or_mail": 1},
        needs=("replace",),
        differs={
            "eager": Differs(
                "A task that replaces itself by one task asks for its result, which Celery "
                "refuses within a task (celery/app/task.py:Task.replace).",
                end=Raises("RuntimeError"),
            )
        },
    ),
)
