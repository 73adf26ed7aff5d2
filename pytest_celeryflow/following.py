"""What a canvas lets begin only after a task's body has ended: the next step, links, a body.

Celery publishes what follows before it stores the result and tells that the task succeeded
(`celery/app/trace.py:build_tracer`), and the last of a chord's header lets the body go before
it tells so itself. On a broker that is quick, a real worker begins what follows before the
end of its cause is heard of. The order that Celery promises is that of the bodies, and it is
read off the wiring of the messages here.

Relies on the details of events as `wiring.py` notes them. Not modelled: what a body publishes
by itself, which may begin before it ends; what follows a task that was carried out more than
once, of which nobody can tell which execution it follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_celeryflow.history import ENDINGS, History

__all__ = ["ends"]


def ends(history: History) -> dict[int, int]:
    """Where each execution had ended, as positions in a history.

    Args:
        history: The events of a workflow.

    Returns:
        Number of the execution -> number of the event by which its body had ended: its own
        end, or the start of what follows it. Those that have not ended are left out.
    """
    found: dict[int, int] = {}
    begun: dict[str, int] = {}
    succeeded: dict[str, list[int]] = {}
    for event in history:
        if event.kind == "started" and event.id is not None:
            begun.setdefault(event.id, event.number)
        elif event.execution is not None and event.kind in ENDINGS:
            # A pool process tells of a return later than of what came of it.
            returned = event.details.get("returned") or {}
            found.setdefault(event.execution, returned.get("number", event.number))
            if event.kind == "succeeded" and event.id is not None:
                succeeded.setdefault(event.id, []).append(event.execution)
    for cause, follower in _pairs(history):
        executions = succeeded.get(cause, ())
        if follower in begun and len(executions) == 1:
            number = executions[0]
            found[number] = min(found[number], begun[follower])
    return found


def _pairs(history: History) -> Iterator[tuple[str, str]]:
    """Ids of a task and of one that begins only after it."""
    bodies: dict[str, set[str]] = {}
    members: list[tuple[str, str]] = []
    for event in history.only("published"):
        if event.id is None:
            continue
        wired: Mapping[str, Any] = event.details.get("wiring") or {}
        for signature in (wired.get("next"), *(wired.get("links") or ())):
            for follower in _first(signature):
                yield event.id, follower
        group = event.details.get("group")
        if group is not None and event.details.get("chord"):
            members.append((event.id, group))
            # One member of a header carries the body, the others would say the same.
            bodies.setdefault(group, set()).update(_first(wired.get("body")))
    for member, group in members:
        for body in bodies[group]:
            yield member, body


def _first(signature: Any) -> Iterator[str]:
    """Ids of the tasks that a signature begins with."""
    if not isinstance(signature, Mapping):
        return
    inside = signature.get("kwargs") or {}
    kind = signature.get("subtask_type")
    if kind == "chain":
        yield from _first(next(iter(inside["tasks"]), None))
    elif kind in ("group", "chord"):
        parts = inside["tasks" if kind == "group" else "header"]
        for part in [parts] if isinstance(parts, Mapping) else parts:
            yield from _first(part)
    else:
        task_id = (signature.get("options") or {}).get("task_id")
        if isinstance(task_id, str):
            yield task_id
