"""One list of workflows and faults, run by every mode, with one history.

What `sim` claims is checked against real workers here. Where two modes rightly differ, the
workflow says so and why (`Workflow.instead`), and the test fails when they differ no more.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from .faulted import FAULTED
from .modes import LIVE, REFERENCE, SIMULATED, Mode
from .nested import MORE
from .normal import Told, differences, tell
from .workflow import Raises, Workflow
from .workflows import WORKFLOWS

pytestmark = [
    # What Celery warns of in its own worker when a hook or an errback fails (5.4).
    pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning"),
    # 5.7 announces a change of what an errback on a chord means.
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]

EVERY = [*WORKFLOWS, *MORE, *FAULTED]
BY_NAME = {workflow.name: workflow for workflow in EVERY}


def told(mode: Mode, workflow: Workflow) -> Told:
    """What comes of a workflow in a mode."""
    with mode.open(workflow) as flow:
        workflow.faults(flow)
        return tell(flow, workflow.canvas(), workflow.loose)


@cache
def simulated(mode: Mode, name: str) -> Told:
    """The same for a simulation, which does the same every time."""
    return told(mode, BY_NAME[name])


def expected(mode: Mode, workflow: Workflow) -> Any:
    """What must come of it there."""
    for key in mode.keys:
        if key in workflow.instead:
            return workflow.instead[key][0]
    return workflow.expected


def check(found: Told, mode: Mode, workflow: Workflow) -> None:
    """It ends as it must, having run what it must, in an order that Celery promises."""
    wanted = expected(mode, workflow)
    if isinstance(wanted, Raises):
        assert isinstance(found.end, Raises), f"{mode}: {found.end!r}, not {wanted!r}"
        assert found.end.name == wanted.name
        assert not wanted.text or found.end.text == wanted.text
    else:
        assert found.end == wanted
    if not set(mode.keys) & set(workflow.instead):
        assert {task: found.ran[task] for task in workflow.ran} == workflow.ran
    assert not found.disorder


def same(one: Mode, left: Told, two: Mode, right: Told) -> None:
    """Fail, with all that is different and nothing else, unless there is nothing."""
    __tracebackhide__ = True
    found = differences(str(one), left, str(two), right)
    if found:
        pytest.fail("\n".join([f"{one} and {two} differ:", *found]), pytrace=False)


def pairs(modes: list[Mode]) -> Any:
    """Each workflow with each mode that can do its faults."""
    return pytest.mark.parametrize(
        ("workflow", "mode"),
        [
            pytest.param(workflow, mode, id=f"{workflow}-{mode}")
            for workflow in EVERY
            for mode in modes
            if mode.can(workflow) and (workflow in WORKFLOWS or not mode.brief)
        ],
    )


@pairs(LIVE)
def test_a_real_worker_and_the_simulation_agree(workflow: Workflow, mode: Mode) -> None:
    """The same end, and the same history of every task."""
    assert mode.twin is not None
    real, twin = told(mode, workflow), simulated(mode.twin, workflow.name)
    check(real, mode, workflow)
    check(twin, mode.twin, workflow)
    if mode.kind not in workflow.instead:
        same(mode, real, mode.twin, twin)


@pairs([REFERENCE])
def test_the_simulation_does_what_is_expected(workflow: Workflow, mode: Mode) -> None:
    """Also with faults that no thread can do."""
    check(simulated(mode, workflow.name), mode, workflow)


@pairs(SIMULATED)
def test_broker_and_result_store_make_no_difference(workflow: Workflow, mode: Mode) -> None:
    """Counting in a key-value store, in Redis and polling come to the same.

    Texts of errors and the state of a chord that failed are each backend's own.
    """
    plain, other = simulated(REFERENCE, workflow.name), simulated(mode, workflow.name)
    check(other, mode, workflow)
    if not set(mode.keys) & set(workflow.instead):
        same(REFERENCE, comparable(plain), mode, comparable(other))


#: What an errback is given when a chord fails; its text is the result store's.
_CHORD_ERROR = re.compile(r"ChordError: .*?(?=, <traceback>)")


def comparable(found: Told) -> Told:
    """Without what is each result store's own: who publishes the body of a chord, for one."""
    end = found.end
    if isinstance(end, Raises) and end.kind == "ChordError":
        end = Raises("ChordError")
    stories = Counter(
        replace(story, parent="", args=_CHORD_ERROR.sub("ChordError", story.args))
        for story in found.stories.elements()
    )
    return replace(found, end=end, state="", stories=stories)
