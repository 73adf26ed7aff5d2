"""The tasks of `soak.py`, on an app that a worker's own process can import."""

from __future__ import annotations

from celery import Celery
from celery.signals import task_prerun

app = Celery("soak", set_as_current=False)


def runs_key(backend):
    """The Redis hash of task ids and how often each was begun."""
    return backend.get_key_for_task("soak-runs")


@task_prerun.connect
def count(task_id, task, **_):
    """Count in Redis, where the process that counts may be killed."""
    client = getattr(task.backend, "client", None)
    if task.app is app and client is not None:
        client.hincrby(runs_key(task.backend), task_id)


@app.task(shared=False)
def early(n):
    """Acknowledged when it begins: a worker that dies meanwhile loses it."""
    return n


@app.task(shared=False, acks_late=True, reject_on_worker_lost=True)
def late(n):
    """Acknowledged when it has ended: it runs at least once."""
    return n


@app.task(shared=False, acks_late=True, reject_on_worker_lost=True)
def late_total(numbers):
    return sum(numbers)


@app.task(shared=False, bind=True, max_retries=1)
def retrying(self, n):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return n
