"""PCT: probabilistic concurrency testing.

Burckhardt, Kothari, Musuvathi, Nagarakatte: "A Randomized Scheduler with Probabilistic
Guarantees of Finding Bugs", ASPLOS 2010. Each actor has a random priority; the enabled one
with the highest always goes on, except that at d - 1 random steps the one that would go on is
put below all others. A bug that needs d ordering constraints among n actors in k steps is
found with probability at least 1 / (n * k ** (d - 1)) in each schedule, however unlikely
it is under a random walk.

An actor is a task or a worker's loop; its priority is drawn when it is first seen. k is
learned from the schedules before. The first schedule is the default one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from pytest_celeryflow.explore.uniform import RandomFaults
from pytest_celeryflow.sim.oracle import Choice, Step

__all__ = ["Pct"]


class Pct:
    """Schedules by priorities that change at few random steps.

    Args:
        runs: How many schedules.
        max_faults: The most faults in one.
        seed: Makes the same schedules again.
        depth: d: how many ordering constraints a bug may need; 1 or more.
    """

    def __init__(self, runs: int, max_faults: int, seed: int, depth: int = 3) -> None:
        self._runs, self._depth = runs, depth
        self._random = random.Random(f"celeryflow-pct-{seed}")  # noqa: S311
        self._faults = RandomFaults(self._random, max_faults)
        self._length = 1
        self._schedule = 0
        self._step = 0
        self._changes: dict[int, int] = {}
        self._priorities: dict[str, float] = {}

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        self._schedule, self._step = schedule, 0
        self._priorities = {}
        drawn = self._random.sample(
            range(self._length), min(self._depth - 1, self._length)
        )
        self._changes = {step: rank for rank, step in enumerate(drawn)}
        self._faults.begin()
        return schedule < self._runs

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        if self._schedule == 0:
            return 0
        if choice.kind == "fault":
            return self._faults.choose(choice)
        step, self._step = self._step, self._step + 1
        highest = self._highest(choice)
        if step in self._changes:  # below every priority that was drawn
            self._priorities[choice.actors[highest]] = -1.0 - self._changes[step]
            highest = self._highest(choice)
        return highest

    def _highest(self, choice: Choice) -> int:
        for actor in choice.actors:
            if actor not in self._priorities:
                self._priorities[actor] = self._random.random()
        # Of several moves of one actor the first is its next.
        return max(
            range(len(choice.actors)), key=lambda i: (self._priorities[choice.actors[i]], -i)
        )

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
        moves = sum(step.choice.kind == "move" for step in steps)
        self._length = max(self._length, moves)
        self._faults.end(steps)
