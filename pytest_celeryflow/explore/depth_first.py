"""Depth first: every schedule, those with fewer departures from the default first.

The tree of choices is walked by repeating all of the last schedule but its last choice that
has an option left, within a bound on the departures, faults among them; when all within the
bound were tried, the bound grows (delay-bounded scheduling: Emmi, Qadeer, Rakamarić, POPL
2011; iterative deepening, so that a bug that needs one departure is found before any that
needs two). It is complete when a bound left no schedule out.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_celeryflow.sim.oracle import Choice, Step

__all__ = ["DepthFirst"]


class DepthFirst:
    """All schedules.

    Args:
        runs: The most schedules to try.
    """

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._bound = 0
        #: The bound left a schedule out.
        self._pruned = False
        #: What to take, choice by choice, until the schedule is new.
        self._path: list[int] = []
        self._at = 0
        #: Every schedule was tried.
        self.complete = False

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        self._at = 0
        return schedule < self._runs and not self.complete

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        at, self._at = self._at, self._at + 1
        taken = self._path[at] if at < len(self._path) else 0
        return min(taken, len(choice.options) - 1)

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
        taken = [step.taken for step in steps]
        for at in reversed(range(len(steps))):
            if taken[at] + 1 >= len(steps[at].choice.options):
                continue
            departures = sum(option > 0 for option in taken[:at]) + 1
            if departures > self._bound:
                self._pruned = True
                continue
            self._path = [*taken[:at], taken[at] + 1]
            return
        self.complete = not self._pruned
        self._path, self._pruned = [], False
        self._bound += 1
