"""Each bug passes every test that runs its task once; an exploration finds it."""

from __future__ import annotations

import pytest
from hunts import HUNTS, Hunt
from promise import cancelled_without_a_trace, fulfilled_once
from pytest_celeryflow import Flow

from exactly_once import buggy, repaired

each = pytest.mark.parametrize("hunt", HUNTS, ids=str)


def test_no_bug_shows_when_nothing_goes_wrong(celeryflow_sim: Flow) -> None:
    """In first-in-first-out order and without a fault, the buggy steps keep the promise."""
    fulfilled_once(celeryflow_sim, buggy.STEPS)


def test_no_bug_shows_when_an_order_is_cancelled(celeryflow_sim: Flow) -> None:
    """Nor is there anything wrong with how they are taken back."""
    cancelled_without_a_trace(celeryflow_sim, buggy.STEPS)


@each
def test_the_bug_is_found(hunt: Hunt) -> None:
    """By an exploration, which tells the story in a few words."""
    found = hunt.run()
    assert found.failure is not None
    assert isinstance(found.failure.error, AssertionError)
    assert all(
        any(word in sentence for sentence in found.failure.story) for word in hunt.story
    ), found
    assert len(found.failure.story) <= 6


@each
def test_its_repair_survives(hunt: Hunt) -> None:
    """The same exploration, with the repaired step."""
    hunt.run(steps=repaired.STEPS, runs=40).check()
