"""The repaired workflow: whatever comes twice, late or not at all, each effect happens once."""

from __future__ import annotations

import pytest
from celery.worker.request import Request
from promise import TONIGHT, cancelled_without_a_trace, fulfilled_once
from pytest_celeryflow import CrashPoint, Flow

from exactly_once import repaired, store
from exactly_once.workflow import fulfil

FAULTS = ("crash", "duplicate", "delay")


@pytest.mark.celeryflow_explore(faults=FAULTS, runs=100)
def test_an_order_is_fulfilled_once(celeryflow: Flow) -> None:
    """The promise, in a hundred orders and with a fault anywhere."""
    fulfilled_once(celeryflow, repaired.STEPS)


@pytest.mark.celeryflow_explore(faults=FAULTS, runs=40, strategy="pct", workers=2)
def test_an_order_is_fulfilled_once_by_two_workers(celeryflow: Flow) -> None:
    """A worker that dies takes only its own work with it."""
    fulfilled_once(celeryflow, repaired.STEPS)


@pytest.mark.celeryflow_explore(faults=FAULTS, runs=40)
def test_an_order_that_waits_is_fulfilled_once(celeryflow: Flow) -> None:
    """The carrier comes after the visibility timeout."""
    fulfilled_once(celeryflow, repaired.STEPS, pickup=TONIGHT)


@pytest.mark.celeryflow_explore(faults=FAULTS, runs=100)
def test_an_order_is_cancelled_without_a_trace(celeryflow: Flow) -> None:
    """Compensation is delivered twice and killed like anything else."""
    cancelled_without_a_trace(celeryflow, repaired.STEPS)


@pytest.mark.skipif(
    not hasattr(Request, "_success_was_stored"),
    reason="before Celery 5.7 the task is run again, and its chord ends",
)
def test_why_there_is_a_sweep(celeryflow_sim: Flow) -> None:
    """A process that dies before its result is counted leaves a chord that never ends."""
    flow = celeryflow_sim
    store.reset(mug=10)
    store.place(store.Order("A-1", (store.Line("mug", 1, 900),) * 2, ("ada@example.org",), 0))
    flow.faults.crash(repaired.reserve, at=CrashPoint.AFTER_RESULT)
    run = flow.run(fulfil("A-1", repaired.STEPS))
    assert run.verdict.hung is not None
    assert store.overdue(flow.clock.now.timestamp()) == ["A-1"]

    flow.run(repaired.sweep.si())
    assert store.payments("A-1") == [1800]
    assert store.mails() == ["ada@example.org"]
    assert store.stock("mug") == 8


def test_beat_sweeps(celeryflow_sim: Flow) -> None:
    """Once an hour."""
    store.reset()
    celeryflow_sim.beat.run_for("3h")
    celeryflow_sim.assert_ran(repaired.sweep, times=3)
