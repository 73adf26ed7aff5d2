"""The Celery app of the reference workflows, as a worker imports it.

    celery -A pytest_celeryflow.reference.app worker

It names no broker and no result backend: a mode, or who starts the worker, does.
"""

from __future__ import annotations

from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.reference.workflows import MODULES

__all__ = ["app"]

#: An ordinary `Celery` app, but for this: its tasks are announced to no other app in the process.
app = FreshApp("reference", set_as_current=False, include=list(MODULES))

app.conf.update(
    task_soft_time_limit=540,
    task_time_limit=600,
    task_default_queue="celery",
    broker_connection_retry_on_startup=True,
)
