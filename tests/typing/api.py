"""The public interface as a type checker sees it. Checked by mypy, never run."""

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from celery import Celery
from celery.canvas import Signature
from hypothesis import strategies as st

from pytest_celeryflow import (
    CrashPoint,
    Event,
    Execution,
    Exploration,
    Finding,
    Flow,
    History,
    Run,
    Shape,
    assert_clean,
    assert_idempotent,
    assert_shape,
    crash_everywhere,
    explore,
    lint,
    run_eager,
    run_process,
    run_worker,
    shape,
    simulate,
)
from pytest_celeryflow.strategies import (
    FaultPlan,
    PlannedFault,
    Schedule,
    canvases,
    fault_plans,
    schedules,
)


def everything(app: Celery, canvas: Any) -> None:
    """Each public call with each kind of argument."""
    with simulate(app, workers=2, start=datetime(2026, 1, 1, tzinfo=UTC), queues=["a"]) as flow:
        assert_type(flow, Flow)
        run = flow.run(canvas, 1, timeout=5, key="value")
        assert_type(run, Run)
        assert_type(run.elapsed, float)
        assert_type(run.executions, tuple[Execution, ...])
        assert_type(run["task"].attempts, int)
        assert_type(run["task"][0], Execution)
        assert_type(run.verdict.lost[0], str)
        assert run.verdict.lost == []
        assert_type(run.happened_before("a", "b"), bool)
        assert_type(flow.drain(queue="a", limit=3), int)
        assert_type(flow.perform("task", 1, retries=2, headers={"a": 1}), Execution)
        assert_type(flow.assert_enqueued("task", countdown=5, times=1), list[Event])
        flow.stub("task").raises(ValueError).then.after("5s").returns(1)
        flow.clock.advance("1h")
        flow.clock.advance(timedelta(days=1))
        flow.clock.at(5, lambda: None)
        assert_type(flow.clock.now, datetime)
        assert_type(flow.beat.run_for("7d"), int)
        assert_type(flow.history, History)
        assert_type(flow.history[0], Event)
        assert_type(flow.history[1:], History)
        assert_type(flow.history.digest(), str)
    with run_worker(app, pool="solo", config={"task_acks_late": True}) as flow:
        assert_type(flow.mode, str)
    with run_process("proj.celery:app", workers=2, broker="rabbitmq", timeout=60) as flow:
        flow.worker.kill()
        flow.workers[1].start()
        assert_type(flow.worker.pids, list[int])
        assert_type(flow.worker.output, str)
    with run_process(app, config={"task_acks_late": True}) as flow:
        flow.worker.stop(timeout=10)
    with run_eager(app, propagate=True) as flow:
        flow.assert_ran("task", times=1, state="SUCCESS")
    assert_type(shape(canvas), Shape)
    assert_type(lint(canvas, app), list[Finding])
    assert_clean(app, ignore=["CF207"])
    assert_shape(canvas, canvas, as_sent=True)


def exploring(app: Celery, canvas: Any, task: Any) -> None:
    """Exploration, and what Hypothesis draws."""
    found = explore(lambda flow: flow.run(canvas), app, faults=["crash"], runs=5, workers=2)
    assert_type(found, Exploration)
    assert_type(found.ok, bool)
    assert_type(found.schedules, int)
    assert_type(found.report(rerun="pytest test_it.py"), str)
    if found.failure is not None:
        assert_type(found.failure.replay, str)
        assert_type(found.failure.story, list[str])
    assert_type(crash_everywhere(canvas), Exploration)
    assert_type(assert_idempotent(canvas, effects=lambda: [1]), Exploration)
    assert_type(schedules(steps=20), st.SearchStrategy[Schedule])
    plans = fault_plans([task, "shop.add"], faults=["fail"], points=[CrashPoint.IN_BODY])
    assert_type(plans, st.SearchStrategy[FaultPlan])
    assert_type(canvases([task], kinds=["chain"]), st.SearchStrategy[Signature])
    canvases({task: [st.integers()]}, bodies=[task])
    canvases({task: {"number": st.integers()}})
    with simulate(app) as flow:
        flow.follow(Schedule((1, 2)), FaultPlan((PlannedFault("drop", "shop.add"),)))
