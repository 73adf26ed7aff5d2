"""`replace`: a task that decides what is done in its place.

`self.replace(canvas)` publishes the canvas and ends the task; whoever waits for the task waits
for the canvas. Nothing behind `replace` is executed: it raises `Ignore`. `return
self.replace(…)` says so to the reader. The task that replaced itself ends with the state
`IGNORED`, and its result comes later.
"""

from __future__ import annotations

from typing import Any

from celery import Task, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Raises, Workflow


@app.task
def files_in(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in ("a", "b", "c")]


@app.task
def size_of(file: str) -> int:
    return len(file)


@app.task
def total(sizes: list[int]) -> int:
    return sum(sizes)


@app.task(bind=True)
def for_each_file(self: Task, files: list[str]) -> Any:
    return self.replace(group(size_of.s(file) for file in files) | total.s())


@app.task(bind=True)
def measured(self: Task, file: str) -> Any:
    return self.replace(size_of.s(file))


def disk_usage(folder: str) -> Any:
    return files_in.s(folder) | for_each_file.s()


WORKFLOWS = (
    Workflow(
        name="replace",
        about="A task that has another one do its work.",
        canvas=lambda _: measured.s("notes.txt"),
        shape="measured('notes.txt')",
        ran="size_of('notes.txt')",
        end=9,
        executions={"measured": 1, "size_of": 1},
        needs=("replace",),
        differs={
            "eager": Differs(
                "A task that replaces itself by one task asks for its result, which Celery "
                "refuses within a task (celery/app/task.py:Task.replace).",
                end=Raises("RuntimeError"),
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="dynamic-fan-out",
        about="As many tasks as there are things, which only an earlier task knows.",
        canvas=lambda _: disk_usage("home"),
        shape="files_in('home') | for_each_file()",
        ran=(
            "files_in('home') | chord([size_of('home/a'), size_of('home/b'), "
            "size_of('home/c')], total())"
        ),
        end=18,
        executions={"files_in": 1, "for_each_file": 1, "size_of": 3, "total": 1},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
