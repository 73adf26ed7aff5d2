"""freezegun's own ``tick`` and ``move_to`` let virtual time pass, rather than merely jump.

A test that holds a `freeze_time`, or the fixture ``freezer``, moves time with it. What is due
meanwhile has to happen at its own moment, as with `VirtualClock.advance`: three retries an hour
apart are three executions at three moments after ``freezer.tick(7200)``.

Backwards nothing is driven: the date changes, as freezegun does it. Nor is anything by
``auto_tick_seconds``, which moves time whenever somebody looks at it.
"""

from __future__ import annotations

import datetime as _datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from freezegun import api as _freezegun

__all__ = ["ticks_driving"]

_FACTORIES = ("FrozenDateTimeFactory", "TickingDateTimeFactory", "StepTickTimeFactory")


@contextmanager
def ticks_driving(drive: Callable[[Any, _datetime.datetime | float], bool]) -> Iterator[None]:
    """Ask before freezegun moves time.

    Args:
        drive: Given the freeze and where to move, a naive moment or seconds from now, lets that
            time pass; whether it did. If not, freezegun does what it would.
    """
    kept = []
    for name in _FACTORIES:
        factory = getattr(_freezegun, name)
        for method, wrap in (("tick", _ticking), ("move_to", _moving)):
            original = getattr(factory, method)
            kept.append((factory, method, original))
            setattr(factory, method, wrap(original, drive))
    try:
        yield
    finally:
        for factory, method, original in kept:
            setattr(factory, method, original)


def _ticking(original: Any, drive: Any) -> Any:
    def tick(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        stepping = type(self).__name__ == "StepTickTimeFactory"
        delta = next(iter((*args, *kwargs.values())), None if stepping else 1)
        if isinstance(delta, _datetime.timedelta):
            delta = delta.total_seconds()
        if delta and drive(self, float(delta)):
            return self.time_to_freeze
        return original(self, *args, **kwargs)

    return tick


def _moving(original: Any, drive: Any) -> Any:
    def move_to(self: Any, target_datetime: Any) -> None:
        __tracebackhide__ = True
        if not drive(self, _freezegun._parse_time_to_freeze(target_datetime)):
            original(self, target_datetime)

    return move_to
