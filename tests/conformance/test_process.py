"""The same list on real worker processes, which many workflows share."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from pytest_celeryflow import CeleryflowError

from .modes import PROCESS
from .normal import Told, tell
from .test_conformance import BY_NAME, EVERY, check, comparable, same, simulated
from .workflow import Workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]


#: Processes of a pool that has several.
SEVERAL = 4


def key(workflow: Workflow) -> tuple[int, str]:
    """Workflows of one key can share a worker."""
    return min(workflow.concurrency, 2), repr(sorted(workflow.config.items()))


@cache
def batch(shared: tuple[int, str]) -> dict[str, Told | Exception]:
    """Run every workflow of a key on one worker, one after another."""
    mine = [each for each in EVERY if key(each) == shared and PROCESS.can(each)]
    found: dict[str, Told | Exception] = {}
    room = replace(mine[0], concurrency=1 if shared[0] == 1 else SEVERAL)
    with ExitStack() as stack:
        if "accept_content" in room.config:  # Celery refuses pickle to a worker of root
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setenv("C_FORCE_ROOT", "1")
        flow = stack.enter_context(PROCESS.open(room))
        for workflow in mine:
            try:
                workflow.faults(flow)
                found[workflow.name] = tell(flow, workflow.canvas(), workflow.loose)
            except Exception as exc:  # noqa: BLE001 - raised in the test of this workflow
                found[workflow.name] = exc
            for fault in flow.faults._planned:
                fault.end()
            with suppress(CeleryflowError):  # what hangs is told by the workflow itself
                flow.drain()
        flow.test_failed = True  # a fault that never struck is told by its workflow
    return found


@pytest.mark.parametrize(
    "workflow", [each for each in EVERY if PROCESS.can(each)], ids=str
)
def test_real_processes_and_the_simulation_agree(workflow: Workflow) -> None:
    """The same end, and the same history of every task."""
    pytest.importorskip("redis")
    real: Any = batch(key(workflow))[workflow.name]
    if isinstance(real, Exception):
        raise real
    assert PROCESS.twin is not None
    twin = simulated(PROCESS.twin, workflow.name)
    check(real, PROCESS, workflow)
    if PROCESS.kind not in workflow.instead:
        same(PROCESS, comparable(real), PROCESS.twin, comparable(twin))


def test_every_workflow_has_a_name_of_its_own() -> None:
    """Outcomes are kept under it."""
    assert len(BY_NAME) == len(EVERY)
