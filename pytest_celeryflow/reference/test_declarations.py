"""The declarations of the reference workflows make sense by themselves."""

from __future__ import annotations

import pytest

from pytest_celeryflow.reference.catalogue import WORKFLOWS, modules
from pytest_celeryflow.reference.declaration import PLACES, SAME, Workflow
from pytest_celeryflow.reference.limits import NEEDS

workflows = pytest.mark.parametrize("workflow", WORKFLOWS, ids=str)


def test_names_are_unique() -> None:
    """A name selects one workflow."""
    names = [workflow.name for workflow in WORKFLOWS]
    assert len(set(names)) == len(names)


@workflows
def test_a_difference_differs(workflow: Workflow) -> None:
    """What a mode is said to show instead is not what is shown everywhere."""
    for place, told in workflow.differs.items():
        assert place in workflow.places
        assert told.because
        assert told.end is not SAME or told.executions or told.broken
        assert told.end is SAME or told.end != workflow.end
        assert not told.executions.items() & workflow.executions.items()
        assert set(told.broken) <= set(workflow.claims)


@workflows
def test_places_exist_and_what_is_left_out_is_explained(workflow: Workflow) -> None:
    """A mode that a workflow does not run in is a decision with a reason."""
    assert set(workflow.places) <= set(PLACES)
    assert set(workflow.needs) <= set(NEEDS)
    assert workflow.elsewhere or {"eager", "worker", "sim"} <= set(workflow.places)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_module_says_what_to_watch_for(module: object) -> None:
    """Its docstring is a title, an empty line, and a paragraph for the page."""
    title, _, text = (module.__doc__ or "").partition("\n\n")
    assert title.endswith((".", "?"))
    assert text.strip()
