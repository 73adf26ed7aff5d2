"""Stamps: something that every task of a workflow is told, such as the id of a request.

`canvas.stamp(…)` stamps the tasks of a canvas; each reads `self.request.stamps`. Headers, on
the other hand, reach only the task that they were set on. The body of a chord is not stamped
with its header, and neither is what a task publishes by itself.
"""

from __future__ import annotations

from typing import Any

from celery import Task, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(bind=True)
def log(self: Task, *_earlier: Any) -> str:
    stamps = self.request.stamps or {}
    return f"[{stamps.get('request_id')}] done"


def traced(request_id: str) -> Any:
    canvas = group(log.s(), log.s() | log.s())
    canvas.stamp(request_id=request_id)
    return canvas


WORKFLOWS = (
    Workflow(
        name="stamping",
        about="Every task of a workflow knows which request it belongs to.",
        canvas=lambda _: traced("r-17"),
        shape=(
            "group(log().stamp(request_id='r-17'), log().stamp(request_id='r-17') | "
            "log().stamp(request_id='r-17'))"
        ),
        end=["[r-17] done", "[r-17] done"],
        executions={"log": 3},
        differs={
            "eager": Differs(
                "A value becomes a list of one (celery/app/task.py:Task.apply).",
                end=["[['r-17']] done", "[['r-17']] done"],
            )
        },
    ),
)
