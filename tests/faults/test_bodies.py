"""`fail`, `delay` and `hang`: what is done to a task's body, and that it is undone."""

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from pytest_celeryflow import run_eager, run_worker, simulate
from pytest_celeryflow.faults import InjectedError

EVERYWHERE = pytest.mark.parametrize("mode", [run_eager, run_worker, simulate])


@EVERYWHERE
def test_a_failure_before_the_body(shop, mode):
    """The exception that was asked for; the body did nothing."""
    with mode(shop.app) as flow:
        flow.faults.fail(shop.charge, KeyError("gone"))
        run = flow.run(shop.charge.s(1))
        assert isinstance(run.error, KeyError)
        assert shop.ran == []
        assert flow.run(shop.charge.s(2)).value == 2


@EVERYWHERE
def test_a_failure_after_the_body(shop, mode):
    """The body did everything, and nobody knows."""
    with mode(shop.app) as flow:
        flow.faults.fail(shop.charge, when="after")
        run = flow.run(shop.charge.s(1))
        assert isinstance(run.error, InjectedError)
        assert shop.ran == ["charge"]


def test_a_failure_is_retried_like_the_tasks_own(shop):
    """`autoretry_for` sees it, because it is inside."""

    @shop.app.task(name="shop.call", autoretry_for=(OSError,), max_retries=3, default_retry_delay=60)
    def call():
        return "answered"

    with simulate(shop.app) as flow:
        flow.faults.fail(call, OSError("down"), times=2)
        run = flow.run(call.s())
    assert run.value == "answered"
    assert run[call].retries == 2
    assert run[call].attempts_at == (0, 60, 120)
    assert [type(e) for e in run[call].errors] == [OSError, OSError, type(None)]


def test_the_nth_execution_alone(shop):
    """Counted over the whole flow."""
    with simulate(shop.app) as flow:
        fault = flow.faults.fail(shop.charge, nth=2)
        states = [flow.run(shop.charge.s(n)).state for n in range(4)]
    assert states == ["SUCCESS", "FAILURE", "SUCCESS", "SUCCESS"]
    assert (fault.seen, fault.fired) == (4, 1)


def test_every_execution(shop):
    """`times=None`."""
    with simulate(shop.app) as flow:
        fault = flow.faults.fail(shop.charge, times=None)
        states = {flow.run(shop.charge.s(n)).state for n in range(3)}
    assert states == {"FAILURE"}
    assert fault.fired == 3


def test_a_delay_is_virtual(shop):
    """It takes its time, and no time at all."""
    with simulate(shop.app) as flow:
        flow.faults.delay(shop.charge, "2h")
        run = flow.run(shop.charge.s(1))
    assert (run.value, run.elapsed) == (1, 7200)


@pytest.mark.parametrize("what", ["delay", "hang"])
def test_a_soft_limit_reaches_the_body_where_it_waits(shop, what):
    """The task catches it, as it would if its own call took so long."""
    with simulate(shop.app) as flow:
        _ = flow.faults.hang(shop.tidy) if what == "hang" else flow.faults.delay(shop.tidy, "8s")
        run = flow.run(shop.tidy.s())
    assert run.value == "given up"
    assert shop.ran == ["tidied"]
    assert run.elapsed == 5


def test_a_hang_ends_at_the_hard_limit(shop):
    """Nothing in the task can prevent it."""
    with simulate(shop.app) as flow:
        flow.faults.hang(shop.charge)
        run = flow.run(shop.charge.s(1).set(time_limit=30))
    assert isinstance(run.error, TimeLimitExceeded)
    assert run.elapsed == 30


def test_a_hang_ends_at_a_soft_limit_that_nobody_catches(shop):
    """The task fails with it."""
    with simulate(shop.app) as flow:
        flow.faults.hang(shop.charge)
        run = flow.run(shop.charge.s(1).set(soft_time_limit=3))
    assert isinstance(run.error, SoftTimeLimitExceeded)


@EVERYWHERE
def test_the_task_is_put_back_as_it_was(shop, mode):
    """In whichever order the faults go, and with a stub among them."""
    before = dict(vars(shop.charge))
    with mode(shop.app) as flow:
        own = dict(vars(shop.charge))
        first = flow.faults.fail(shop.charge, optional=True)
        with flow.faults.delay(shop.charge, 0, optional=True):
            flow.stub(shop.charge).returns("stubbed")
            with first:
                pass
            assert flow.run(shop.charge.s(1)).value == "stubbed"
        assert vars(shop.charge).keys() >= own.keys()
    assert {k: v for k, v in vars(shop.charge).items() if k != "__trace__"} == {
        k: v for k, v in before.items() if k != "__trace__"
    }


def test_faults_of_a_with_block_end_with_it(shop):
    """Withdrawn, not forgotten: it was planned, and it struck."""
    with simulate(shop.app) as flow:
        with flow.faults.fail(shop.charge, times=None) as fault:
            assert flow.run(shop.charge.s(1)).state == "FAILURE"
        assert flow.run(shop.charge.s(1)).value == 1
    assert fault.fired == 1
