"""Random: each move with the same probability, faults at places drawn beforehand.

Where faults could strike is learned from the schedules before: as many places as the last of
them had. Of those, none to ``max_faults`` are drawn, so that a fault late in a long workflow
is as likely as an early one. The first schedule is the default one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from pytest_celeryflow.sim.oracle import Choice, Step

__all__ = ["RandomFaults", "Uniform"]


class RandomFaults:
    """Draws, for each schedule, at which opportunities a fault strikes, and which."""

    def __init__(self, rng: random.Random, max_faults: int) -> None:
        self._random, self._max = rng, max_faults
        self._opportunities = 0
        self._seen = 0
        self._at: set[int] = set()

    def begin(self) -> None:
        """Draw the places for a schedule."""
        self._seen = 0
        number = self._random.randint(0, self._max) if self._max else 0
        places = range(self._opportunities)
        self._at = set(self._random.sample(places, min(number, len(places))))

    def choose(self, choice: Choice) -> int:
        """Whether a fault strikes here, and which of them."""
        here, self._seen = self._seen, self._seen + 1
        return self._random.randrange(1, len(choice.options)) if here in self._at else 0

    def end(self, steps: Sequence[Step]) -> None:
        """Learn how many opportunities there are."""
        self._opportunities = sum(step.choice.kind == "fault" for step in steps)


class Uniform:
    """Each schedule at random.

    Args:
        runs: How many schedules.
        max_faults: The most faults in one.
        seed: Makes the same schedules again.
    """

    def __init__(self, runs: int, max_faults: int, seed: int) -> None:
        self._runs = runs
        self._random = random.Random(f"celeryflow-random-{seed}")  # noqa: S311
        self._faults = RandomFaults(self._random, max_faults)
        self._schedule = 0

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        self._schedule = schedule
        self._faults.begin()
        return schedule < self._runs

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        if self._schedule == 0:
            return 0
        if choice.kind == "fault":
            return self._faults.choose(choice)
        return self._random.randrange(len(choice.options))

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
        self._faults.end(steps)
