"""How a message is tied to others: what `Run.shape` needs to know of it, as plain data.

Relies on the body of Celery's message protocol 2 (`celery/app/amqp.py`, ``as_task_v2``): its
third part holds ``chain`` (what is to come, last step first), ``chord`` (the body), ``callbacks``
and ``errbacks``; on the header ``replaced_task_nesting`` that `celery.app.task.Task.replace`
counts up; and on ``Task._get_exec_options``, the options that a task's class brings along.
The same from Celery 5.4 to 5.7.

Not modelled: protocol 1, which knows no chains; options that a message does not carry
(``serializer``, ``retry``) or that no worker reads (``delivery_mode``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from celery import Celery

__all__ = ["Call", "immutable_calls", "take_call", "wiring"]

#: A task's name and its arguments.
Call = tuple[str, list[Any], dict[str, Any]]


def wiring(
    app: Celery, headers: Mapping[str, Any], embed: Mapping[str, Any], priority: Any, queue: str
) -> dict[str, Any]:
    """Say how a message is tied to others; what is empty is left out.

    Args:
        app: The app that publishes it.
        headers: Its headers.
        embed: The third part of its body.
        priority: Its priority, or None.
        queue: The queue it is in.

    Returns:
        ``next``, the signature that follows in its chain; ``body``, that of its chord;
        ``links`` and ``errbacks``, lists of signatures; ``nesting``, how many replacements
        led to it; ``options`` that it was published with.
    """
    chain = embed.get("chain") or ()
    told = {
        "next": chain[-1] if chain else None,
        "body": embed.get("chord"),
        "links": embed.get("callbacks"),
        "errbacks": embed.get("errbacks"),
        "nesting": headers.get("replaced_task_nesting"),
        "options": _options(app, headers, priority, queue),
    }
    return {key: value for key, value in told.items() if value}


def _options(
    app: Celery, headers: Mapping[str, Any], priority: Any, queue: str
) -> dict[str, Any]:
    hard, soft = headers.get("timelimit") or (None, None)
    elsewhere = queue != app.conf.task_default_queue
    told = (priority, hard, soft, *map(headers.get, ("eta", "expires", "shadow")))
    if not (elsewhere or any(told)):  # by far the most messages
        return {}
    task = app.tasks.get(headers["task"])
    own = task._get_exec_options() if task is not None else {}
    found = {
        "queue": queue if elsewhere else None,
        "priority": priority or None,
        "countdown": _seconds(headers.get("eta"), app),
        "expires": _seconds(headers.get("expires"), app),
        "time_limit": hard,
        "soft_time_limit": soft,
        "shadow": headers.get("shadow"),
    }
    options = {
        name: value for name, value in found.items() if value is not None and value != own.get(name)
    }
    if own.get("expires") is not None:
        options.pop("expires", None)
    return options


def _seconds(moment: Any, app: Celery) -> float | None:
    """Seconds from now, in whole ones when the clock's own pace is all that speaks against it."""
    try:
        due = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return None
    if due.tzinfo is None:
        due = due.replace(tzinfo=app.timezone)
    seconds = round((due - app.now()).total_seconds(), 2)
    return round(seconds) if abs(seconds - round(seconds)) <= 0.05 else seconds  # noqa: PLR2004


def immutable_calls(canvas: Any) -> list[Call]:
    """List the immutable tasks of a canvas, which their messages do not tell from others."""
    return [(task["task"], list(task["args"]), dict(task["kwargs"])) for task in _immutable(canvas)]


def take_call(calls: list[Call], task: str, args: Any, kwargs: Any) -> bool:
    """Remove the first of these calls that a message makes; whether there was one."""
    from pytest_celeryflow.shape._value import normal, same_call  # noqa: PLC0415 - seldom needed

    made = (normal(list(args)), normal(kwargs))
    for index, (name, *call) in enumerate(calls):
        if name == task and same_call((normal(call[0]), normal(call[1])), made):
            del calls[index]
            return True
    return False


def _immutable(canvas: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(canvas, Mapping):
        return
    inside = canvas.get("kwargs") or {}
    if canvas.get("subtask_type") in ("chain", "group"):
        parts = inside["tasks"]
    elif canvas.get("subtask_type") == "chord":
        parts = inside["header"]  # a body is described in the messages of its header
    else:
        if canvas.get("immutable"):
            yield canvas
        return
    for part in [parts] if isinstance(parts, Mapping) else parts:
        yield from _immutable(part)
