"""Makes a failing schedule smaller: fewer faults, fewer departures, an earlier end.

Each try leaves something out and runs the function again, as nearly as it goes; it counts
when the function still fails in the same way. Departures are left out in ever smaller
chunks (delta debugging: Zeller, Hildebrandt, IEEE TSE 2002). It ends when nothing can be left
out, or when the tries are used up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_celeryflow.explore.recipe import Departure, Recipe, departures

if TYPE_CHECKING:
    from pytest_celeryflow.explore.explorer import Explored, Plan

__all__ = ["shrink"]


def shrink(plan: Plan, recipe: Recipe, schedule: Explored) -> tuple[Explored, int, bool]:
    """The smallest schedule found that fails alike, how many tries it took, and whether it is done.

    Args:
        plan: What is explored.
        recipe: How to make the failing schedule.
        schedule: The failing schedule.
    """
    search = _Search(plan, schedule)
    faults = [d for d in recipe.departures if d in _faults(schedule)]
    for fault in reversed(faults):
        search.attempt([d for d in search.kept if d != fault])
    size = max(len(search.kept) // 2, 1)
    while search.kept and not search.spent:
        before = len(search.kept)
        at = 0
        while at < len(search.kept) and not search.spent:
            rest = [*search.kept[:at], *search.kept[at + size :]]
            if not search.attempt(rest):
                at += size
        if size == 1 and len(search.kept) == before:
            break
        size = max(size // 2, 1)
    return search.best, search.tries, not search.spent


def _faults(schedule: Explored) -> set[Departure]:
    return {
        Departure(n, step.said)
        for n, step in enumerate(schedule.steps)
        if step.choice.kind == "fault" and step.taken
    }


class _Search:
    def __init__(self, plan: Plan, schedule: Explored) -> None:
        self._plan = plan
        self.best = schedule
        self.tries = 0

    @property
    def kept(self) -> list[Departure]:
        return list(departures(self.best.steps))

    @property
    def spent(self) -> bool:
        return self.tries >= self._plan.attempts

    def attempt(self, kept: list[Departure]) -> bool:
        """Whether it still fails alike with these alone, and in no more than before."""
        if self.spent:
            return False
        self.tries += 1
        schedule = self._plan.nearly(self._plan.recipe(kept))
        if not _alike(schedule, self.best) or _weight(schedule) >= _weight(self.best):
            return False
        self.best = schedule
        return True


def _weight(schedule: Explored) -> tuple[int, int, int]:
    """Faults, then departures, then length."""
    return len(_faults(schedule)), len(departures(schedule.steps)), len(schedule.steps)


def _alike(one: Explored, other: Explored) -> bool:
    """Whether two failures are of the same kind, raised in the same place."""
    if one.error is None or other.error is None:
        return False
    return type(one.error) is type(other.error) and _place(one.error) == _place(other.error)


def _place(error: BaseException) -> tuple[str, int] | None:
    """Where in the test's own code it was raised: the frame the test's function called from."""
    traceback, place = error.__traceback__, None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        name = traceback.tb_frame.f_globals.get("__name__", "")
        if not name.startswith("pytest_celeryflow."):
            place = place or (code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place
