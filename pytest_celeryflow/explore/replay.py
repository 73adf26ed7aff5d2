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
        ReplayMismatch: From `choose` or `end`, when it does not fit.
    """

    def __init__(self, departures: Sequence[Departure]) -> None:
        self._left = {d.step: d.option for d in departures}
        self._step = 0

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        return schedule == 0

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        step, self._step = self._step, self._step + 1
        wanted = self._left.pop(step, None)
        if wanted is None:
            return 0
        if wanted not in choice.options:
            could = "".join(f"\n  {option}" for option in choice.options)
            raise ReplayMismatch(
                f"the replay does not fit any more: at step {step} it wants\n  {wanted}\n"
                f"and what could happen there is{could}\n"
                "The code, the test or a version changed since it was recorded: explore anew."
            )
        return choice.options.index(wanted)

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
        if self._left:
            step, wanted = min(self._left.items())
            raise ReplayMismatch(
                f"the replay does not fit any more: at step {step} it wants\n  {wanted}\n"
                f"and the schedule was over after {len(steps)} steps.\n"
                "The code, the test or a version changed since it was recorded: explore anew."
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
