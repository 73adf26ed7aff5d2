"""Calls at moments of virtual time.

A timer that is not essential never makes the clock jump by itself: it belongs to someone who merely
polls, and polling what nobody will change would never end.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

__all__ = ["SECOND", "Timer", "Timers", "microseconds", "yes"]

#: In the clock's unit.
SECOND = 1_000_000


def microseconds(seconds: float) -> int:
    """Seconds in the clock's unit; what is more than nothing stays more than nothing.

    A wait of a fraction of a microsecond, as float arithmetic leaves it over, must let time
    pass: whoever asked would look at the same moment again, for ever.
    """
    return max(round(seconds * SECOND), 1 if seconds > 0 else 0)


def yes() -> bool:
    """The default of `Timer.essential`."""
    return True


@dataclass(slots=True, eq=False)
class Timer:
    """A call at a moment of virtual time; as a move, the call.

    Attributes:
        due: The moment, in microseconds.
        call: What to call.
        essential: Whether the clock may jump to it for its own sake.
        name: What it is, in words.
        cancelled: Whether it never comes.
    """

    due: int
    call: Callable[[], Any]
    essential: Callable[[], bool] = yes
    name: str = "timer"
    cancelled: bool = False

    @property
    def actor(self) -> str:
        """Time's own."""
        return self.name

    def cancel(self) -> None:
        """Never call it."""
        self.cancelled = True

    def make(self) -> None:
        """Call it."""
        if not self.cancelled:
            self.call()


class Timers:
    """All that are to come; those of one moment in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count(1)

    def add(self, timer: Timer) -> Timer:
        """Set one."""
        heapq.heappush(self._heap, (timer.due, next(self._order), timer))
        return timer

    def next(self) -> Timer | None:
        """The one that comes first, if any."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def pop(self) -> None:
        """Take off the one that `next` gave."""
        heapq.heappop(self._heap)

    def any_essential(self) -> bool:
        """Whether the clock has a reason to jump."""
        cancelled = 0
        for _, _, timer in self._heap:
            if timer.cancelled:
                cancelled += 1
            elif timer.essential():
                return True
        if cancelled:
            self._heap = [entry for entry in self._heap if not entry[2].cancelled]
            heapq.heapify(self._heap)
        return False
