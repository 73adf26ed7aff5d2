"""A chain that ends early, without a failure.

The rest of a chain travels in the message of its current task. A task that empties it,
`self.request.chain = None`, is the last one that runs. The result of the *chain* is that of its
last task, which then never comes: whoever calls `get()` waits for ever. So a chain that may end
early is one whose result nobody waits for; where somebody does, raise an exception instead, or
replace. Here the steps leave a note of what they did.
"""

from __future__ import annotations

from celery import Task

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(bind=True)
def new_rows(self: Task, directory: str) -> str:
    outside.write(directory, "journal", "looked for rows: none")
    self.request.chain = None
    return directory


@app.task
def load(directory: str) -> str:
    outside.write(directory, "journal", "loaded")
    return directory


@app.task
def nightly_import(directory: str) -> None:
    (new_rows.s(directory) | load.s()).delay()


WORKFLOWS = (
    Workflow(
        name="early-end",
        about="Nothing to do: the rest of the chain is dropped.",
        canvas=lambda at: nightly_import.s(at.directory),
        shape="nightly_import('world')",
        end=None,
        executions={"nightly_import": 1, "new_rows": 1, "load": 0},
        ran="group(nightly_import('world'), new_rows('world'))",
        differs={
            "eager": Differs(
                "The chain is not in the message, there is none: every step is called.",
                executions={"load": 1},
            )
        },
    ),
)
