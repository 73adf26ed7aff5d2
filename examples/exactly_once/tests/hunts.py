"""The four bugs, each alone among repaired steps, and how it is hunted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from promise import TONIGHT, fulfilled_once
from pytest_celeryflow import Exploration, Flow, explore

from exactly_once import buggy, repaired
from exactly_once.app import app
from exactly_once.workflow import Steps

__all__ = ["HUNTS", "Hunt"]


@dataclass(frozen=True)
class Hunt:
    """An exploration that finds one bug.

    Attributes:
        bug: The step that has it, and what it is.
        steps: All steps, of which that one is buggy.
        promise: What is explored, given the steps.
        options: Arguments of `explore`.
        story: What the smallest failing story must tell of, a word for each sentence.
    """

    bug: str
    steps: Steps
    promise: Callable[..., None] = fulfilled_once
    options: Mapping[str, Any] = field(default_factory=lambda: {"faults": ()})
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As a test's id and in a table."""
        return self.bug

    def run(self, *, steps: Steps | None = None, runs: int = 300, seed: int = 0) -> Exploration:
        """Explore the promise with these steps; by default with the buggy one among them."""
        body: Callable[[Flow], None] = partial(self.promise, steps=steps or self.steps)
        return explore(body, app, runs=runs, seed=seed, **self.options)


HUNTS = (
    Hunt(
        "reserve: read, then write",
        replace(repaired.STEPS, reserve=buggy.reserve),
        story=("reserve",),
    ),
    Hunt(
        "charge: no idempotency key",
        replace(repaired.STEPS, charge=buggy.charge),
        # What is struck may be an earlier step: all that follows it comes twice, too.
        options={"faults": ("crash", "duplicate")},
    ),
    Hunt(
        "ship: an ETA past the visibility timeout",
        replace(repaired.STEPS, ship=buggy.ship),
        promise=partial(fulfilled_once, pickup=TONIGHT),
    ),
    Hunt(
        "notify: a retry that writes again",
        replace(repaired.STEPS, notify=buggy.notify),
        story=("notify",),
    ),
)
