"""The tasks of `soak.py`, on an app that a worker's own process can import."""

from __future__ import annotations

from celery import Celery

app = Celery("soak", set_as_current=False)


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
