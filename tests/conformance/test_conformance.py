"""One list of workflows, run by every mode and every chord logic, with one outcome.

What `sim` claims is checked against a real worker here. Where two of them rightly differ,
the workflow says so and why (`Workflow.instead`).
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pytest_celeryflow import Flow, run_worker, simulate

from .tasks import app
from .workflows import WORKFLOWS, Hangs, Raises, Workflow

pytestmark = [
    # What Celery warns of in its own worker when a hook or an errback fails (5.4).
    pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning"),
    # 5.7 announces a change of what an errback on a chord means.
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|0x[0-9a-f]+")

#: Its tries depend on time, not on the workflow.
_UNLOCK = "celery.chord_unlock"


def worker(workflow: Workflow) -> AbstractContextManager[Flow]:
    return run_worker(app, concurrency=workflow.concurrency, config=workflow.config, timeout=10.0)


def sim(workflow: Workflow, broker: str, backend: str) -> AbstractContextManager[Flow]:
    return simulate(
        app,
        concurrency=workflow.concurrency,
        config=workflow.config,
        broker=broker,
        backend=backend,
    )


def outcome(flow: Flow, workflow: Workflow) -> dict[str, Any]:
    """What came of a workflow, without anything that differs from run to run."""
    run = flow.run(workflow.canvas())
    executions = [e for e in run.executions if e.task != _UNLOCK]
    ran = Counter(e.task.rpartition(".")[2] for e in executions)
    end: Any
    if run.verdict.hung is not None:
        end = Hangs()
    elif run.error is not None:
        end = Raises(type(run.error).__name__, _ID.sub("…", str(run.error)))
    else:
        end = run.value
    return {
        "end": end,
        "state": run.state,
        "ran": ran,
        "states": Counter((e.task.rpartition(".")[2], e.state) for e in executions),
        "retries": Counter((e.task.rpartition(".")[2], e.retries) for e in executions),
    }


def check(end: Any, expected: Any) -> None:
    """Compare an end with what a workflow expects."""
    if isinstance(expected, Raises):
        assert isinstance(end, Raises)
        assert end.name == expected.name
        assert not expected.text or end.text == expected.text
    else:
        assert end == expected


workflows = pytest.mark.parametrize("workflow", WORKFLOWS, ids=str)


def agree(
    workflow: Workflow, one: str, left: dict[str, Any], two: str, right: dict[str, Any]
) -> None:
    """Two outcomes are the same, unless the workflow says that one of them is otherwise."""
    for name, found in ((one, left), (two, right)):
        check(found["end"], workflow.instead.get(name, (workflow.expected,))[0])
    if one not in workflow.instead and two not in workflow.instead:
        assert left == right


@workflows
def test_a_real_worker_and_the_simulation_agree(workflow: Workflow) -> None:
    """Value or exception, state, executions, their states and retries are the same."""
    with worker(workflow) as flow:
        real = outcome(flow, workflow)
    with sim(workflow, "memory", "memory") as flow:
        simulated = outcome(flow, workflow)
    agree(workflow, "worker", real, "sim", simulated)
    if "worker" not in workflow.instead:
        assert {task: real["ran"][task] for task in workflow.ran} == workflow.ran


@workflows
@pytest.mark.parametrize(("broker", "backend"), [("redis", "redis"), ("rabbitmq", "polling")])
def test_the_chord_logic_makes_no_difference(workflow: Workflow, broker: str, backend: str) -> None:
    """Counting in a key-value store, in Redis and polling come to the same.

    Texts of errors and the state of a chord that failed are each backend's own.
    """
    if backend == "redis":
        pytest.importorskip("redis")
    with sim(workflow, "memory", "memory") as flow:
        plain = outcome(flow, workflow)
    with sim(workflow, broker, backend) as flow:
        other = outcome(flow, workflow)
    for found in (plain, other):
        del found["state"]
        if isinstance(found["end"], Raises) and found["end"].kind == "ChordError":
            found["end"] = Raises("ChordError")
    agree(workflow, "sim", plain, backend, other)
