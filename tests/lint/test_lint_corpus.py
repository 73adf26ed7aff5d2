"""No false alarm: what lint says of workflows that were written for other reasons."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_celeryflow.lint import lint
from tests.conformance.tasks import app
from tests.conformance.workflows import WORKFLOWS

pytestmark = pytest.mark.filterwarnings(
    "ignore::celery.exceptions.CPendingDeprecationWarning"  # an errback on a chord
)

#: Those that are there to show the trap. Each is right.
TRAPS = {
    "too many arguments": {"CF104"},
    "expired": {"CF122"},
    "expired in a chain": {"CF122"},
    "expired in a header": {"CF122"},
    "errback of an expired task": {"CF122"},
    "empty group": {"CF103"},
    "empty chord": {"CF103"},
    "link on a group": {"CF121"},
    "errback on a group": {"CF120"},
}
#: With a counter and stored results, one worker process waits for the others.
WITH_A_COUNTER = TRAPS | {
    "ignore_result in a header": {"CF101"},
    "chain that ends in a group, in a header": {"CF112"},
}
WITH_POLLING = TRAPS | {"ignore_result in a header": {"CF101"}}


@pytest.mark.parametrize(
    ("backend", "traps"),
    [
        (None, TRAPS),
        ("redis://nowhere.invalid", TRAPS),
        ("cache+memory://", WITH_A_COUNTER),
        ("file:///nowhere", WITH_POLLING),
    ],
    ids=["none", "redis", "counter", "polling"],
)
def test_conformance_workflows(backend, traps, monkeypatch):
    monkeypatch.setattr(app.conf, "result_backend", backend)
    monkeypatch.setattr(app.conf, "broker_url", backend and "redis://nowhere.invalid")
    found = {each.name: {finding.code for finding in lint(each.canvas())} for each in WORKFLOWS}
    assert {name: codes for name, codes in found.items() if codes} == traps


def test_conformance_tasks():
    """They wait within tasks, acknowledge late and pickle, to show what comes of it."""
    found = {(each.code, each.path.rpartition(".")[2]) for each in lint(app)}
    assert found == {
        ("CF201", "late"),
        ("CF201", "late_collect"),
        ("CF201", "late_failing"),
        ("CF201", "late_told"),
        ("CF201", "reject_late"),
        ("CF201", "reject_once"),
        ("CF207", "task_time_limit"),
        ("CF210", "waits"),
        ("CF210", "waits_anyway"),
        ("CF210", "waits_twice"),
        ("CF218", "pickled"),
        ("CF219", "stubborn"),
    }


def test_the_science_gateway(monkeypatch):
    """An app as it runs in production. It has no time limit."""
    root = Path(__file__).parents[2] / "examples" / "science_gateway"
    monkeypatch.syspath_prepend(root)
    try:
        from science_gateway.app import app as gateway
        from science_gateway.workflow import process

        assert lint(process("job", ["a", "b", "c"])) == []
        assert {each.code for each in lint(gateway)} == {"CF207"}
    finally:
        for name in [each for each in sys.modules if each.startswith("science_gateway")]:
            del sys.modules[name]
