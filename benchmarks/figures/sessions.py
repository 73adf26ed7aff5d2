"""Whole tests and round trips in real pytest sessions: this project's modes and Celery's own.

Each contestant runs the same test, in a session of its own, with the plugin that it needs and
no other. What is counted of a test is everything from setup to teardown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from statistics import median

from figures.row import Row
from figures.stopwatch import python

__all__ = ["ALONE", "NEUTRAL", "Contestant", "contest", "rows"]

#: No plugin but those that are named, and no configuration file.
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
NEUTRAL = ["-q", "--no-header", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=."]

OWN = "pytest_celeryflow.plugin"
CELERYS = "celery.contrib.pytest"


@dataclass(frozen=True)
class Contestant:
    """Who runs the test, and what it took.

    Attributes:
        test: Median seconds of a whole test, the first of the session left out.
        round_trip: Median seconds of ``delay().get()``.
        tests: How many tests were run.
    """

    name: str
    test: float
    round_trip: float
    tests: int


def contest(*, quick: bool) -> dict[str, Contestant]:
    """Let everyone run."""
    tests, trips = (10, 100) if quick else (40, 400)
    slow = 2 if quick else 4
    case, theirs = "figures/cases/own_modes.py", "figures/cases/celery_fixtures.py"
    found = [
        _run(name, OWN, case, tests, trips, f"--celeryflow-mode={name}")
        for name in ("eager", "worker", "sim")
    ]
    found.append(_run("celery eager", CELERYS, theirs, tests, trips, "-k", "eager"))
    found.append(_run("celery", CELERYS, theirs, slow, slow, "-k", "round_trip"))
    polling = {"CELERY_POLLING_INTERVAL": "0.001"}
    found.append(_run("celery 1 ms", CELERYS, theirs, slow, trips, "-k", "round_trip", **polling))
    return {contestant.name: contestant for contestant in found}


def _run(
    name: str, plugin: str, case: str, tests: int, trips: int, *arguments: str, **environment: str
) -> Contestant:
    def session(trips: int) -> list[dict[str, float]]:
        told: list[dict[str, float]] = python(
            [
                *("-m", "pytest", *NEUTRAL, "-p", plugin, "-p", "figures.session_clock"),
                *(case, *arguments),
            ],
            **ALONE,
            CELERYFLOW_TESTS=str(tests),
            CELERYFLOW_ROUND_TRIPS=str(trips),
            **environment,
        )
        for test in told:
            if "failed" in test:
                raise RuntimeError(f"{name}: {test['failed']}")
        return told[1:]

    whole = median(test["took"] for test in session(1))
    round_trip = median(test["round_trip"] for test in session(trips))
    return Contestant(name, whole, round_trip, tests - 1)


def rows(found: dict[str, Contestant]) -> list[Row]:
    """The ratios, and the figures that have bounds."""
    celerys, worker, sim = found["celery"], found["worker"], found["sim"]
    said = []
    for name, c in found.items():
        whose = name if name.startswith("celery") else f"this project's {name}"
        many = f"median of {c.tests} tests"
        said.append(Row(f"one test, {whose}", c.test, "s", at_most=_TEST.get(name), note=many))
    said += [
        Row(f"one test, Celery's fixture against {name}", celerys.test / found[name].test, "x")
        for name in ("celery 1 ms", "worker", "sim", "eager")
    ]
    for name, c in found.items():
        whose = name if name.startswith("celery") else f"this project's {name}"
        said.append(Row(f"delay().get(), {whose}", c.round_trip, "s", at_most=_TRIP.get(name)))
    said += [
        Row(
            "delay().get(), Celery's fixture against worker",
            celerys.round_trip / worker.round_trip,
            "x",
            at_least=300,
        ),
        Row(
            "delay().get(), Celery's fixture at 1 ms against worker",
            found["celery 1 ms"].round_trip / worker.round_trip,
            "x",
        ),
        Row(
            "delay().get(), Celery's fixture against sim", celerys.round_trip / sim.round_trip, "x"
        ),
        Row(
            "delay().get(), sim against Celery's bare eager",
            sim.round_trip / found["celery eager"].round_trip,
            "x",
        ),
    ]
    return said


_TEST = {"sim": 0.012, "worker": 0.030}
_TRIP = {"worker": 0.0015}
