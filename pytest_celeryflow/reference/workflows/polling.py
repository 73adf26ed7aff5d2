"""Polling: ask every half a minute whether something is ready, and hold no worker meanwhile.

A loop with `sleep` would keep a slot of the worker busy for the whole time. A retry gives the
slot back, and the question survives a restart of the worker. `max_retries` is the patience:
without a limit, one that never becomes ready is asked for ever.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Raises, Workflow


class NotReady(Exception):
    """The export is still being made."""


@app.task
def start_export(directory: str, polls: int) -> dict[str, Any]:
    return {"directory": directory, "ready_at": polls}


@app.task(bind=True, max_retries=5)
def wait_for(self: Task, export: dict[str, Any], every: float) -> str:
    if outside.call(export["directory"], "exporter") < export["ready_at"]:
        raise self.retry(exc=NotReady("the export is still being made"), countdown=every)
    return "export.csv"


@app.task
def download(file: str) -> str:
    return f"downloaded {file}"


def exported(directory: str, every: float, polls: int) -> Any:
    return start_export.s(directory, polls) | wait_for.s(every) | download.s()


_SHAPE = "start_export('world', {}) | wait_for(30.0) | download()"

WORKFLOWS = (
    Workflow(
        name="polling",
        about="Ready the third time it is asked for.",
        canvas=lambda at: exported(at.directory, at.seconds(30), 3),
        shape=_SHAPE.format(3),
        end="downloaded export.csv",
        executions={"start_export": 1, "wait_for": 3, "download": 1},
        takes=60,
        longest=60,
    ),
    Workflow(
        name="polling-in-vain",
        about="Never ready: patience ends after five more questions.",
        canvas=lambda at: exported(at.directory, at.seconds(30), 99),
        shape=_SHAPE.format(99),
        ran="start_export('world', 99) | wait_for(30.0)",
        end=Raises("NotReady", "the export is still being made"),
        executions={"start_export": 1, "wait_for": 6, "download": 0},
        takes=150,
        longest=150,
    ),
)
