"""The simulation does what the real worker did, in each scenario that was run on it."""

from __future__ import annotations

from contextlib import closing

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


def observe(scenario: Scenario) -> dict[str, Outcome]:
    """Run it until each task is where it should be, and half a second longer: so it stays."""
    with (
        pytest.MonkeyPatch.context() as patched,
        closing(SimulatedBench(patched, scenario.config, scenario.concurrency)) as bench,
    ):
        ids = scenario.run(bench)  # type: ignore[arg-type]

        def as_wanted() -> bool:
            return all(bench.outcome(ids[each]) == expectation(scenario, each) for each in ids)

        bench.wait(as_wanted, 60)
        bench.wait(lambda: False, 0.5)
        return {label: bench.outcome(task_id) for label, task_id in ids.items()}


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Outcome]]:
    """What was seen of each scenario, run when first asked for."""
    return {}


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
def test_simulated(scenario: Scenario, label: str, seen: dict[str, dict[str, Outcome]]) -> None:
    """States, result, calls, executions, retries, redeliveries: all as it was for real."""
    if scenario.name not in seen:
        seen[scenario.name] = observe(scenario)
    assert seen[scenario.name][label] == expectation(scenario, label)
