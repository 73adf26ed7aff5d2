"""The simulation does what the real worker did, in each scenario that was run on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import celery
import pytest

pytest.importorskip("redis")
from tests.real.around import AROUND
from tests.real.bench import Outcome
from tests.real.scenario import Scenario
from tests.real.simulated import SimulatedBench
from tests.real.within import ENDINGS, LIMITS, LOSSES

VERSION = tuple(map(int, celery.__version__.split(".")[:2]))

#: What the real worker does because of a defect that the simulation does not have.
DIFFERENT: dict[str, str] = {}


def expectation(scenario: Scenario, label: str) -> Outcome:
    if VERSION < (5, 7) and label in scenario.before:
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
        for scenario in (ENDINGS, LIMITS, LOSSES, *AROUND)
        for label in scenario.expected
    ],
)
def test_simulated(scenario: Scenario, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States, result, calls, executions, retries, redeliveries: all as it was for real."""
    if (why := DIFFERENT.get(f"{scenario.name}-{label}")) is not None:
        pytest.skip(why)
    with bench(monkeypatch, scenario) as opened:
        ids = scenario.run(opened)  # type: ignore[arg-type]
        wanted = expectation(scenario, label)
        opened.wait(lambda: opened.outcome(ids[label]) == wanted, 60)
        assert opened.outcome(ids[label]) == wanted
