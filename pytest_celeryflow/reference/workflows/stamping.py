"""Stamps: something that every task of a workflow is told, such as the id of a request.

`canvas.stamp(…)` stamps the whole canvas; each task reads `self.request.stamps`, whose values
are lists. Headers, on the other hand, reach only the task that they were set on. What a task
publishes by itself is stamped only if the task is stamped when it runs
(`celery/app/base.py:Celery.send_task`).
"""

from __future__ import annotations

from typing import Any

from celery import Task, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task(bind=True)
def log(self: Task, *_earlier: Any) -> str:
    stamps = self.request.stamps or {}
    return f"[{''.join(stamps.get('request_id', ['?']))}] done"


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
    ),
)
