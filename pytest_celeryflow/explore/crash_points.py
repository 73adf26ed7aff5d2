"""Crash points: each fault at each opportunity in turn, one a schedule, and nothing else moved."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_celeryflow.sim.oracle import Choice, Step

__all__ = ["CrashPoints"]


class CrashPoints:
    """The default schedule, with one fault at a time.

    Args:
        runs: The most schedules to try.
    """

    def __init__(self, runs: int) -> None:
        self._runs = runs
        #: (number of the opportunity, option), from those that the default schedule has.
        self._plan: list[tuple[int, int]] = []
        self._now: tuple[int, int] | None = None
        self._seen = 0
        self._schedule = 0
        #: Every opportunity was tried.
        self.complete = False

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        self._schedule, self._seen = schedule, 0
        if schedule == 0:
            return True
        self.complete = schedule > len(self._plan)
        if self.complete or schedule >= self._runs:
            return False
        self._now = self._plan[schedule - 1]
        return True

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        if choice.kind != "fault":
            return 0
        here, self._seen = self._seen, self._seen + 1
        if self._now is not None and self._now[0] == here:
            return min(self._now[1], len(choice.options) - 1)
        return 0

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
        if self._schedule == 0:
            faults = [step.choice for step in steps if step.choice.kind == "fault"]
            self._plan = [(at, o) for at, c in enumerate(faults) for o in range(1, len(c.options))]
