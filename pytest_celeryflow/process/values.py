"""A user's values on their way between processes.

What pickle takes arrives as it is: the test has the user's modules too. What it does not,
or what cannot be made again on the other side, arrives as its text (`history.Opaque`).
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

from pytest_celeryflow.history import Opaque

__all__ = ["Packed", "packed"]


@dataclass(frozen=True, slots=True)
class Packed:
    """A value as bytes, and its text in case they cannot be read."""

    data: bytes | None
    text: str

    def value(self) -> Any:
        """The value, or its text."""
        if self.data is None:
            return Opaque(self.text)
        try:
            return pickle.loads(self.data)  # noqa: S301 - from a process of ours
        except Exception:  # noqa: BLE001 - a user's class may raise anything
            return Opaque(self.text)


def packed(value: Any) -> Packed:
    """A value for another process."""
    if isinstance(value, BaseException):
        value = _without_frames(value)
    try:
        data = pickle.dumps(value)
    except Exception:  # noqa: BLE001 - a user's class may raise anything
        return _by_parts(value)
    # The text is needed only where another process cannot read the bytes: a class that it
    # does not have. Built-in types are read everywhere.
    return Packed(data, "" if type(value).__module__ == "builtins" and _plain(value) else _text(value))


def _by_parts(value: Any) -> Packed:
    """A tuple, list or dict keeps what can be kept of it."""
    text = _text(value)
    if type(value) in (tuple, list):
        return Packed(pickle.dumps(type(value)(packed(each).value() for each in value)), text)
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return Packed(pickle.dumps({key: packed(each).value() for key, each in value.items()}), text)
    return Packed(None, text)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | bytes)


def _without_frames(exc: BaseException) -> BaseException:
    """Pickle leaves out tracebacks and causes by itself; Celery's wrapper holds the real one."""
    inner = getattr(exc, "exc", None)
    wrapper = type(exc).__name__ == "ExceptionWithTraceback"
    return inner if wrapper and isinstance(inner, BaseException) else exc


def _text(value: Any) -> str:
    try:
        return repr(value)
    except Exception as exc:  # noqa: BLE001 - a user's broken __repr__ must not break the report
        return f"<{type(value).__name__} whose repr raised {type(exc).__name__}>"
