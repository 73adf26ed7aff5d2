"""A soft time limit, and what to do when it strikes.

Celery raises `SoftTimeLimitExceeded` in the task, wherever it is just then. The task has until
its hard limit to clean up and to return what it has. Catch it around what takes long, not
around everything, and give the hard limit enough room above the soft one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task(soft_time_limit=2, time_limit=10)
def search(places: Sequence[str], seconds: float) -> dict[str, Any]:
    found: list[str] = []
    try:
        for place in places:
            time.sleep(seconds)
            found.append(place)
    except SoftTimeLimitExceeded:
        return {"complete": False, "found": found}
    return {"complete": True, "found": found}


def searched(places: Sequence[str], seconds: float) -> Any:
    return search.s(list(places), seconds)


WORKFLOWS = (
    Workflow(
        name="soft-time-limit",
        about="A search that takes too long returns what it has found by then.",
        canvas=lambda _: searched(["cellar", "attic", "garden"], 0.9),
        shape="search(['cellar', 'attic', 'garden'], 0.9)",
        end={"complete": False, "found": ["cellar", "attic"]},
        executions={"search": 1},
        takes=2.0,
        places=("sim", "process"),
        elsewhere="nothing is interrupted there: a time limit needs a process that can be killed",
    ),
)
