"""The Celery app, configured as it runs in production: `celery -A exactly_once.app worker`."""

from __future__ import annotations

import os

from celery import Celery

#: Redis hands out again what is unacknowledged for so many seconds. This is its default.
VISIBILITY_TIMEOUT = 3600

app = Celery("exactly_once", include=["exactly_once.buggy", "exactly_once.repaired"])
app.conf.update(
    broker_url=os.environ.get("EXACTLY_ONCE_BROKER", "redis://localhost:6379/0"),
    result_backend=os.environ.get("EXACTLY_ONCE_RESULTS", "redis://localhost:6379/1"),
    broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT},
    # A lost worker loses no work: its tasks are delivered again. At least once, that is; it
    # is for the tasks to make it exactly once.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    beat_schedule={"sweep": {"task": "exactly_once.repaired.sweep", "schedule": 3600.0}},
    # A chord calls its errback once, when all of its header is over.
    task_allow_error_cb_on_chord_header=False,
)
