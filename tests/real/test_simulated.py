"""The simulation does what the real worker did, in each scenario that was run on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import celery
import pytest

pytest.importorskip("redis")
from tests.real.bench import Outcome
from tests.real.scenario import Scenario
from tests.real.scenarios import SCENARIOS
from tests.real.simulated import SimulatedBench

VERSION = tuple(map(int, celery.__version__.split(".")[:2]))

#: Scenarios in which the simulation differs from the real worker, and why.
NOT_SIMULATED = {
    "outage with loss of data, idle": "the simulated broker and store keep what they have",
    "store paused and stopped": "the simulated store refuses; one that does not answer is a slow one",
}
#: With kombu 5.7 and Celery 5.7 the real worker dies of a defect of theirs ("'NoneType' object
#: has no attribute 'hostname'"); the simulated one does what all others do.
AS_BEFORE = {"outage, messages held"}


def expectation(scenario: Scenario, label: str) -> Outcome:
    before = VERSION < (5, 7) or scenario.name in AS_BEFORE
    if before and label in scenario.before:
        return scenario.before[label]
    return scenario.expected[label]


@contextmanager
def bench(monkeypatch: Any, scenario: Scenario) -> Iterator[SimulatedBench]:
    with closing(SimulatedBench(monkeypatch, scenario.config, scenario.concurrency)) as opened:
        yield opened


@pytest.mark.skipif(VERSION not in ((5, 4), (5, 7)), reason="measured on Celery 5.4 and 5.7")
@pytest.mark.parametrize(
    ("scenario", "label"),
    [
        pytest.param(scenario, label, id=f"{scenario.name}-{label}")
        for scenario in SCENARIOS
        if scenario.name not in NOT_SIMULATED
        for label in scenario.expected
    ],
)
def test_simulated(scenario: Scenario, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States, result, calls, executions, retries, redeliveries: all as it was for real."""
    with bench(monkeypatch, scenario) as opened:
        ids = scenario.run(opened)  # type: ignore[arg-type]
        wanted = expectation(scenario, label)
        opened.wait(lambda: opened.outcome(ids[label]) == wanted, 60)
        opened.wait(lambda: False, 0.5)  # and so it stays
        assert opened.outcome(ids[label]) == wanted
