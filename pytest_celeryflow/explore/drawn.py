"""An order that somebody else has drawn: `Schedule`, and the oracle that follows it.

Hypothesis draws it (`pytest_celeryflow.strategies.schedules`), and Hypothesis makes it smaller
when a test fails: MacIver, Donaldson, "Test-Case Reduction via Test-Case Generation: Insights
from the Hypothesis Reducer", ECOOP 2020. What it draws must therefore be small where the
schedule is simple. That is why a schedule is its *delays*, as in Emmi, Qadeer, Rakamarić,
"Delay-Bounded Scheduling", POPL 2011: no delay is the default order, and few delays reach
most of what goes wrong.

It decides about order alone. Faults are planned beforehand (`explore/fault_plan.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_celeryflow.sim.choosing import Choosing
from pytest_celeryflow.sim.oracle import Choice, Step

if TYPE_CHECKING:
    from pytest_celeryflow.flow import Flow

__all__ = ["Drawn", "Schedule"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """An order of things, for `Flow.follow`.

    Attributes:
        delays: Numbers of choices, from 0. At each of these, whoever would go on is put behind
            all others, and stays there. A choice is a moment at which more than one can go on;
            a number beyond the last one does nothing.

    Raises:
        ValueError: A number is none, or is negative.
    """

    delays: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "delays", tuple(self.delays))
        for number in self.delays:
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise ValueError(f"delays: {number!r} must be a whole number, 0 or more")

    def lead(self, flow: Flow) -> None:
        """Let a flow follow it from now on (`Flow.follow`)."""
        oracle = Drawn(self)
        flow.explored_by(Choosing(oracle, faults=(), max_faults=0, delay=0.0))
        flow.tell(lambda: oracle.story)


class Drawn:
    """The one schedule that was drawn."""

    def __init__(self, schedule: Schedule) -> None:
        self._delays = Counter(schedule.delays)
        self._step = 0
        #: Who was delayed, and how late; everybody else is at 0.
        self._behind: dict[str, int] = {}
        #: Each delay in words.
        self.story: list[str] = []

    def begin(self, schedule: int) -> bool:
        """See `Oracle`."""
        return schedule == 0

    def choose(self, choice: Choice) -> int:
        """See `Oracle`."""
        if choice.kind != "move":
            return 0
        step, self._step = self._step, self._step + 1
        for _ in range(self._delays[step]):
            first = self._first(choice)
            self._behind[choice.actors[first]] = max(self._behind.values(), default=0) + 1
            self.story.append(f"held back until nobody else can go on: {choice.options[first]}")
        return self._first(choice)

    def _first(self, choice: Choice) -> int:
        behind = self._behind
        return min(range(len(choice.actors)), key=lambda i: (behind.get(choice.actors[i], 0), i))

    def end(self, steps: Sequence[Step]) -> None:
        """See `Oracle`."""
