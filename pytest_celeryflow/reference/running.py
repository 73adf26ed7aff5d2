"""Run one reference workflow in one place, and note what came of it.

Uses the public interface alone: `simulate`, `run_worker`, `run_eager`, `run_process`. A real result
backend gives back exceptions as classes of its own making (`celery/backends/base.py:Backend.
exception_to_python`), so that an exception is noted by its class's name and its text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_celeryflow
from pytest_celeryflow import Flow, Run
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Raises, Surroundings, Workflow

__all__ = ["Seen", "forget", "opened", "seen"]

#: Celery's own task for backends that cannot count a chord: how often it looks depends on time.
_UNLOCK = "celery.chord_unlock"

_APP = "pytest_celeryflow.reference.app:app"


@dataclass(frozen=True)
class Seen:
    """What came of a workflow.

    Attributes:
        end: Its value, or `Raises`; what it waits for if it can never end.
        executions: Short name of a task -> how often it was executed.
        claims: Claim of the workflow -> whether it holds.
        run: The run itself; of a periodic job there is none.
        elapsed: Seconds it took.
        shape: What came about, as `str`; nothing in ``eager``, where nothing is published.
    """

    end: Any
    executions: Mapping[str, int]
    claims: Mapping[str, bool]
    run: Run | None
    elapsed: float
    shape: str = ""


def opened(
    workflow: Workflow, place: str, services: Mapping[str, Any] | None = None
) -> AbstractContextManager[Flow]:
    """Open the mode that a place stands for, as a workflow asks for it.

    Args:
        workflow: The workflow.
        place: One of `PLACES`, or a name of the caller's own for ``worker`` on `services`.
        services: ``broker``, ``backend`` and ``config`` of ``worker``.
    """
    config = dict(workflow.config)
    if place == "sim":
        return pytest_celeryflow.simulate(
            app,
            workers=workflow.workers,
            concurrency=workflow.concurrency,
            config=config,
            **workflow.sim,
        )
    config |= workflow.real_config
    if place == "eager":
        return pytest_celeryflow.run_eager(app, config=config)
    if place == "process":
        run_process: Any = getattr(pytest_celeryflow, "run_process")  # noqa: B009 - where it is
        return run_process(_APP, concurrency=workflow.concurrency, config=config)
    told = dict(services or {})
    config = {**told.pop("config", {}), **config}
    return pytest_celeryflow.run_worker(
        app, concurrency=workflow.concurrency, config=config, **told
    )


def forget(flow: Flow, run: Run) -> None:
    """Remove the results of a run from a store that keeps them for longer than a test lasts."""
    ids = dict.fromkeys(event.id for event in run.history if event.id is not None)
    for id_ in ids:
        with suppress(Exception):  # not stored, or nothing is, as with `rpc://`
            flow.app.AsyncResult(id_).forget()
    with suppress(Exception):
        run.result.forget()  # a failed task stores it for those behind it, too


def seen(workflow: Workflow, flow: Flow, directory: Path) -> Seen:
    """Run a workflow in an open flow.

    Args:
        workflow: The workflow.
        flow: The flow.
        directory: An empty directory for the world outside.
    """
    if flow.mode == "sim":
        surroundings = Surroundings(str(directory))
    else:
        surroundings = Surroundings.real(workflow, directory)
    if workflow.beat:
        flow.beat.run_for(workflow.beat)
        executions = flow.history.executions()
        counted = Counter(e.task.rpartition(".")[2] for e in executions)
        return Seen(None, _named(workflow, counted), {}, None, flow.clock.elapsed)
    run = flow.run(workflow.canvas(surroundings))
    counted = Counter(e.task.rpartition(".")[2] for e in run.executions if e.task != _UNLOCK)
    return Seen(
        end=_end(run),
        executions=_named(workflow, counted),
        claims={claim: _holds(holds, run) for claim, holds in workflow.claims.items()},
        run=run,
        elapsed=run.elapsed,
        shape="" if flow.mode == "eager" else str(run.shape).replace(str(directory), "world"),
    )


def _named(workflow: Workflow, counted: Mapping[str, int]) -> dict[str, int]:
    return {**dict.fromkeys(workflow.executions, 0), **counted}


def _end(run: Run) -> Any:
    if run.verdict.hung is not None:
        return f"hangs: {run.verdict.hung.splitlines()[0]}"
    if run.error is not None:
        return Raises(type(run.error).__name__, str(run.error))
    return run.value


def _holds(holds: Any, run: Run) -> bool:
    try:
        return bool(holds(run))
    except (IndexError, ValueError):  # a task that it speaks of was not executed
        return False
