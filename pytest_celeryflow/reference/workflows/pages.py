"""Page after page: each task replaces itself by the one for the next page, until there is none.

Nobody knows beforehand how many there are. Each page is a task of its own, with its own retries
and time limit, and a worker that ends between two pages loses nothing. What was found so far
travels in the arguments, so keep it small. Eagerly, every page is a call within the call
before: a thousand pages reach Python's recursion limit.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Raises, Workflow

_PAGES: dict[int, tuple[list[str], int | None]] = {
    1: (["Ada", "Bo"], 2),
    2: (["Cy"], 3),
    3: (["Di"], None),
}


@app.task(bind=True)
def customers(self: Task, page: int, found: list[str]) -> Any:
    names, following = _PAGES[page]
    found = [*found, *names]
    if following is None:
        return found
    return self.replace(customers.s(following, found))


WORKFLOWS = (
    Workflow(
        name="page-after-page",
        about="A list is read page by page, each by a task that starts the next.",
        canvas=lambda _: customers.s(1, []),
        shape="customers(1, [])",
        ran="customers(3, ['Ada', 'Bo', 'Cy'])",
        end=["Ada", "Bo", "Cy", "Di"],
        executions={"customers": 3},
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
