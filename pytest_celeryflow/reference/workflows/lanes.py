"""Lanes: what is urgent overtakes what is not, by its priority.

RabbitMQ: 0 is the lowest; the queue must be declared with `x-max-priority`. Redis: 0 is the
*highest*, and the numbers fall into four lists (`priority_steps`). What a worker has already
taken off the queue is not overtaken: `worker_prefetch_multiplier=1` and `acks_late` keep that
to one a process. Two queues, each with workers of its own, are the other way, and the only one
that keeps a lane free.
"""

from __future__ import annotations

from typing import Any

from celery import group
from kombu import Queue

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task(acks_late=True, reject_on_worker_lost=True)
def send_mail(to: str) -> str:
    return to


def mails(bulk: int) -> Any:
    """A newsletter, and behind it a forgotten password."""
    letters = [send_mail.s(f"reader {n}").set(priority=0) for n in range(bulk)]
    return group(*letters, send_mail.s("forgotten password").set(priority=9))


WORKFLOWS = (
    Workflow(
        name="priority-lanes",
        about="One urgent letter overtakes those of a newsletter that still wait.",
        canvas=lambda _: mails(3),
        shape=(
            "group(send_mail('reader 0').set(priority=0), send_mail('reader 1').set(priority=0), "
            "send_mail('reader 2').set(priority=0), "
            "send_mail('forgotten password').set(priority=9))"
        ),
        ran=(
            "group(send_mail('reader 0'), send_mail('reader 1'), send_mail('reader 2'), "
            "send_mail('forgotten password').set(priority=9))"
        ),
        end=["reader 0", "reader 1", "reader 2", "forgotten password"],
        executions={"send_mail": 4},
        claims={
            "the urgent letter goes first": lambda run: (
                run[send_mail].args[0] == ("forgotten password",)
            )
        },
        concurrency=1,
        config={
            "worker_prefetch_multiplier": 1,
            "task_queues": [Queue("celery", queue_arguments={"x-max-priority": 10})],
        },
        sim={"broker": "rabbitmq"},
        differs={
            "eager": Differs(
                "There is no queue to overtake in.", broken=("the urgent letter goes first",)
            )
        },
        places=("eager", "sim"),
        elsewhere="a real worker takes the first letter while the others are being published",
    ),
)
