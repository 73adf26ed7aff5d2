"""Lengths of time: read as people write them, written as people say them."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["duration", "seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)")


def seconds(duration: float | str | timedelta, *, argument: str = "duration") -> float:
    """A length of time in seconds.

    Args:
        duration: Seconds, a ``timedelta``, or text such as ``"90s"``, ``"2h"``, ``"1h 30m"``
            (``ms``, ``s``, ``m`` or ``min``, ``h``, ``d``, ``w``).
        argument: What the caller calls it, for the error.

    Raises:
        ValueError: It cannot be read as a length of time, or is negative.

    >>> seconds("1h 30m")
    5400.0
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        value = _parse(duration, argument)
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        value = float(duration)
    else:
        raise ValueError(_BAD.format(argument, duration))
    if not 0 <= value < float("inf"):
        raise ValueError(_BAD.format(argument, duration))
    return value


_BAD = (
    "{}={!r} is not a length of time: give seconds, a timedelta, or text such as "
    "'500ms', '90s', '30m', '2h', '7d' or '1h 30m'"
)


def _parse(text: str, argument: str) -> float:
    position, total = 0, 0.0
    while position < len(text.rstrip()):
        match = _DURATION.match(text, position)
        if match is None or match[2] not in _UNITS:
            raise ValueError(_BAD.format(argument, text))
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if position == 0:
        raise ValueError(_BAD.format(argument, text))
    return total


def duration(seconds: float) -> str:
    """A length of time as a person says it: ``0s``, ``250ms``, ``1.5s``, ``2h 5m``, ``3d 1h``.

    >>> duration(7500)
    '2h 5m'
    """
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    if rest < 0.0005:  # noqa: PLR2004 - half a millisecond
        return "0s"
    if rest < 0.9995:  # noqa: PLR2004 - what is rounded to less than a second
        return f"{sign}{rest * 1000:.3g}ms"
    if rest < 59.995:  # noqa: PLR2004 - what is rounded to less than a minute
        return f"{sign}{rest:.4g}s"
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts, left = [], round(rest)
    for unit, size in units:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return sign + " ".join(parts[:2])
