"""The Celery app, configured as it runs in production.

One worker for each kind of work::

    celery -A science_gateway.app worker -Q compute
    celery -A science_gateway.app worker -Q transfer --concurrency 16
"""

from __future__ import annotations

import os

from celery import Celery
from kombu.entity import Queue

#: Seconds between two questions to the cluster whether a run is done.
POLL_INTERVAL = 3600

app = Celery("science_gateway", include=["science_gateway.tasks"])
app.conf.update(
    broker_url=os.environ.get("SCIENCE_GATEWAY_BROKER", "redis://localhost:6379/0"),
    result_backend=os.environ.get("SCIENCE_GATEWAY_RESULTS", "redis://localhost:6379/1"),
    # Redis hands a message out again when it stays unacknowledged for so long, and a task
    # that waits for its next try is unacknowledged: this must be the longest of all waits.
    broker_transport_options={"visibility_timeout": 12 * POLL_INTERVAL},
    task_queues=[Queue("compute"), Queue("transfer")],
    task_default_queue="compute",
    task_create_missing_queues=False,
    task_routes={
        "science_gateway.tasks.stage_input": {"queue": "transfer"},
        "science_gateway.tasks.publish": {"queue": "transfer"},
        "science_gateway.tasks.notify_owner": {"queue": "transfer"},
        "science_gateway.tasks.clean_up": {"queue": "transfer"},
    },
    # A chord calls its errback once, when all of its header is over and something in it has
    # failed. True would call it for each header task that fails, with the others under way.
    task_allow_error_cb_on_chord_header=False,
    # Every task can be run twice without harm, so that a lost worker loses no work.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    result_expires=7 * 24 * 3600,
)
