"""`flow.follow`: a drawn order and drawn faults, in each mode that can."""

import re

import pytest
from hypothesis import HealthCheck, given, settings

from pytest_celeryflow import (
    CeleryflowError,
    CrashPoint,
    UnsupportedFault,
    explore,
    run_eager,
    run_worker,
    simulate,
)
from pytest_celeryflow.strategies import (
    FaultPlan,
    PlannedFault,
    Schedule,
    fault_plans,
    schedules,
)

drawing = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def test_no_delay_is_the_default_order(shop):
    """What the simulation does by itself, seen while tasks give way to each other."""
    with simulate(shop.app) as flow:
        flow.follow(Schedule())
        shop.race(flow)
        assert flow.report().startswith("0s  bump#1")


def test_a_delay_puts_whoever_would_go_on_behind_all_others(shop):
    """The first of two header tasks has read, and the second reads and writes meanwhile."""
    with pytest.raises(AssertionError), simulate(shop.app) as flow:
        flow.follow(Schedule((2,)))
        shop.race(flow)
    assert flow.report().startswith(
        "its schedule departs from the default one:\n"
        "  1. held back until nobody else can go on: bump#1 goes on\n"
        "\n"
        "0s  bump#1"
    )


@pytest.mark.slow
def test_hypothesis_finds_the_race_and_makes_it_small(shop):
    """One delay, as early as it can be."""

    @drawing
    @given(schedules())
    def body(schedule):
        with simulate(shop.app) as flow:
            flow.follow(schedule)
            shop.race(flow)

    with pytest.raises(AssertionError) as failed:
        body()
    notes = "\n".join(failed.value.__notes__)
    assert re.search(r"schedule=Schedule\(delays=\(\d,\)\)", notes)


@pytest.mark.slow
def test_hypothesis_finds_the_fault_and_makes_it_small(shop):
    """The crash that has an order charged twice."""

    @drawing
    @given(fault_plans([shop.charge], faults=["crash"], max_faults=2))
    def body(plan):
        with simulate(shop.app) as flow:
            flow.follow(plan)
            shop.pay(flow)

    with pytest.raises(AssertionError) as failed:
        body()
    notes = "\n".join(failed.value.__notes__)
    assert "faults=(PlannedFault('crash', 'shop.charge', at=CrashPoint." in notes


def test_a_schedule_and_a_plan_together(shop):
    """Each decides what is its own."""
    crash = PlannedFault("crash", "shop.charge", at=CrashPoint.IN_BODY, kills="process")
    with simulate(shop.app) as flow:
        flow.follow(Schedule((0,)), FaultPlan((crash,)))
        flow.run(shop.charge.s(7))
        assert [e.details["reason"] for e in flow.history.only("fault")] == [
            "crash(charge, at=IN_BODY)"
        ]


def test_a_planned_fault_need_not_strike(shop):
    """Whoever drew it could not know."""
    with simulate(shop.app) as flow:
        flow.follow(FaultPlan((PlannedFault("drop", "shop.total"),)))
        assert flow.run(shop.add.s(1, 2)).value == 3


def test_a_plan_under_an_exploration(shop):
    """An exploration chooses the order, the plan the faults."""

    def body(flow):
        flow.follow(FaultPlan((PlannedFault("duplicate", "shop.charge"),)))
        shop.pay(flow)

    found = explore(body, app=shop.app, faults=())
    assert str(found.failure.error) == "charged [7, 7]"


def test_worker_follows_a_plan(shop):
    """A real worker has doubled messages, too."""
    with run_worker(shop.app) as flow:
        flow.follow(FaultPlan((PlannedFault("duplicate", "shop.charge"),)))
        flow.run(shop.charge.s(7))
        flow.drain()
    assert shop.charged == [7, 7]


@pytest.mark.parametrize("mode", [run_worker, run_eager])
def test_a_mode_that_cannot_follow_a_schedule(shop, mode):
    """It names the one that can."""
    with mode(shop.app) as flow, pytest.raises(CeleryflowError) as refused:
        flow.follow(Schedule())
    assert str(refused.value) == (
        f"mode {flow.mode!r} cannot follow a schedule: the machine decides what comes first\n\n"
        "Next: use mode 'sim'."
    )


def test_a_mode_that_cannot_do_a_fault(shop):
    """As `flow.faults` says it."""
    plan = FaultPlan((PlannedFault("crash", "shop.add", at=CrashPoint.IN_BODY),))
    with run_worker(shop.app) as flow, pytest.raises(UnsupportedFault, match="cannot do crash"):
        flow.follow(plan)


def test_two_schedules(shop):
    """One decides."""
    with simulate(shop.app) as flow:
        flow.follow(Schedule())
        with pytest.raises(CeleryflowError, match="follows a schedule already"):
            flow.follow(Schedule((1,)))


def test_what_is_no_plan(shop):
    """It says what to give."""
    with simulate(shop.app) as flow, pytest.raises(ValueError) as refused:
        flow.follow([1, 2])
    assert str(refused.value) == (
        "follow([1, 2]): give what schedules() and fault_plans() of pytest_celeryflow.strategies "
        "draw: a Schedule, a FaultPlan"
    )
