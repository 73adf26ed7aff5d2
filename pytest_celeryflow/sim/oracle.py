"""What an oracle is: whoever decides what happens next.

Everything that could be otherwise in the simulation is one choice: which message goes to
which worker, which task goes on, whether a fault strikes here. The simulation asks when
there is more than one option. Option 0 is what it would do by itself: what became possible
first, and no fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Choice", "Oracle", "Step"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One question.

    Attributes:
        kind: ``"move"`` or ``"fault"``.
        options: What could be, in words that are the same from run to run.
        actors: Whose step each option is: a task's label, or a worker's name.
    """

    kind: str
    options: tuple[str, ...]
    actors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A choice that was made, and its answer."""

    choice: Choice
    taken: int

    @property
    def said(self) -> str:
        """The option that was taken."""
        return self.choice.options[self.taken]


class Oracle(Protocol):
    """Decides what happens, in one schedule after another."""

    def begin(self, schedule: int) -> bool:
        """A schedule begins, counted from 0; false when there is none left to try."""

    def choose(self, choice: Choice) -> int:
        """Which option it shall be."""

    def end(self, steps: Sequence[Step]) -> None:
        """The schedule is over, and took these steps."""
