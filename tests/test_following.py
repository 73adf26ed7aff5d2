"""When a body had ended, although its end is heard of later."""

from __future__ import annotations

import pytest

from pytest_celeryflow import Event, History
from pytest_celeryflow.following import ends

CHAIN = {"wiring": {"next": {"task": "b", "options": {"task_id": "B"}}}}
LINK = {"wiring": {"links": [{"task": "b", "options": {"task_id": "B"}}]}}
GROUP = {
    "wiring": {
        "next": {
            "subtask_type": "group",
            "kwargs": {"tasks": [{"task": "b", "options": {"task_id": "B"}}]},
        }
    }
}
BODY = {
    "group": "G",
    "chord": {"body": "B", "size": 1},
    "wiring": {
        "body": {
            "subtask_type": "chain",
            "kwargs": {"tasks": [{"task": "b", "options": {"task_id": "B"}}]},
        }
    },
}


def history(*events: tuple[str, str, int | None], published: dict) -> History:
    """A was published; then these: kind, id, execution."""
    first = Event(0, 0.0, "published", "a", "A", "a#1", details=published)
    rest = [
        Event(n, 0.0, kind, id_.lower(), id_, f"{id_.lower()}#1", execution=execution)
        for n, (kind, id_, execution) in enumerate(events, start=1)
    ]
    return History([first, *rest])


@pytest.mark.parametrize("published", [CHAIN, LINK, GROUP, BODY], ids=["chain", "link", "group", "body"])
def test_a_body_had_ended_when_what_follows_it_began(published) -> None:
    """Celery tells that a task succeeded after it has published what follows."""
    events = [("started", "A", 1), ("started", "B", 2), ("succeeded", "A", 1), ("succeeded", "B", 2)]
    assert ends(history(*events, published=published)) == {1: 2, 2: 4}


def test_what_a_body_publishes_by_itself_may_begin_before_it_ends() -> None:
    """Nothing in its message says that it follows."""
    events = [("started", "A", 1), ("started", "B", 2), ("succeeded", "A", 1)]
    assert ends(history(*events, published={"wiring": {}})) == {1: 3}


def test_nobody_can_tell_which_of_two_executions_it_follows() -> None:
    """A task that was delivered twice: each ends where it is heard of."""
    events = [
        ("started", "A", 1),
        ("started", "A", 2),
        ("started", "B", 3),
        ("succeeded", "A", 1),
        ("succeeded", "A", 2),
    ]
    assert ends(history(*events, published=CHAIN)) == {1: 4, 2: 5}
