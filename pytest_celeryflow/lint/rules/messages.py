"""Rules about what workers accept as messages.

Relies on the settings `accept_content` and `task_serializer`, and on `kombu.serialization`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kombu.serialization import prepare_accept_content, registry

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import app_rule

__all__ = ["pickle_is_accepted", "serializer_is_not_accepted"]


@app_rule("CF217", "pickle-is-accepted")
def pickle_is_accepted(app: AppView) -> Iterator[Trouble]:
    """Workers accept messages that are pickled.

    Sees: pickle in `accept_content`.

    Why: who can write to the broker can run any code in the workers: reading a pickle is running it.

    Celery: `app/amqp.py:AMQP.TaskConsumer` accepts what `accept_content` says; `app/defaults.py` has
    JSON alone.

    Repair: send plain data as JSON. If pickle must be, close the broker to all but your own, and sign
    the messages (`setup_security`).

    Bad:
        app.conf.accept_content = ["json", "pickle"]

        app

    Good:
        app.conf.accept_content = ["json"]

        app
    """
    if "application/x-python-serialize" in _accepted(app):
        yield Trouble(
            "accept_content",
            "pickle is accepted: who can write to the broker runs code in the workers",
            'accept_content = ["json"]',
        )


@app_rule("CF218", "serializer-is-not-accepted")
def serializer_is_not_accepted(app: AppView) -> Iterator[Trouble]:
    """Tasks are sent in a form that the workers refuse.

    Sees: a task, or the setting `task_serializer`, with a serializer that is not in `accept_content`.

    Why: each message is thrown away by the worker that gets it. Its task never runs, and its result
    stays PENDING.

    Celery: `worker/consumer/consumer.py:Consumer.on_decode_error` acknowledges what
    `accept_content` does not hold.

    Repair: add the serializer to `accept_content`, or use one that is in it.

    Bad:
        @app.task(serializer="yaml")
        def crop(image):
            return image

        app

    Good:
        app.conf.accept_content = ["json", "yaml"]

        @app.task(serializer="yaml")
        def crop(image):
            return image

        app
    """
    accepted = _accepted(app)
    usual = app.conf.task_serializer
    hint = "add it to accept_content, or use one that is in it"
    if _refused(usual, accepted):
        yield Trouble("task_serializer", f"{usual} is not in accept_content", hint)
    for task in app.tasks.values():
        if task.serializer != usual and _refused(task.serializer, accepted):
            yield Trouble(
                task.name, f"{task.serializer} is not in accept_content", hint, task=task.name
            )


def _accepted(app: AppView) -> frozenset[str]:
    return frozenset(prepare_accept_content(app.conf.accept_content) or ())


def _refused(serializer: str, accepted: frozenset[str]) -> bool:
    content_type = registry.name_to_type.get(serializer)
    return content_type is not None and content_type not in accepted
