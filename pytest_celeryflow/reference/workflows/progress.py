"""Progress: a task tells how far it is by a state of its own, and somebody shows it.

`update_state` stores a state and a dict under the task's id; any name that is none of Celery's
will do. It is one write to the result backend each time: tell it every hundred rows, not every
row. Readers poll `AsyncResult(id).info`, as the page with the bar does here by a task. The
final state overwrites the last one.
"""

from __future__ import annotations

import time
from typing import Any

from celery import Task, group, states

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(bind=True)
def import_rows(self: Task, parts: int, seconds: float) -> int:
    for part in range(parts):
        self.update_state(state="PROGRESS", meta={"done": part, "of": parts})
        time.sleep(seconds)
    return parts


@app.task
def watch(task_id: str, every: float) -> str:
    """What a web page does that shows a bar: ask now and then, here until half is done."""
    while True:
        result = app.AsyncResult(task_id)
        if result.state in states.READY_STATES:
            return "it is over"
        if result.state == "PROGRESS" and result.info["done"] * 2 >= result.info["of"]:
            return "half of it is done"
        time.sleep(every)


def import_with_a_bar(seconds: float) -> Any:
    return group(
        import_rows.s(4, seconds).set(task_id="import-1"),
        watch.s("import-1", seconds / 4),
    )


WORKFLOWS = (
    Workflow(
        name="progress",
        about="An import of four parts, and somebody who sees when two of them are done.",
        canvas=lambda at: import_with_a_bar(at.seconds(10)),
        shape="group(import_rows(4, 10.0), watch('import-1', 2.5))",
        end=[4, "half of it is done"],
        executions={"import_rows": 1, "watch": 1},
        needs=("reading elsewhere",),
        takes=40,
        longest=10,
        differs={
            "eager": Differs(
                "Nobody can watch: the import has ended before anything else is called.",
                end=[4, "it is over"],
            )
        },
    ),
)
