"""Why something does not work on the user's services, in one line, in Celery's own words."""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import Any

from pytest_celeryflow.reference.declaration import Raises
from pytest_celeryflow.reference.running import Seen

__all__ = ["because", "instead"]

#: The libraries whose code says more than a frame of the toolkit's.
_LIBRARIES = ("celery", "kombu", "redis", "amqp", "sqlalchemy")
_LONG = 110


def because(error: BaseException) -> str:
    """An exception in one line, with the file and the function of the library that raised it."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    said = f"{type(error).__name__}: {text}".rstrip(": ")
    said = said if len(said) <= _LONG else said[: _LONG - 1] + "…"
    place = _raised_in(error)
    return f"{said} ({place})" if place else said


def _raised_in(error: BaseException) -> str | None:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = PurePath(frame.filename).parts
        for library in _LIBRARIES:
            if library in parts[:-1] and "pytest_celeryflow" not in parts:
                path = "/".join(parts[len(parts) - 1 - parts[::-1].index(library) :])
                return f"{path}:{frame.name}"
    return None


def instead(expected: Any, seen: Seen) -> str:
    """What came of a workflow instead of what was expected."""
    if isinstance(seen.end, Raises):
        for execution in seen.run.executions if seen.run is not None else ():
            error = execution.error
            if isinstance(error, BaseException) and type(error).__name__ == seen.end.kind:
                return because(error)
        return f"{seen.end.kind}: {seen.end.text}"
    return f"it came to {seen.end!r} instead of {expected!r}"
