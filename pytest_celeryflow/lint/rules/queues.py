"""Rules about queues: whether anybody consumes what is sent there.

Relies on `celery/app/amqp.py:Queues` and `celery/app/routes.py`. A worker without `-Q` consumes
the queues of `task_queues`, or the default queue alone if that is not set; what a worker's command
line says is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from celery.app.routes import MapRoute
from kombu import Queue

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._canvas import Canvas
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import app_rule, canvas_rule

__all__ = ["default_queue_is_missing", "queue_nobody_consumes", "route_to_nowhere"]


@canvas_rule("CF126", "queue-nobody-consumes")
def queue_nobody_consumes(canvas: Canvas) -> Iterator[Trouble]:
    """A task is sent to a queue that is not in `task_queues`.

    Sees: the option `queue` with a name that `task_queues` does not have. If `task_queues` is not
    set, nothing is known.

    Why: with `task_create_missing_queues=False`, publishing fails with QueueNotFound. Otherwise the
    queue is made, the message waits in it, and no worker consumes it but one that was told to by `-Q`.

    Celery: `app/amqp.py:Queues.__missing__` and `Queues.consume_from`.

    Repair: add the queue to `task_queues`.

    Bad:
        app.conf.task_queues = [Queue("celery"), Queue("images")]

        fetch.s("a").set(queue="image")

    Good:
        app.conf.task_queues = [Queue("celery"), Queue("images")]

        fetch.s("a").set(queue="images")
    """
    queues = canvas.app.queues
    if queues is None:
        return
    for place in canvas.places:
        name = _name(place.shape.options.get("queue"))
        if name and name not in queues:
            yield Trouble(
                f"{place.path}.options['queue']",
                f"{name!r} is not in task_queues: {_then(canvas.app)}",
                f"one of {', '.join(sorted(queues))}, or add it to task_queues",
                task=place.shape.name,
            )


@app_rule("CF212", "route-to-nowhere")
def route_to_nowhere(app: AppView) -> Iterator[Trouble]:
    """A route names a queue that is not in `task_queues`.

    Sees: an entry of `task_routes` with a queue that `task_queues` does not have. If `task_queues` is
    not set, nothing is known; functions that route are not called.

    Why: with `task_create_missing_queues=False`, publishing fails with QueueNotFound. Otherwise the
    queue is made, the messages wait in it, and no worker consumes it but one that was told to by `-Q`.

    Celery: `app/routes.py:Router.expand_destination`, `app/amqp.py:Queues.__missing__` and
    `Queues.consume_from`.

    Repair: add the queue to `task_queues`.

    Bad:
        app.conf.task_queues = [Queue("celery")]
        app.conf.task_routes = {"*.resize": {"queue": "images"}}

        app

    Good:
        app.conf.task_queues = [Queue("celery"), Queue("images")]
        app.conf.task_routes = {"*.resize": {"queue": "images"}}

        app
    """
    if app.queues is None:
        return
    for pattern, target in _routes(app.conf.task_routes):
        name = _name(target.get("queue") if isinstance(target, Mapping) else target)
        if name and name not in app.queues:
            yield Trouble(
                f"task_routes[{str(pattern)!r}]",
                f"{name!r} is not in task_queues: {_then(app)}",
                f"one of {', '.join(sorted(app.queues))}, or add it to task_queues",
            )


@app_rule("CF213", "default-queue-is-missing")
def default_queue_is_missing(app: AppView) -> Iterator[Trouble]:
    """Tasks without a route go to a queue that is not in `task_queues`.

    Sees: `task_queues` without the queue that `task_default_queue` names, `celery` unless it is set,
    and a task for which `task_routes` has no entry. Functions that route are not called: with one
    of them nothing is known.

    Why: setting `task_queues` replaces the default queue. Such tasks are published, and no worker
    consumes them but one that was told to by `-Q`; with `task_create_missing_queues=False` they
    cannot be published.

    Celery: `app/amqp.py:AMQP.Queues` adds the default queue only if there are no others;
    `app/routes.py:Router.route` falls back to `task_default_queue`.

    Repair: set `task_default_queue` to one of them, or add it to them.

    Bad:
        app.conf.task_queues = [Queue("images")]

        app

    Good:
        app.conf.task_queues = [Queue("images")]
        app.conf.task_default_queue = "images"

        app
    """
    default = app.conf.task_default_queue
    if app.queues is None or default in app.queues:
        return
    if not all(isinstance(router, MapRoute) for router in app.routes):
        return
    lost = [name for name in app.tasks if not any(router(name) for router in app.routes)]
    if lost:
        yield Trouble(
            "task_default_queue",
            f"{default!r} is not in task_queues, and {lost[0]} has no route: {_then(app)}",
            f"task_default_queue = {min(app.queues)!r}",
        )


def _routes(routes: Any) -> Iterator[tuple[Any, Any]]:
    """The pairs of pattern and target in `task_routes`."""
    if isinstance(routes, Mapping):
        yield from routes.items()
    elif isinstance(routes, list | tuple):
        for each in routes:
            if isinstance(each, tuple) and len(each) == 2:  # noqa: PLR2004 - a pair
                yield each
            else:
                yield from _routes(each)


def _name(queue: Any) -> str:
    return str(queue.name if isinstance(queue, Queue) else queue or "")


def _then(app: AppView) -> str:
    if app.conf.task_create_missing_queues:
        return "it is made, and no worker consumes it unless told to by -Q"
    return "publishing fails with QueueNotFound"
