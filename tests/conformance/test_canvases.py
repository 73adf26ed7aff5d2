"""Canvases that Hypothesis makes: real workers and the simulation tell the same of each."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from .canvases import canvases, rendered
from .modes import LIVE, REFERENCE, SIMULATED, Mode
from .normal import Told, differences, tell
from .test_conformance import comparable
from .workflow import Workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]

#: Any canvas may wait for another of its parts.
ROOM = Workflow("made by Hypothesis", lambda: None, concurrency=8)


def told(mode: Mode, recipe: Any) -> Told:
    with mode.open(ROOM) as flow:
        return tell(flow, rendered(recipe))


def bounded(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def agree(one: Mode, two: Mode, recipe: Any) -> None:
    left, right = told(one, recipe), told(two, recipe)
    note(f"canvas: {rendered(recipe)}")
    assert not left.disorder
    assert not right.disorder
    found = differences(str(one), comparable(left), str(two), comparable(right))
    assert not found, "\n".join([f"{one} and {two} differ:", *found])


@pytest.mark.parametrize("mode", LIVE, ids=str)
def test_real_workers_agree_with_the_simulation(mode: Mode) -> None:
    """Whatever canvas it is."""
    with ExitStack() as stack:
        stack.enter_context(mode.open(ROOM))  # skip before Hypothesis begins

    @bounded(20)
    @given(canvases)
    def check(recipe: Any) -> None:
        assert mode.twin is not None
        agree(mode, mode.twin, recipe)

    check()


@pytest.mark.parametrize("mode", SIMULATED, ids=str)
def test_result_stores_agree(mode: Mode) -> None:
    """Whichever counts the parts of a chord."""
    with ExitStack() as stack:
        stack.enter_context(mode.open(ROOM))

    @bounded(12)
    @given(canvases)
    def check(recipe: Any) -> None:
        agree(REFERENCE, mode, recipe)

    check()
