"""Replay: a schedule again, exactly or as nearly as it goes."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.explore.recipe import Departure
from pytest_celeryflow.sim.oracle import Choice, Step

__all__ = ["Nearly", "Replay", "ReplayMismatch"]


class ReplayMismatch(CeleryflowError):
    """A replay no longer fits: at some step, what it wants cannot happen."""


class Replay:
    """One schedule, exactly as it was.

    Raises:
        ReplayMismatch: From `end`, when it did not fit.
    """

    def __init__(self, departures: Sequence[Departure]) -> None:
        self._left = {d.step: d.option for d in departures}
        self._step = 0
        self._mismatch: str | None = None

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        return schedule == 0

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        step, self._step = self._step, self._step + 1
        wanted = self._left.pop(step, None)
        if wanted is None or self._mismatch is not None:
            return 0
        if wanted not in choice.options:
            # Raised at the end: the choice may be asked for in a handler that Celery guards.
            could = "".join(f"\n  {option}" for option in choice.options)
            self._mismatch = _misfit(step, wanted, f"what could happen there is{could}")
            return 0
        return choice.options.index(wanted)

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
        if self._mismatch is None and self._left:
            step, wanted = min(self._left.items())
            self._mismatch = _misfit(step, wanted, f"the schedule was over after {len(steps)}")
        if self._mismatch is not None:
            raise ReplayMismatch(self._mismatch)


def _misfit(step: int, wanted: str, instead: str) -> str:
    return (
        f"the replay does not fit any more: at step {step} it wants\n  {wanted}\n"
        f"and {instead}\n"
        "The code, the test or a version changed since it was recorded: explore anew. Or else the\n"
        "order of a set decides, which differs from process to process: try PYTHONHASHSEED=0."
    )


class Nearly:
    """One schedule, departing as it was told where that is possible, in this order.

    For shrinking: when an earlier departure is left out, the later ones are found again by
    their words.
    """

    def __init__(self, departures: Sequence[Departure]) -> None:
        self._left = list(departures)
        self._step = 0

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        return schedule == 0

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        step, self._step = self._step, self._step + 1
        while self._left and step > self._left[0].step + _LATE:
            self._left.pop(0)
        if not self._left or self._left[0].step - step > _EARLY:
            return 0
        if self._left[0].option not in choice.options:
            return 0
        return choice.options.index(self._left.pop(0).option)

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""


#: A departure may come so many choices before its old place, and so many after it.
_EARLY, _LATE = 4, 40
