"""Routed queues: tasks go to the workers that are made for them.

`task_routes` says it in one place, by name or pattern; `.set(queue=…)` on a signature outranks
it. A queue that no worker consumes keeps its messages silently, and the workflow waits: name
each in the workers' `-Q`, and in `task_queues`. Routes hold for what tasks publish, too, as
long as all processes have the same configuration.
"""

from __future__ import annotations

from typing import Any

from celery import Task, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(bind=True)
def transcode(self: Task, video: str) -> str:
    return f"{video} by {self.request.delivery_info['routing_key']}"


@app.task(bind=True)
def notify(self: Task, text: str) -> str:
    return f"{text} by {self.request.delivery_info['routing_key']}"


def published(video: str) -> Any:
    return group(
        transcode.s(video),
        transcode.s("trailer").set(queue="gpu-urgent"),
        notify.s("on its way"),
    )


_ROUTES = {f"{__name__}.transcode": {"queue": "gpu"}}

WORKFLOWS = (
    Workflow(
        name="routed-queues",
        about="One by the route of its task, one by its own option, one to the default queue.",
        canvas=lambda _: published("film"),
        shape=(
            "group(transcode('film'), transcode('trailer').set(queue='gpu-urgent'), "
            "notify('on its way'))"
        ),
        ran=(
            "group(transcode('film').set(queue='gpu'), "
            "transcode('trailer').set(queue='gpu-urgent'), notify('on its way'))"
        ),
        end=["film by gpu", "trailer by gpu-urgent", "on its way by celery"],
        executions={"transcode": 2, "notify": 1},
        config={"task_routes": _ROUTES},
        differs={
            "eager": Differs(
                "Nothing is routed: there is no queue.",
                end=["film by None", "trailer by None", "on its way by None"],
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq"),
    ),
)
