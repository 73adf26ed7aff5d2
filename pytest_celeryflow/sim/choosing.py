"""Lets an oracle choose: which move is next, and whether a fault strikes here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pytest_celeryflow.sim.oracle import Choice, Oracle, Step

__all__ = ["Choosing", "Possible"]

_NOTHING = "nothing goes wrong"


class Possible(Protocol):
    """A move, as the oracle is asked about it."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    @property
    def actor(self) -> str:
        """Whose step it is."""


class Choosing:
    """Asks one oracle, and keeps what was asked and answered.

    Args:
        oracle: Whom to ask.
        faults: Kinds of faults that may strike: ``"crash"``, ``"duplicate"``, ``"drop"``,
            ``"delay"``.
        max_faults: The most of them in all.
        delay: Seconds that a delay takes.
    """

    def __init__(
        self, oracle: Oracle, *, faults: Sequence[str], max_faults: int, delay: float
    ) -> None:
        self.oracle = oracle
        self.faults = frozenset(faults) if max_faults else frozenset()
        self.delay = delay
        self.steps: list[Step] = []
        self._left = max_faults

    def move(self, moves: Sequence[Any]) -> Any:
        """The next of several moves."""
        options = _distinct([m.name for m in moves])
        return moves[self._ask(Choice("move", options, tuple(m.actor for m in moves)))]

    def fault(self, options: Sequence[str], actor: str) -> int:
        """Which of these strikes, counted from 1; 0: none."""
        if not self._left or not options:
            return 0
        words = (_NOTHING, *options)
        taken = self._ask(Choice("fault", words, (actor,) * len(words)))
        self._left -= taken > 0
        return taken

    def _ask(self, choice: Choice) -> int:
        taken = self.oracle.choose(choice)
        self.steps.append(Step(choice, taken))
        return taken


def _distinct(words: list[str]) -> tuple[str, ...]:
    """The same words, numbered where they repeat: one task can be under way twice."""
    if len(set(words)) == len(words):
        return tuple(words)
    seen: dict[str, int] = {}
    told = []
    for each in words:
        seen[each] = seen.get(each, 0) + 1
        told.append(each if seen[each] == 1 else f"{each} ({seen[each]})")
    return tuple(told)
