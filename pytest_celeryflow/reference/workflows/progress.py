"""Progress: a task tells how far it is by a state of its own, and somebody shows it.

`update_state` stores a state and a dict under the task's id; any name that is none of Celery's
will do. It is one write to the result backend each time: tell it every hundred rows, not every
row. Readers poll `AsyncResult(id).info`, as the page with the bar does here by a task. The
final state overwrites the last one. `update_state` needs a result backend, and does nothing
with `ignore_result`.
"""

from __future__ import annotations

import time
from typing import Any

from celery import Task, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(bind=True)
def import_rows(self: Task, parts: int, seconds: float) -> int:
    for part in range(parts):
        self.update_state(state="PROGRESS", meta={"done": part, "of": parts})
        time.sleep(seconds)
    return parts


@app.task
def watch(task_id: str, seconds: float) -> str:
    """What a web page shows that asks once, a while after the import began."""
    time.sleep(seconds)
    result = app.AsyncResult(task_id)
    if result.state == "PROGRESS":
        return f"{result.info['done']} of {result.info['of']}"
    return f"{result.state}"


def import_with_a_bar(seconds: float) -> Any:
    return group(
        import_rows.s(4, seconds).set(task_id="import-1"),
        watch.s("import-1", seconds * 2.5),
    )


WORKFLOWS = (
    Workflow(
        name="progress",
        about="Of four parts of ten seconds each, two are done after 25 seconds.",
        canvas=lambda at: import_with_a_bar(at.seconds(10)),
        shape="group(import_rows(4, 10.0), watch('import-1', 25.0))",
        end=[4, "2 of 4"],
        executions={"import_rows": 1, "watch": 1},
        needs=("reading elsewhere",),
        takes=40,
        longest=10,
        differs={
            "eager": Differs(
                "Nobody can watch: the import has ended before anything else is called.",
                end=[4, "SUCCESS"],
            )
        },
    ),
)
