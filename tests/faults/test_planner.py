"""`flow.faults`: arguments, capabilities, and faults that never strike."""

import pytest

from pytest_celeryflow import (
    CeleryflowAssertionError,
    CrashPoint,
    Fault,
    UnsupportedFault,
    run_eager,
    run_worker,
    simulate,
)
from pytest_celeryflow import faults as vocabulary

MODES = {"eager": run_eager, "worker": run_worker, "sim": simulate}


def ask(faults, kind, task):
    """Ask for a fault of a kind."""
    arguments = {"delay": ["1s"]}.get(kind.name, [])
    options = {"crash": {"at": CrashPoint.IN_BODY}}.get(kind.name, {})
    where, _, name = kind.name.rpartition(".")
    if where:
        return getattr(getattr(faults, where), name)(optional=True)
    return getattr(faults, kind.name)(task, *arguments, optional=True, **options)


KINDS = Fault.__subclasses__()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_mode_does_a_fault_or_names_those_that_can(shop, mode, kind):
    """The flags on the vocabulary are the truth."""
    with MODES[mode](shop.app) as flow:
        if mode in kind.modes:
            with ask(flow.faults, kind, shop.charge) as fault:
                assert isinstance(fault, kind)
            return
        with pytest.raises(UnsupportedFault) as refused:
            ask(flow.faults, kind, shop.charge)
    assert str(refused.value).startswith(f"mode '{mode}' cannot do {kind.name}: ")
    for able in kind.modes:
        assert repr(able) in str(refused.value)


def test_the_refusal_in_words(shop):
    """It says why, and where to go."""
    with run_worker(shop.app) as flow, pytest.raises(UnsupportedFault) as refused:
        flow.faults.crash(shop.charge, at=CrashPoint.IN_BODY)
    assert str(refused.value) == (
        "mode 'worker' cannot do crash: a thread cannot be killed\n\nThe modes that can: 'process' and 'sim'"
    )


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (
            lambda flow, task: flow.faults.hang(task),
            "hang: a task is called in the test itself, which would hang with it",
        ),
        (
            lambda flow, task: flow.faults.crash(task, at=CrashPoint.IN_BODY),
            "crash: a task is called in the test itself, which would be killed with it",
        ),
    ],
    ids=["hang", "crash"],
)
def test_the_refusal_of_eager_in_words(shop, ask, why):
    """It has neither a process nor a thread to speak of."""
    with run_eager(shop.app) as flow, pytest.raises(UnsupportedFault) as refused:
        ask(flow, shop.charge)
    assert str(refused.value) == (
        f"mode 'eager' cannot do {why}\n\nThe modes that can: 'process' and 'sim'"
    )


def test_a_fault_that_never_strikes_fails_the_test(shop):
    """It says what it waited for and what happened instead."""
    with pytest.raises(CeleryflowAssertionError) as failed, simulate(shop.app) as flow:
        flow.faults.fail(shop.charge, nth=3)
        flow.run(shop.charge.s(1))
    assert str(failed.value) == (
        "the fault fail(charge, exc=InjectedError('injected by a test'), nth=3) never struck\n"
        "\n"
        "Expected: the task is executed\n"
        "Instead:  there was 1 opportunity, and it was planned for nth=3\n"
        "Next:     repair the test, or plan the fault with optional=True."
    )


def test_a_late_ack_that_is_early(shop):
    """The likeliest reason is said."""
    with pytest.raises(CeleryflowAssertionError) as failed, simulate(shop.app) as flow:
        flow.faults.crash(shop.charge, at=CrashPoint.BEFORE_LATE_ACK)
        flow.run(shop.charge.s(1))
    assert "it has no acks_late, and is acknowledged before it runs" in str(failed.value)


def test_an_optional_fault_need_not_strike(shop):
    """`optional=True`."""
    with simulate(shop.app) as flow:
        fault = flow.faults.drop(shop.charge, optional=True)
    assert fault.fired == 0


def test_a_failing_test_is_not_told_of_faults_that_never_struck(shop):
    """The first failure is the one to read."""
    with pytest.raises(ZeroDivisionError), simulate(shop.app) as flow:
        flow.faults.drop(shop.charge)
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, t: f.fail(t, "text"), "exc='text' is not an exception or an exception class"),
        (lambda f, t: f.fail(t, when="during"), "when='during' is not one of 'before', 'after'"),
        (lambda f, t: f.fail(t, times=0), "times=0 must be a whole number, 1 or more, or None"),
        (lambda f, t: f.drop(t, nth=True), "nth=True must be a whole number, 1 or more, or None"),
        (lambda f, t: f.delay(t, "soon"), "by='soon' is not a length of time"),
        (lambda f, t: f.crash(t, at="IN_BODY"), "at='IN_BODY' is not one of CrashPoint.RECEIVED,"),
        (
            lambda f, t: f.crash(t, at=CrashPoint.RECEIVED, kills="process"),
            "kills='process' is not one of 'worker', who have the task at RECEIVED",
        ),
        (
            lambda f, t: f.crash(t, at=CrashPoint.IN_BODY, restart_after=-1),
            "restart_after=-1 is not a length of time",
        ),
        (lambda f, t: f.fail("chrage"), "no task 'chrage' is registered; did you mean: shop.charge"),
        (lambda f, t: f.broker.down(for_="-1s"), "for_='-1s' is not a length of time"),
        (lambda f, t: f.backend.fail("store"), "op='store' is not one of store_result, get_task_m"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_an_error_at_once(shop, call, message):
    """It names the argument and lists what is valid."""
    with simulate(shop.app) as flow, pytest.raises(ValueError) as refused:
        call(flow.faults, shop.charge)
    assert str(refused.value).startswith(message)


def test_a_fault_says_what_it_is(shop):
    """As it could be written in a test."""
    with simulate(shop.app) as flow:
        said = [
            str(f)
            for f in (
                flow.faults.fail(shop.charge, ValueError, times=2, optional=True),
                flow.faults.delay(shop.charge, "90s", optional=True),
                flow.faults.crash(shop.charge, at=CrashPoint.IN_BODY, optional=True),
                flow.faults.crash(at=CrashPoint.RECEIVED, optional=True),
                flow.faults.broker.down(for_=30, optional=True),
            )
        ]
    assert said == [
        "fail(charge, exc=ValueError, times=2)",
        "delay(charge, by='1m 30s')",
        "crash(charge, at=IN_BODY)",
        "crash(at=RECEIVED)",
        "broker.down(for_='30s')",
    ]


def test_every_crash_point_is_reached_once_by_a_task_that_acknowledges_late(shop):
    """None is a dead letter."""
    for point in CrashPoint:
        with simulate(shop.app, broker="rabbitmq") as flow:
            fault = flow.faults.crash(shop.safe, at=point)
            assert flow.run(shop.safe.s(1)).value == 1
        assert fault.fired == 1


def test_a_fault_that_is_planned_too_late(shop):
    """The task ran before; it says so, and what to do."""
    with pytest.raises(CeleryflowAssertionError) as failed, simulate(shop.app) as flow:
        flow.run(shop.charge.s(1))
        flow.faults.fail(shop.charge, KeyError("x"))
    assert str(failed.value).splitlines()[3] == (
        "Instead:  the task was published once and executed once before the fault was planned; "
        "plan it before the workflow runs"
    )


def test_vocabulary_is_what_the_interface_names():
    """Nothing is missing, nothing is there twice."""
    assert [kind.name for kind in KINDS] == [
        "fail", "delay", "hang", "crash", "duplicate", "drop", "redeliver",
        "broker.down", "backend.down", "backend.fail",
    ]  # fmt: skip
    assert set(vocabulary.__all__) >= {kind.__name__ for kind in KINDS}
