"""Says why nothing goes on: what waits for what.

Reads the history and what the broker still holds; asks nothing of Celery but the state of a
result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery

from pytest_celeryflow.books import Workflow
from pytest_celeryflow.history import Event
from pytest_celeryflow.modes.protocol import Message
from pytest_celeryflow.recorder import Recorder

__all__ = ["explain"]

_UNLOCK = "celery.chord_unlock"


def explain(
    app: Celery,
    recorder: Recorder,
    *,
    waiting: list[Message],
    unconsumed: set[str],
    workflow: Workflow | None = None,
    result: str | None = None,
    bound: float | None = None,
) -> str:
    """What waits for what, in words.

    Args:
        app: The app.
        recorder: What happened.
        waiting: Tasks that wait in a queue or a worker.
        unconsumed: Queues that nobody consumes.
        workflow: Speak of this workflow alone.
        result: Id of the result that is waited for.
        bound: It is the time that ran out, these real seconds; things could still go on.
    """
    story = _Story(app, recorder, waiting, unconsumed, late=bound is not None)
    ids = list(workflow.ids) if workflow is not None else list(story.events)
    if bound is not None:
        lines = [f"the workflow does not finish within {bound:g} s of real time"]
        result = None
    else:
        lines = [story.headline(result, of_workflow=workflow is not None)]
    lines += [story.chord(group) for group in story.chords(ids)]
    lines += [
        f"{story.name(id_)} {story.fate(id_)}"
        for id_ in ids
        if not story.finished(id_) and not story.in_chord(id_) and id_ != result
    ]
    lines.append(story.way_out())
    return "\n".join(line for line in lines if line)


class _Story:
    def __init__(
        self,
        app: Celery,
        recorder: Recorder,
        waiting: list[Message],
        unconsumed: set[str],
        *,
        late: bool,
    ) -> None:
        self.app = app
        self.recorder = recorder
        self.waiting = {message.id: message for message in waiting}
        self.unconsumed = unconsumed
        self.late = late
        self.events: dict[str, list[Event]] = {}
        for event in recorder.history:
            if event.id is not None:
                self.events.setdefault(event.id, []).append(event)
        self.running = {label for label, _, _ in recorder.running()}

    def kinds(self, id_: str) -> list[str]:
        return [event.kind for event in self.events.get(id_, ())]

    def finished(self, id_: str) -> bool:
        return any(kind in ("succeeded", "failed", "ignored") for kind in self.kinds(id_))

    def name(self, id_: str) -> str:
        events = self.events.get(id_)
        return (events[0].label if events else None) or f"task {id_}"

    def headline(self, result: str | None, *, of_workflow: bool) -> str:
        if result is None:
            return "the workflow cannot go on: nothing that is left can ever run"
        if result not in self.events:
            chord = self._chord_of_body(result)
            if chord is not None:
                return "the result of a chord's body will never come"
            if of_workflow:
                return "the last task of the workflow was never published, and never will be"
            return (
                f"nothing will ever produce the result of task {result}: no task with this id "
                "was published here"
            )
        return f"the result of {self.name(result)} will never come: it {self.fate(result)}"

    def fate(self, id_: str) -> str:
        """Why a task will not report, as the rest of a sentence."""
        kinds = self.kinds(id_)
        last = self.events[id_][-1] if id_ in self.events else None
        message = self.waiting.get(id_)
        if message is not None and message.where == "queue" and message.queue in self.unconsumed:
            return f"waits in queue {message.queue!r}, which no worker consumes"
        for kind, words in _FATES.items():
            if kind in kinds:
                reason = next(e.details.get("reason") for e in self.events[id_] if e.kind == kind)
                return words + (f" ({reason})" if reason else "")
        if self.name(id_) in self.running:
            return "is running" if self.late else "is running and waits for something that will not happen"
        if message is not None:
            place = f"queue {message.queue!r}" if message.where == "queue" else "its worker"
            return f"waits in {place}" + (f" for its ETA, {message.eta}" if message.eta else "")
        if self.finished(id_):
            return f"has {kinds[-1]} and its result was not kept"
        return f"was last {last.kind}" if last is not None else "was never published"

    def chords(self, ids: Iterable[str]) -> list[str]:
        groups: dict[str, None] = {}
        for id_ in ids:
            for event in self.events.get(id_, ()):
                if "chord" in event.details and "group" in event.details:
                    groups[event.details["group"]] = None
        return [g for g in groups if not self._body_published(g)]

    def members(self, group: str) -> list[str]:
        return [
            id_
            for id_, events in self.events.items()
            if any(e.details.get("group") == group and "chord" in e.details for e in events)
        ]

    def in_chord(self, id_: str) -> bool:
        return any("chord" in event.details for event in self.events.get(id_, ()))

    def _told(self, group: str) -> dict[str, Any]:
        for events in self.events.values():
            for event in events:
                if event.details.get("group") == group and "chord" in event.details:
                    return dict(event.details["chord"])
        return {}

    def _body_published(self, group: str) -> bool:
        return self._told(group).get("body") in self.events

    def _chord_of_body(self, body: str) -> str | None:
        for events in self.events.values():
            for event in events:
                if (event.details.get("chord") or {}).get("body") == body:
                    return str(event.details.get("group"))
        return None

    def chord(self, group: str) -> str:
        members = self.members(group)
        size = self._told(group).get("size") or len(members)
        counted = [m for m in members if any(k in ("succeeded", "failed") for k in self.kinds(m))]
        missing = [m for m in members if m not in counted]
        lines = [f"a chord waits for its header: {len(counted)} of {size} tasks have counted"]
        lines += [f"  {self.name(m)} {self.fate(m)}" for m in missing[:10]]
        if len(missing) > 10:  # noqa: PLR2004 - a screenful
            lines.append(f"  … and {len(missing) - 10} more")
        return "\n".join(lines)

    def way_out(self) -> str:
        if self.late:
            return (
                "Time is real in this mode. In mode 'sim' an ETA or a retry costs nothing; or "
                "give a longer timeout=."
            )
        if self.unconsumed and any(m.queue in self.unconsumed for m in self.waiting.values()):
            names = ", ".join(sorted(map(repr, self.unconsumed)))
            return (
                f"Let a worker consume {names}: name it in task_queues, or in queues= of the "
                "context or the marker."
            )
        return ""


_FATES = {
    "dropped": "was dropped on its way",
    "lost": "was lost with its worker",
    "rejected": "was rejected and its message thrown away",
    "revoked": "was revoked",
    "expired": "expired before it could run",
    "ignored": "raised Ignore, which stores no result and counts in no chord",
}
