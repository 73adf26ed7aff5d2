"""First in, first out, and no fault: what the simulation does by itself."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_celeryflow.sim.oracle import Choice, Step

__all__ = ["FirstInFirstOut"]


class FirstInFirstOut:
    """One schedule: the default one."""

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        return schedule == 0

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        return 0

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
