"""A canvas that is kept as JSON and run later, by whatever process reads it.

A signature is a dict: what JSON makes of it is a canvas again (`celery.signature`). So a table
of a database or a message to another service can hold a workflow. The tasks are found by their
names when it runs: a task that was renamed since is not found, and arguments must be JSON's own
types.
"""

from __future__ import annotations

import json
from typing import Any

from celery import signature

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def draft(title: str) -> str:
    return f"draft of {title}"


@app.task
def review(text: str, by: str) -> str:
    return f"{text}, reviewed by {by}"


def saved(title: str) -> str:
    """The workflow as text, for a column of a table."""
    return json.dumps(draft.s(title) | review.s(by="Ada"))


def restored(text: str) -> Any:
    return signature(json.loads(text), app=app)


WORKFLOWS = (
    Workflow(
        name="stored-as-json",
        about="A workflow that was written down, and is read and run.",
        canvas=lambda _: restored(saved("chapter 1")),
        shape="draft('chapter 1') | review(by='Ada')",
        end="draft of chapter 1, reviewed by Ada",
        executions={"draft": 1, "review": 1},
    ),
)
