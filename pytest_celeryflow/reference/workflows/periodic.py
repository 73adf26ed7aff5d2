"""A periodic job: `celery beat` publishes it by its schedule, and a worker runs it.

Beat publishes and does not look whether the one before has ended: a job that takes longer than
its period overlaps itself. Run one beat only. Times of a `crontab` are those of the setting
`timezone`. `expires` keeps a queue from filling with jobs that nobody ran over the weekend.
"""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def nightly_report() -> str:
    return "report"


@app.task
def heartbeat() -> str:
    return "alive"


app.conf.beat_schedule = {
    "the report, at half past two": {
        "task": nightly_report.name,
        "schedule": crontab(hour=2, minute=30),
    },
    "a sign of life, every six hours": {
        "task": heartbeat.name,
        "schedule": 6 * 3600,
        "options": {"expires": 3600},
    },
}


def reported() -> Any:
    return nightly_report.s()


WORKFLOWS = (
    Workflow(
        name="periodic-job",
        about="A week of beat: seven reports, and a sign of life four times a day.",
        canvas=lambda _: reported(),
        shape="nightly_report()",
        end=None,
        executions={"nightly_report": 7, "heartbeat": 28},
        beat="7d",
        takes=7 * 86_400,
        places=("sim",),
        elsewhere="beat needs virtual time: a week is a week where time is real",
    ),
)
