"""A task that hands its message back, for another worker to take.

`Reject(requeue=True)` gives the message back to the broker, which delivers it again with
`redelivered` set; it needs `acks_late`, because a message that was acknowledged cannot be
rejected. It comes back at once: a machine that is full should wait before it says so, or the
message circles. Without `requeue` the message is dropped, or goes to a dead-letter exchange
where RabbitMQ has one.
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import Reject

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def render(self: Task, film: str, directory: str) -> str:
    if outside.call(directory, "gpu") == 1:
        raise Reject("the graphics card is busy", requeue=True)
    return f"{film} rendered"


def rendered(film: str, directory: str) -> Any:
    return render.s(film, directory)


WORKFLOWS = (
    Workflow(
        name="reject-and-requeue",
        about="A message is handed back once, and done the second time.",
        canvas=lambda at: rendered("trailer", at.directory),
        shape="render('trailer', 'world')",
        end="trailer rendered",
        executions={"render": 2},
        differs={
            "eager": Differs(
                "There is no message to hand back: the task ends, and has no result.",
                end=None,
                executions={"render": 1},
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
