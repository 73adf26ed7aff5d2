"""Tells a schedule in words: what departed from the default, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_celeryflow.history import VOLATILE, Event
from pytest_celeryflow.sim.oracle import Step

if TYPE_CHECKING:
    from pytest_celeryflow.explore.explorer import Explored

__all__ = ["story", "unstable"]


def story(steps: Sequence[Step]) -> list[str]:
    """A sentence for each departure, in order."""
    told = []
    for step in steps:
        if not step.taken:
            continue
        if step.choice.kind == "fault":
            told.append(step.said)
        else:
            told.append(f"{step.said}, before {step.choice.options[0]}")
    return told


def unstable(first: Explored, second: Explored | None, mismatch: str | None) -> str:
    """Why the same choices did not lead to the same history."""
    where = mismatch
    if second is not None:
        where = _difference(first, second)
    return (
        "The same choices led to another history: something outside the simulation decides "
        f"too.\n{where}\n"
        "Look for real threads, real randomness (secrets, os.urandom, numpy), the order of a set, "
        "and for state that outlives a run: a module's cache, a file, a fixture."
    )


def _difference(first: Explored, second: Explored) -> str:
    for one, other in zip(first.history, second.history, strict=False):
        if one.canonical() != other.canonical():
            return f"They part at event {one.number}: {_apart(one, other)}."
    if len(first.history) != len(second.history):
        return f"The first has {len(first.history)} events, the second {len(second.history)}."
    return f"The first raised {first.error!r}, the second {second.error!r}."


def _apart(one: Event, other: Event) -> str:
    """Two events, by what is not the same."""
    if (one.kind, one.label, one.worker) != (other.kind, other.label, other.worker):
        return f"first {_named(one)}, then {_named(other)}"
    mine, theirs = one.details, other.details
    differing = [
        f"{name} was {mine.get(name)!r}, then {theirs.get(name)!r}"
        for name in {**mine, **theirs}
        if name not in VOLATILE and mine.get(name) != theirs.get(name)
    ]
    return f"{_named(one)}: {'; '.join(differing)}"


def _named(event: Event) -> str:
    where = f" in {event.worker}" if event.worker else ""
    return f"{event.label or 'the simulation'} {event.kind}{where}"
