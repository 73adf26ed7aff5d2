"""Which argument it is that a serializer refuses, in words.

kombu says what is wrong with a value and not whose value it is. Each argument is handed to
the serializer by itself until one is refused (`kombu.serialization.dumps`).

Not found: what only Celery's own parts of a message make too much, such as a header.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from celery import Celery
from kombu.serialization import dumps

__all__ = ["refused"]

_LONG = 80


def refused(app: Celery, canvas: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Name the first argument that cannot be sent; ``None`` if each can.

    Args:
        app: Its tasks and its settings name the serializers.
        canvas: A signature, or a task.
        args: Positional arguments besides.
        kwargs: Keyword arguments besides.
    """
    name = getattr(canvas, "name", None) or (canvas.get("task") if isinstance(canvas, dict) else "")
    for task, where, value in (*_each(str(name), args, kwargs), *_arguments(canvas)):
        known = app.tasks.get(task)
        serializer = (known.serializer if known is not None else None) or app.conf.task_serializer
        try:
            dumps(value, serializer)
        except Exception:  # noqa: BLE001 - whatever a serializer raises, it refuses
            said = repr(value)
            short = said if len(said) <= _LONG else said[: _LONG - 1] + "…"
            return f"the serializer {serializer!r} refuses {where}={short} of {task}"
    return None


def _each(
    task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, str, Any]]:
    yield from ((task, f"args[{n}]", value) for n, value in enumerate(args))
    yield from ((task, f"kwargs[{key!r}]", value) for key, value in kwargs.items())


def _arguments(part: Any) -> Iterator[tuple[str, str, Any]]:
    """The arguments of each task of a canvas, those of its callbacks too."""
    if isinstance(part, dict) and isinstance(part.get("task"), str):
        if part.get("subtask_type") is None:
            yield from _each(part["task"], part.get("args") or (), part.get("kwargs") or {})
        yield from _arguments(list(part.get("kwargs", {}).values()))
        yield from _arguments(list(part.get("options", {}).values()))
    elif isinstance(part, list | tuple):
        for each in part:
            yield from _arguments(each)
