"""What several modes do alike: point the app, run one task by itself, list what waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import Celery
from celery.app.trace import trace_task_ret
from kombu.serialization import dumps
from kombu.utils.uuid import uuid

from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.modes.protocol import Message
from pytest_celeryflow.recorder import Recorder

__all__ = ["broker_settings", "one_task", "pending_messages"]


def one_task(
    app: Celery, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], headers: Mapping[str, Any]
) -> tuple[str, Callable[[], None]]:
    """A task as a worker would run it: its id, and a function that runs it.

    The message is made by Celery (`celery/app/amqp.py:as_task_v2`), serialised and read
    back, and run by the function that a worker's pool runs (`trace_task_ret`).

    Raises:
        kombu.exceptions.EncodeError: The serializer refuses an argument.
    """
    id_ = uuid()
    own = {"retries": headers.get("retries", 0)}
    message = app.amqp.as_task_v2(id_, task.name, tuple(args), dict(kwargs), **own)
    serializer = task.serializer or app.conf.task_serializer
    content_type, encoding, body = dumps(message.body, serializer)
    request = {
        **message.headers,
        **message.properties,
        "delivery_info": {"exchange": "", "routing_key": "", "priority": 0, "redelivered": False},
        **{k: v for k, v in headers.items() if k != "retries"},
    }

    def run() -> None:
        trace_task_ret(task.name, id_, request, body, content_type, encoding, app=app)

    return id_, run


def pending_messages(broker: Broker, recorder: Recorder, waiting: set[str]) -> list[Message]:
    """What waits in the queues, and those of the delivered tasks that wait in a worker."""
    there = [(message, "queue") for message in broker.waiting()]
    there += [(message, "worker") for message in broker.out() if message.task_id in waiting]
    found = []
    for message, where in sorted(there, key=lambda pair: pair[0].number):
        told = recorder._read(message)
        if told is not None:
            name, id_, details = told
            found.append(
                Message(
                    task=name,
                    id=id_,
                    label=recorder.label(id_, name),
                    args=details["args"],
                    kwargs=details["kwargs"],
                    queue=message.queue,
                    eta=details.get("eta"),
                    where=where,
                )
            )
    return found


def broker_settings(app: Celery, url: str) -> dict[str, Any]:
    """What has to be set for a broker of ours; the rest is the app's own."""
    settings: dict[str, Any] = {
        "broker_url": url,
        "broker_read_url": url,
        "broker_write_url": url,
        "broker_transport": None,
        "broker_use_ssl": False,
    }
    if app.conf.get("broker_connection_retry_on_startup") is None:
        settings["broker_connection_retry_on_startup"] = True
    if "worker_detect_quorum_queues" in app.conf:  # Celery 5.5; needs exchange-to-exchange binds
        settings["worker_detect_quorum_queues"] = False
    return settings
