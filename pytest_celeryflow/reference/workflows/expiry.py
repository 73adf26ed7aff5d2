"""Work that is worth nothing when it comes too late.

A task with `expires` that a worker gets to later than that is not run: its state is `REVOKED`,
and whoever waits for it gets `TaskRevokedError`. The worker looks when it receives the message
and, with processes, again when one is free
(`celery/worker/worker.py:WorkController._process_task_sem`). Seconds are counted from when the
task itself is published: in a chain, that is when the step before it has ended. A date is a
date.
"""

from __future__ import annotations

import time
from typing import Any

from celery import group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Raises, Workflow


@app.task
def import_catalogue(seconds: float) -> str:
    time.sleep(seconds)
    return "imported"


@app.task
def show_price(article: str) -> str:
    return f"price of {article}"


def busy_shop(busy: float, patience: float) -> Any:
    """One worker process: the price has to wait for the import."""
    return group(import_catalogue.s(busy), show_price.s("lamp").set(expires=patience))


_THREADS = Differs(
    "A pool of threads takes the task when it comes, not when a thread is free, and it has not "
    "expired by then (celery/worker/components.py:Pool.create has a semaphore for prefork alone).",
    end=["imported", "price of lamp"],
    executions={"show_price": 1},
)

WORKFLOWS = (
    Workflow(
        name="expiring-work",
        about="The only worker process is busy for a minute; the price is of use for half of it.",
        canvas=lambda at: busy_shop(at.seconds(60), at.seconds(30)),
        shape="group(import_catalogue(60.0), show_price('lamp').set(expires=30.0))",
        ran="group(import_catalogue(60.0), show_price('lamp').set(expires=30))",
        end=Raises("TaskRevokedError", "expired"),
        executions={"import_catalogue": 1, "show_price": 0},
        takes=60,
        longest=6,  # a second where time is real: a machine that is busy must not decide
        concurrency=1,
        differs={
            "eager": Differs(
                "`expires` has no effect: the task is called.",
                end=["imported", "price of lamp"],
                executions={"show_price": 1},
            ),
            **dict.fromkeys(("worker", "redis", "rabbitmq"), _THREADS),
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
