"""The scenarios, on a real worker with its pool of processes and a real Redis."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import celery
import pytest

pytest.importorskip("redis")
from kombu.exceptions import OperationalError

from pytest_celeryflow.errors import CeleryflowError
from tests.real.bench import Bench, Outcome
from tests.real.scenarios import SCENARIOS, Scenario
from tests.services import private_redis

pytestmark = pytest.mark.slow

#: Measured on these; the outcomes of those between were not looked at.
MEASURED = ("5.4", "5.7")
VERSION = ".".join(celery.__version__.split(".")[:2])


@pytest.fixture(scope="module")
def server():
    """A private Redis, in which nobody else works."""
    return private_redis()


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Outcome]]:
    """What was seen of each scenario, run when first asked for."""
    return {}


def expectation(scenario: Scenario, label: str) -> Outcome:
    if VERSION == "5.4" and label in scenario.before:
        return scenario.before[label]
    return scenario.expected[label]


def observe(scenario: Scenario, server, directory: Path) -> dict[str, Outcome]:
    """Run it until each task is where it should be, let the worker end, and look again.

    An execution too many is found because the broker holds nothing more of a task, or what it
    should hold, and the worker has finished whatever it had begun.
    """
    store = private_redis("store") if scenario.two_servers else None
    with closing(Bench(server, directory, scenario.config, store)) as bench:
        if scenario.concurrency:
            bench.start(scenario.concurrency)
        ids = scenario.run(bench)
        for label, task_id in ids.items():
            wanted = expectation(scenario, label)
            if not bench.wait(lambda i=task_id, w=wanted: bench.outcome(i) == w):
                break
        for worker in bench.workers:
            # It sometimes hangs when its last result and its end meet; then it was killed.
            with suppress(CeleryflowError):
                worker.stop(5)
        bench.fence()
        return {label: bench.outcome(task_id) for label, task_id in ids.items()}


CASES = [(scenario, label) for scenario in SCENARIOS for label in scenario.expected]


@pytest.mark.skipif(VERSION not in MEASURED, reason=f"measured on {' and '.join(MEASURED)}")
@pytest.mark.parametrize(
    ("scenario", "label"), [pytest.param(*case, id=f"{case[0].name}-{case[1]}") for case in CASES]
)
def test_real(scenario: Scenario, label: str, server, seen, tmp_path_factory) -> None:
    """It becomes of it what was seen when the scenario was written."""
    if scenario.name not in seen:
        seen[scenario.name] = observe(scenario, server, tmp_path_factory.mktemp("real"))
    assert seen[scenario.name][label] == expectation(scenario, label)


@pytest.mark.parametrize(
    "options",
    [
        {"retry": False},
        {"retry_policy": {"max_retries": 2, "interval_start": 0.05, "interval_step": 0}},
    ],
    ids=["without retries", "with retries"],
)
def test_publishing_to_a_redis_that_is_down_raises_operational_error(
    options, server, tmp_path
) -> None:
    """kombu's `OperationalError` around what redis-py raised, when the policy gives up."""
    with closing(Bench(server, tmp_path, {})) as bench:
        bench.send("plain")
        server.down()
        try:
            with pytest.raises(OperationalError) as caught:
                bench.send("plain", **options)
        finally:
            server.up()
        assert type(caught.value.__cause__).__name__ == "ConnectionError"
        bench.send("plain")
