"""Says why nothing goes on: what waits for what.

Reads the history and what the broker still holds; asks nothing of Celery but the state of a
result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, states

from pytest_celeryflow.books import Workflow
from pytest_celeryflow.history import Event
from pytest_celeryflow.modes.protocol import Message
from pytest_celeryflow.recorder import Recorder

__all__ = ["Scene", "explain"]

_UNLOCK = "celery.chord_unlock"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a mode knows of the present, beyond the history.

    Attributes:
        waiting: Tasks that wait in a queue or a worker.
        unconsumed: Queues that nobody consumes.
        crowded: Id of a task that waits for a free slot -> who has the slots, in words.
        notes: What else is the matter, a sentence each: an outage, a worker that is gone.
        deserted: No worker is left.
        late: It is the time that ran out, and things could still go on: how much time, and
            what to do about it.
    """

    waiting: Sequence[Message]
    unconsumed: Collection[str] = ()
    crowded: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    deserted: bool = False
    late: tuple[str, str] | None = None


def explain(
    app: Celery,
    recorder: Recorder,
    scene: Scene,
    *,
    workflow: Workflow | None = None,
    result: str | None = None,
) -> str:
    """What waits for what, in words.

    Args:
        app: The app.
        recorder: What happened.
        scene: What is so now.
        workflow: Speak of this workflow alone.
        result: Id of the result that is waited for.
    """
    story = _Story(app, recorder, scene)
    ids = list(workflow.ids) if workflow is not None else list(story.events)
    if scene.late is not None:
        lines = [f"the workflow does not finish within {scene.late[0]}"]
        result = None
    else:
        lines = [story.headline(result, of_workflow=workflow is not None)]
    lines += scene.notes
    lines += [story.chord(group) for group in story.chords(ids)]
    lines += [
        f"{story.name(id_)} {story.fate(id_)}"
        for id_ in ids
        if not story.finished(id_) and not story.in_chord(id_) and id_ != result
    ]
    lines.append(story.way_out())
    return "\n".join(line for line in lines if line)


class _Story:
    def __init__(self, app: Celery, recorder: Recorder, scene: Scene) -> None:
        self.app = app
        self.recorder = recorder
        self.scene = scene
        self.waiting = {message.id: message for message in scene.waiting}
        self.events: dict[str, list[Event]] = {}
        for event in recorder.history:
            if event.id is not None:
                self.events.setdefault(event.id, []).append(event)
        self.running = {label for label, _, _ in recorder.running()}

    def kinds(self, id_: str) -> list[str]:
        return [event.kind for event in self.events.get(id_, ())]

    def finished(self, id_: str) -> bool:
        return any(kind in ("succeeded", "failed") for kind in self.kinds(id_))

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
        message = self.waiting.get(id_)
        if id_ == self.recorder.endless:
            return f"was executed {kinds.count('started'):,} times and goes on: {self._again(id_)}"
        if message is not None and message.where == "queue" and message.queue in self.scene.unconsumed:
            none = "and no worker is left" if self.scene.deserted else "which no worker consumes"
            return f"waits in queue {message.queue!r}, {none}"
        if id_ in self.scene.crowded:
            return f"waits in its worker for a free slot: {self.scene.crowded[id_]}"
        if self.name(id_) in self.running:
            return self._running(id_)
        if message is not None and message.task == _UNLOCK:
            return "asks again and again whether the header is complete"
        if message is not None:
            place = f"queue {message.queue!r}" if message.where == "queue" else "its worker"
            return f"waits in {place}" + (f" for its ETA, {message.eta}" if message.eta else "")
        for kind, words in _FATES.items():
            if kind in kinds:
                told = (e.details.get("reason") for e in self.events[id_] if e.kind == kind)
                reason = next((r for r in told if r), None)
                return words + (f": {reason}" if reason else "")
        if self.finished(id_):
            if "retried" in kinds and self.app.AsyncResult(id_).state == states.RETRY:
                end = next(kind for kind in kinds if kind in ("succeeded", "failed"))
                return (
                    f"has {end}, and then an earlier attempt stored RETRY over its result: Celery "
                    "publishes a retry before it stores that state. Give the retry a countdown"
                )
            return f"has {kinds[-1]} and its result was not kept"
        if "acked" in kinds and "received" not in kinds:
            return "was thrown away: no worker could read its message"
        if kinds and kinds[-1] == "fault":
            return f"was last seen when {self.events[id_][-1].details['reason']} struck"
        return f"was last {kinds[-1]}" if kinds else "was never published"

    def _running(self, id_: str) -> str:
        if self.scene.late is not None:
            return "is running"
        hangs = [e for e in self.events[id_] if e.kind == "fault" and e.details.get("hang")]
        if hangs:
            return f"hangs ({hangs[-1].details['reason']}), and no time limit ends it"
        awaited = self.recorder.awaited.get(id_)
        if awaited is None:
            return "is running and waits for something that will not happen"
        if awaited not in self.events:
            return (
                f"is running and waits for the result of task {awaited}, "
                "and no task with this id was published here"
            )
        return f"is running and waits for the result of {self.name(awaited)}"

    def _again(self, id_: str) -> str:
        kinds = self.kinds(id_)
        if "retried" in kinds:
            return "it retries without end; give it a max_retries that ends"
        return "each time it is lost, and each time it is delivered again"

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
        polled = any(e.task == _UNLOCK for events in self.events.values() for e in events)
        silent = {m for m in members if polled and self._keeps_no_result(m)}
        done = [m for m in members if any(k in ("succeeded", "failed") for k in self.kinds(m))]
        counted = [m for m in done if m not in silent]
        missing = [m for m in members if m not in counted]
        lines = [f"a chord waits for its header: {len(counted)} of {size} tasks have counted"]
        for member in missing[:10]:
            quiet = "ignores its result, and chord_unlock waits for it"
            lines.append(f"  {self.name(member)} {quiet if member in silent else self.fate(member)}")
        if len(missing) > 10:  # noqa: PLR2004 - a screenful
            lines.append(f"  … and {len(missing) - 10} more")
        return "\n".join(lines)

    def _keeps_no_result(self, id_: str) -> bool:
        task = self.app.tasks.get(self.events[id_][0].task or "")
        return task is not None and bool(task.ignore_result)

    def way_out(self) -> str:
        if self.scene.late is not None:
            return self.scene.late[1]
        unconsumed = self.scene.unconsumed
        if unconsumed and any(m.queue in unconsumed for m in self.waiting.values()):
            if self.scene.deserted:
                return ""
            names = ", ".join(sorted(map(repr, unconsumed)))
            return (
                f"Let a worker consume {names}: name it in task_queues, or in queues= of the "
                "context or the marker."
            )
        return ""


_FATES = {
    "dropped": "was dropped on its way",
    "lost": "was lost",
    "rejected": "was rejected and its message thrown away",
    "revoked": "was revoked",
    "expired": "expired before it could run",
    "ignored": "raised Ignore, which stores no result, publishes nothing and counts in no chord",
}
