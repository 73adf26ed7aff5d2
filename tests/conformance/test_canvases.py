"""Canvases that Hypothesis makes: real workers and the simulation tell the same of each."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from celery.canvas import Signature
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pytest_celeryflow.strategies import canvases

from . import tasks as t
from .modes import LIVE, REFERENCE, SIMULATED, Mode
from .normal import Told, differences, tell
from .test_conformance import comparable
from .workflow import Workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]

#: Each takes whatever it is given, a list of results too, and succeeds or fails in its way.
ARGUMENT = [st.integers(0, 9)]
TASKS = {
    t.collect: ARGUMENT,
    t.retries_once: ARGUMENT,
    t.late_collect: ARGUMENT,
    t.replaced_by_collect: ARGUMENT,
    t.publishes: ARGUMENT,
    t.fail: [],
    t.on_error_in_place: [],
}

CANVASES = canvases(TASKS, bodies=TASKS)

#: Any canvas may wait for another of its parts.
ROOM = Workflow("made by Hypothesis", lambda: None, concurrency=8)


def told(mode: Mode, canvas: Signature) -> Told:
    with mode.open(ROOM) as flow:
        return tell(flow, canvas.clone())


def bounded(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def agree(one: Mode, two: Mode, canvas: Signature) -> None:
    left, right = told(one, canvas), told(two, canvas)
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
    @given(CANVASES)
    def check(canvas: Signature) -> None:
        assert mode.twin is not None
        agree(mode, mode.twin, canvas)

    check()


@pytest.mark.parametrize("mode", SIMULATED, ids=str)
def test_result_stores_agree(mode: Mode) -> None:
    """Whichever counts the parts of a chord."""
    with ExitStack() as stack:
        stack.enter_context(mode.open(ROOM))

    @bounded(12)
    @given(CANVASES)
    def check(canvas: Signature) -> None:
        agree(REFERENCE, mode, canvas)

    check()
