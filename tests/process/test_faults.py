"""What can go wrong in mode `process`, and really does."""

import pytest
from celery import chain

from pytest_celeryflow import UnsupportedFault
from pytest_celeryflow.faults import InjectedError
from tests.process import app as t

pytestmark = pytest.mark.slow

# --- bodies ---


def test_fail_raises_in_the_worker_before_or_after_the_body(flow):
    with flow.faults.fail(t.add, t.Refused(1, "no")) as before:
        run = flow.run(t.add.s(1, 1))
    assert (run.error.code, before.fired) == (1, 1)
    with flow.faults.fail("launches", when="after") as after:
        run = flow.run(t.launches.s(1))
    assert isinstance(run.error, InjectedError)
    assert after.fired == 1
    assert len(run[t.add]) == 1


def test_nth_and_times_count_over_all_processes(flow):
    """Two processes share the work; the third and fourth execution fail, whoever has them."""
    with flow.faults.fail(t.add, nth=3, times=2) as fault:
        runs = [flow.run(t.add.s(number, 1)) for number in range(6)]
    assert [run.state for run in runs] == [
        "SUCCESS", "SUCCESS", "FAILURE", "FAILURE", "SUCCESS", "SUCCESS",
    ]  # fmt: skip
    assert (fault.seen, fault.fired) == (6, 2)


def test_a_fault_that_is_withdrawn_strikes_no_more(flow):
    with flow.faults.fail(t.add, optional=True):
        pass
    assert flow.run(t.add.s(1, 1)).value == 2


def test_a_fault_reaches_a_worker_that_runs_already(flow):
    """Planned while a task is waiting in the worker for its time."""
    result = t.add.apply_async((1, 1), countdown=0.3)
    with flow.faults.fail(t.add) as fault:
        flow.drain()
    assert (result.state, fault.fired) == ("FAILURE", 1)


def test_delay_takes_real_time(flow):
    with flow.faults.delay(t.add, 0.3):
        assert flow.run(t.add.s(1, 1)).elapsed >= 0.3


def test_perform_in_the_tests_process_is_struck_as_well(flow):
    with flow.faults.fail(t.add, KeyError("k")) as fault:
        assert flow.perform(t.add, 1, 1).state == "FAILURE"
    assert fault.fired == 1


def test_what_cannot_be_raised_in_a_worker_is_said(flow):
    with pytest.raises(ValueError, match="cannot be handed to a worker's process"):
        flow.faults.fail(t.add, KeyError(lambda: None))


@pytest.mark.parametrize("first", [False, True])
def test_a_time_limit_really_ends_a_task_that_hangs(flow, first):
    """Where its body waits, so that its own `except SoftTimeLimitExceeded` is around it."""
    limits = {"soft_time_limit": 0.3} if first else {"time_limit": 0.4}
    with flow.faults.hang(t.patient) as fault:
        run = flow.run(t.patient.s(0).set(**limits))
    assert fault.fired == 1
    if first:
        assert run.value == "cleaned up"
    else:
        assert type(run.error).__name__ == "TimeLimitExceeded"
        assert run[t.patient].states == ("FAILURE",)
    assert [e.details["limit"] for e in run.history.only("timeout")] == ["soft" if first else "hard"]


# --- messages and the result store ---


def test_a_dropped_message_never_comes(flow):
    with flow.faults.drop(t.add) as fault:
        run = flow.run(chain(t.pair.s(1), t.add.si(1, 1)))
    assert fault.fired == 1
    assert "was dropped on its way" in run.verdict.hung


def test_a_message_that_comes_twice_is_executed_twice(flow):
    with flow.faults.duplicate(t.add) as fault:
        run = flow.run(t.launches.s(1))
    assert fault.fired == 1
    assert len(run[t.add]) == 2
    assert run.verdict.duplicated == (run[t.add][0].label,)


def test_a_lost_acknowledgement_brings_the_message_again(flow):
    with flow.faults.redeliver(t.late) as fault:
        run = flow.run(t.late.s(1))
    assert fault.fired == 1
    assert [e.redelivered for e in run[t.late]] == [False, True]


def test_an_operation_of_the_result_store_fails_in_the_worker(flow):
    with flow.faults.backend.fail("store_result") as fault:
        run = flow.run(t.add.s(1, 1))
    assert fault.fired == 1
    assert run.history.only("fault")[0].details["reason"] == "backend.fail(op='store_result')"


def test_a_failing_store_strikes_whichever_step_stores_first(flow):
    """Celery publishes the second step before it stores the first; one of the two fails."""
    with flow.faults.backend.fail("store_result") as fault:
        run = flow.run(chain(t.pair.s(1), t.noted.s()))
    assert fault.fired == 1
    states = run[t.pair].states, run[t.noted].states
    assert states in ((("FAILURE",), ("SUCCESS",)), (("SUCCESS",), ("FAILURE",)))
    assert run.state == states[1][0]



def test_the_result_store_is_away_for_a_while(flow):
    """Celery does not try again what it reads before it stores, unless told to."""
    with flow.faults.backend.down(for_=30) as fault:
        run = flow.run(t.add.s(1, 1))
    assert fault.fired == 3
    assert run[t.add].states == ("LOST",)
    assert "its outcome could not be stored" in run.verdict.hung
    assert "the result store cannot be reached" in run.verdict.hung
    assert flow.run(t.add.s(1, 1)).value == 2


def test_every_fault_of_the_vocabulary_can_be_done_here():
    from tests.test_docs_faults import kinds

    assert [kind.name for kind in kinds() if "process" not in kind.modes] == []


def test_an_outage_behind_tls_is_refused_in_words(flow, monkeypatch):
    monkeypatch.setattr(flow._mode, "_gate", None)
    with pytest.raises(UnsupportedFault, match="the toolkit cannot stand in between"):
        flow.faults.broker.down()
