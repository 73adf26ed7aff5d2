"""Each reference workflow comes to what it says, in each mode and on each service.

Run it in your own project, against your own broker: see the package's docstring.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pytest_celeryflow import CeleryflowError, lint, shape
from pytest_celeryflow.reference.catalogue import WORKFLOWS
from pytest_celeryflow.reference.declaration import SAME, Differs, Raises, Surroundings, Workflow
from pytest_celeryflow.reference.explaining import because, instead
from pytest_celeryflow.reference.limits import known
from pytest_celeryflow.reference.places import Place, places
from pytest_celeryflow.reference.running import Seen, forget, opened, seen

pytestmark = [
    # Celery 5.7 announces a change of what an errback on a chord means.
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each workflow in each place that the session asks for."""
    if "place" in metafunc.fixturenames:
        pairs = [(w, p) for p in places(metafunc.config) for w in WORKFLOWS if _is_asked_for(w, p)]
        metafunc.parametrize(("workflow", "place"), pairs, ids=[f"{w}-{p.name}" for w, p in pairs])
    elif "workflow" in metafunc.fixturenames:
        metafunc.parametrize("workflow", WORKFLOWS, ids=str)


def _is_asked_for(workflow: Workflow, place: Place) -> bool:
    """A server or a process that nobody named is for the workflows that name it."""
    unnamed = place.name in ("redis", "rabbitmq", "process") and not place.told
    return not unnamed or place.name in workflow.places


def test_workflow(
    workflow: Workflow,
    place: Place,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Value or exception, executions, claims and known differences are as declared."""

    def tell(verdict: str, why: str = "") -> None:
        if place.told:
            record_property("celeryflow_reference", (place.told, workflow.name, verdict, why))

    _skip_elsewhere(workflow, place, tell)
    found = _ran(workflow, place, tmp_path)
    if isinstance(found, CeleryflowError):
        _missing(str(found), tell)
    if isinstance(found, Exception):
        _refused(found, tell)
    wrong = _wrong(workflow, place, found)
    if wrong and place.told:
        _does_not_work(workflow, place, found, wrong, tell)
    tell("works")
    assert not wrong, _message(workflow, place, wrong)


def test_shape(workflow: Workflow) -> None:
    """The canvas, and what Celery publishes for it, look as declared."""
    canvas = workflow.canvas(Surroundings())
    assert str(shape(canvas)) == workflow.shape
    assert str(shape(canvas, as_sent=True)) == (workflow.sent or workflow.shape)


def test_lint(workflow: Workflow) -> None:
    """No rule fires, but where a workflow is there to show it."""
    found = lint(workflow.canvas(Surroundings()))
    assert tuple(sorted({each.code for each in found})) == workflow.lint


# --- where ---


def _ran(workflow: Workflow, place: Place, directory: Path) -> Seen | Exception:
    """What came of it; or the service that is missing, or what a service of the user's refused."""
    try:
        with opened(workflow, "" if place.services else place.like, place.services) as flow:
            found = seen(workflow, flow, directory)
            if place.services and found.run is not None:
                forget(flow, found.run)
            return found
    except CeleryflowError as exc:
        if not hasattr(exc, "service"):
            raise
        return exc
    except Exception as exc:
        if not place.told:
            raise
        return exc


def _skip_elsewhere(workflow: Workflow, place: Place, tell: Callable[..., None]) -> None:
    if place.trouble:
        tell("not run", place.trouble)
        pytest.skip(place.trouble)
    if place.like not in workflow.places and (
        "worker" not in workflow.places or (not place.told and place.like != "worker")
    ):
        tell("not run", workflow.elsewhere)
        pytest.skip(f"{workflow} is not for mode {place.like}: {workflow.elsewhere}")
    if place.name == "sim" and workflow.sim.get("backend") == "redis":
        pytest.importorskip("redis", reason="Celery's Redis backend needs redis-py")


def _missing(reason: str, tell: Callable[..., None]) -> NoReturn:
    tell("not run", reason.splitlines()[0])
    if os.environ.get("CELERYFLOW_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{reason}\n\nCELERYFLOW_REQUIRE_SERVICES=1", pytrace=False)
    pytest.skip(reason)


def _does_not_work(
    workflow: Workflow, place: Place, found: Seen, wrong: list[str], tell: Callable[..., None]
) -> NoReturn:
    """It came to something else. What a backend is known not to do is no surprise."""
    limit = known(str(place.services.get("backend")), workflow.needs)
    if limit:
        tell("does not work", limit)
        pytest.xfail(limit)
    expected = _expected(workflow, place).end
    why = instead(expected, found) if wrong[0].startswith("end") else "; ".join(wrong)
    tell("does not work", why)
    if isinstance(found.end, Raises) and found.end.kind == "NotImplementedError":
        pytest.xfail(why)
    pytest.fail(f"{workflow} on {place.told}: {why}", pytrace=False)


def _refused(error: Exception, tell: Callable[..., None]) -> NoReturn:
    """Publishing failed. What Celery says it cannot do is no surprise; all else is."""
    tell("does not work", because(error))
    if isinstance(error, NotImplementedError):
        pytest.xfail(because(error))
    pytest.fail(because(error), pytrace=False)


# --- what ---


def _expected(workflow: Workflow, place: Place) -> Differs:
    """What must be seen there, the known differences laid over what is so everywhere."""
    told = workflow.differs.get(place.like, Differs(""))
    end = workflow.end if told.end is SAME else told.end
    executions = {**workflow.executions, **told.executions}
    return Differs(told.because, end, executions, told.broken)


def _wrong(workflow: Workflow, place: Place, found: Seen) -> list[str]:
    """What is not as declared, a line each; the end comes first."""
    expected = _expected(workflow, place)
    wrong = []
    if not _same(found.end, expected.end):
        wrong.append(f"end: expected {expected.end!r}, instead {found.end!r}")
    if found.executions != expected.executions:
        wrong.append(
            f"executions: expected {dict(expected.executions)}, instead {dict(found.executions)}"
        )
    for claim, holds in found.claims.items():
        if holds and claim in expected.broken:
            wrong.append(f"claim: {claim!r} holds, and is said not to")
        elif not holds and claim not in expected.broken:
            wrong.append(f"claim: {claim!r} does not hold")
    if place.name == "sim":
        if found.elapsed != workflow.takes:
            wrong.append(f"takes: expected {workflow.takes:g} s, instead {found.elapsed:g} s")
        wrong += _wrong_shape(workflow, found)
    return wrong


def _wrong_shape(workflow: Workflow, found: Seen) -> list[str]:
    if found.run is None:
        return []
    ran, came = workflow.ran or workflow.sent or workflow.shape, found.shape
    return [] if ran == came else [f"ran: expected {ran}, instead {came}"]


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, Raises) and isinstance(found, Raises):
        return found.kind == expected.kind and expected.text in ("", found.text)
    return bool(found == expected)


def _message(workflow: Workflow, place: Place, wrong: list[str]) -> str:
    lines = [f"{workflow} in {place.name} is not what it says", *wrong]
    told = workflow.differs.get(place.like)
    if told is not None:
        lines += [
            f"It is said to differ there: {told.because}",
            f"If that is no longer so, remove {place.like!r} from its `differs`.",
        ]
    return "\n".join(lines)
