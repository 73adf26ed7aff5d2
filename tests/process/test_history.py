"""`run_process`: what a real worker does is in the history, as in the other modes."""

import os

import pytest
from celery import chain

from pytest_celeryflow import History, WorkflowStalled
from tests.process import app as t
from tests.process.waiting import began, ended

pytestmark = pytest.mark.slow


def kinds(run, task):
    """What happened to the tasks of a name, in order."""
    return [e.kind for e in run.history if e.task == f"tests.process.app.{task}"]


def test_a_chain_is_told_from_its_publication_to_its_acknowledgement(flow):
    run = flow.run(chain(t.add.s(1, 2), t.add.s(10)))
    assert run.value == 13
    assert [e.args for e in run[t.add]] == [(1, 2), (3, 10)]
    assert [e.result for e in run[t.add]] == [3, 13]
    assert sorted(kinds(run, "add")) == sorted(
        2 * ["published", "received", "acked", "started", "succeeded"]
    )
    assert run.verdict.ok
    assert str(run.shape) == "add(1, 2) | add(10)"


def test_a_step_that_begins_before_the_last_is_stored_still_comes_after_it(flow):
    """Celery publishes what follows before it stores a result."""
    for _ in range(5):
        run = flow.run(chain(t.pair.s(1), t.noted.s()))
        assert run.happened_before(t.pair, t.noted)
        assert not run.overlapped(t.pair, t.noted)


def test_the_pool_is_one_of_processes(flow):
    run = flow.run(t.pair.s(1))
    assert run.value["process"] in flow.worker.pids
    assert run.value["process"] not in (os.getpid(), flow.worker.pid)
    assert run.executions[0].worker == "w1"


def test_an_exception_is_the_apps_own_with_its_arguments(flow):
    run = flow.run(t.fail.s("key"))
    assert run.state == "FAILURE"
    assert isinstance(run.executions[0].error, KeyError)
    assert run.executions[0].error.args == ("key",)


def test_retries_are_counted_and_their_cause_is_told(flow):
    run = flow.run(t.flaky.s(2))
    assert run.value == 2
    assert run[t.flaky].retries == 2
    assert run[t.flaky].states == ("RETRY", "RETRY", "SUCCESS")
    assert isinstance(run[t.flaky].errors[0], KeyError)


def test_a_task_that_a_task_publishes_belongs_to_its_workflow(flow):
    run = flow.run(t.launches.s(1))
    assert [e.task.rpartition(".")[2] for e in run.executions] == ["launches", "add"]
    assert run[t.add][0].parent == run[t.launches][0].id


def test_an_errback_that_is_called_in_place_is_in_the_history(flow):
    run = flow.run(t.fail.si("key").on_error(t.on_error.s()))
    assert run[t.on_error].results == ("KeyError",)


def test_ignore_ends_an_execution_and_stalls_the_workflow(flow):
    run = flow.run(t.ignores.s(1))
    assert run[t.ignores].states == ("IGNORED",)
    assert "raised Ignore" in run.verdict.hung


def test_a_rejected_message_comes_back_marked(flow):
    run = flow.run(t.fussy.s(1))
    assert run.value == 1
    assert [e.redelivered for e in run[t.fussy]] == [False, True]
    assert run[t.fussy].states == ("REJECTED", "SUCCESS")


def test_an_unknown_task_is_rejected_in_words(flow):
    """What only the test's process knows of."""

    @t.app.task(name="only.here", shared=False)
    def only_here():
        raise AssertionError

    try:
        run = flow.run(only_here.s())
    finally:
        del t.app.tasks["only.here"]
    told = [event.details.get("reason") for event in run.history.only("rejected")]
    assert "no such task is registered in the worker" in told
    assert type(run.error).__name__ == "NotRegistered"


def test_any_queue_is_consumed(flow):
    """As in the other modes, where the app names none."""
    run = flow.run(t.add.s(1, 1).set(queue="elsewhere"))
    assert run.value == 2
    assert run.history.only("published")[0].details["queue"] == "elsewhere"


def test_a_message_longer_than_a_pipe_takes_at_once_is_told_whole(flow):
    text = "x" * 300_000
    run = flow.run(t.pair.s(text))
    assert run.value["given"] == text
    assert run[t.pair].args == ((text,),)


def test_what_is_enqueued_can_be_asserted(flow):
    with flow.expect_enqueued(t.add, args=(4, 5), countdown=pytest.approx(0.5, abs=0.4)):
        t.add.apply_async((4, 5), countdown=0.5)
    flow.drain()
    flow.assert_ran(t.add)


def test_pending_shows_what_waits_for_its_eta(flow):
    result = t.add.apply_async((1, 1), countdown=1)
    assert [m.id for m in flow.pending(t.add)] == [result.id]
    flow.drain()
    assert flow.pending(t.add) == []


def test_perform_runs_one_task_in_the_tests_own_process(flow):
    execution = flow.perform(t.pair, 3)
    assert execution.result == {"given": 3, "process": os.getpid()}
    assert execution.state == "SUCCESS"


def test_a_history_goes_through_json(flow):
    history = flow.run(t.flaky.s(1)).history
    assert History.from_json(history.to_json()).digest() == history.digest()


def test_many_workflows_in_one_context_are_independent(flow):
    runs = [flow.run(t.add.s(number, 1)) for number in range(20)]
    assert [run.value for run in runs] == list(range(1, 21))
    assert {len(run.executions) for run in runs} == {1}


def test_revoke_with_terminate_ends_a_running_task(flow):
    result = t.sleep.delay(60)
    began(flow, result.id)
    result.revoke(terminate=True)
    ended(flow, result.id, "revoked")
    assert result.state == "REVOKED"
    (execution,) = (e for e in flow.history.executions() if e.id == result.id)
    assert execution.state == "REVOKED"


def test_a_timeout_says_what_still_runs(flow):
    result = t.sleep.s(60)
    run = flow.run(result, timeout=0.5)
    assert "does not finish within 0.5 s of real time" in run.verdict.hung
    assert "is running" in run.verdict.hung
    with pytest.raises(WorkflowStalled):
        _ = run.value
    run.result.revoke(terminate=True)
    ended(flow, run.result.id, "revoked")


def test_a_retry_that_is_stored_over_a_result_is_said(flow):
    """What happens to a retry at once, by chance; here on purpose."""
    from pytest_celeryflow.stall import Scene, explain

    run = flow.run(t.flaky.s(1))
    flow.app.backend.delete(flow.app.backend.get_key_for_task(run.result.id))
    flow.app.backend.store_result(run.result.id, KeyError("again"), "RETRY")
    told = explain(flow.app, flow._mode.recorder, Scene([]), result=run.result.id)
    assert "has succeeded, and then an earlier attempt stored RETRY over its result" in told
