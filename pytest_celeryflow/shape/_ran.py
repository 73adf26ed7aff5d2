"""The shape of what ran, from the recorded history of a workflow.

Each first publication of a task is a message of `_assemble.py`; here its cause is found: the
chain that went on with it, the chord whose body it is, or the task that it replaced. What a
message says of its successors holds ids (Celery gives them out when the canvas is frozen), so
a later message is known by its id, and what the canvas said of it (arguments without the
result that was put before them, immutability) is taken from there.

Relies on the layout of signatures (see `_read.py`) and on the details that `wiring.py` notes.

Not modelled: who a task that a body published by itself (`delay()`) belongs to. Nothing waits
for it; it stands beside the canvas, as another member of a group. Messages of links and
errbacks, and what came of them, are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_celeryflow.history import Event
from pytest_celeryflow.shape._assemble import Sent, assemble
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._read import IMMUTABLE, read

__all__ = ["ran"]

_UNLOCK = "celery.chord_unlock"


def ran(events: Iterable[Event]) -> Shape:
    """Build the shape of what a workflow published.

    Args:
        events: Its history.
    """
    reading = _Reading([e for e in events if e.kind == "published" and e.id is not None])
    return assemble(reading.messages())


@dataclass(frozen=True)
class _Cause:
    """Why a message was published; at most one of the two."""

    after: str | None = None
    body_of: str | None = None


@dataclass(eq=False)
class _Node:
    """A message that was published for the first time."""

    event: Event
    key: str
    cause: _Cause
    signature: Mapping[str, Any] | None
    callback: bool
    replaced_by: list[_Node] = field(default_factory=list)

    @property
    def wiring(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.event.details.get("wiring") or {}
        return found

    @property
    def group(self) -> str | None:
        return self.event.details.get("group")

    @property
    def counts(self) -> bool:
        return bool(self.event.details.get("chord"))

    def message(self) -> Sent:
        told = self.signature or {**self.event.details, **self.wiring}
        options = {
            **(self.wiring.get("options") or {}),
            **(self.event.details.get("stamps") or {}),
            "headers": self.event.details.get("headers") or None,
            "stamped_headers": list(self.event.details.get("stamps") or ()),
            "link": self.wiring.get("links"),
            "link_error": self.wiring.get("errbacks"),
            IMMUTABLE: bool(told.get("immutable")),
        }
        return Sent(
            id=self.key,
            shape=read(
                {
                    "task": self.event.task,
                    "args": told.get("args"),
                    "kwargs": told.get("kwargs"),
                    "options": options,
                    "immutable": bool(told.get("immutable")),
                }
            ),
            after=self.cause.after,
            group=self.group,
            counts=self.counts,
            body_of=self.cause.body_of,
        )


class _Reading:
    """Goes through the publications once, in their order."""

    def __init__(self, published: list[Event]) -> None:
        self._roots: list[_Node] = []
        self._latest: dict[str, _Node] = {}
        self._seen: set[tuple[str, _Cause]] = set()
        #: By task id: why it will be published, and its signature.
        self._planned: dict[str, tuple[_Cause, Mapping[str, Any]]] = {}
        #: Chords and ids that belong to links and errbacks.
        self._aside: set[str] = set()
        self._callbacks = _callbacks(published)
        for event in published:
            self._take(event)

    def messages(self) -> list[Sent]:
        """Every message that counts; one that was replaced gives its place to what did it."""
        waiting, found = self._roots[::-1], []
        while waiting:
            node = waiting.pop()
            if node.replaced_by:
                waiting.extend(reversed(node.replaced_by))
            elif not node.callback:
                found.append(node.message())
        return found

    def _take(self, event: Event) -> None:
        id_, details = event.id or "", event.details
        parent = self._latest.get(details.get("parent") or "")
        known = self._latest.get(id_)
        if event.task == _UNLOCK or (known is not None and details.get("retries")):
            return
        cause, signature = self._planned.get(id_, (_Cause(), None))
        replaced = self._replaced(event, parent, cause)
        if replaced is not None:
            cause = replaced.cause
            signature = None
        elif (id_, cause) in self._seen:
            return
        elif signature is None and parent is not None and _adds(event, parent):
            cause = parent.cause
        if signature is not None and signature["task"] != event.task:
            signature = None
        node = _Node(
            event=event,
            key=id_ if known is None else f"{id_}/{event.number}",
            cause=cause,
            signature=signature,
            callback=self._is_aside(event, parent, cause),
        )
        (replaced.replaced_by if replaced is not None else self._roots).append(node)
        self._seen.add((id_, cause))
        self._latest[id_] = node
        self._plan(node)

    def _replaced(self, event: Event, parent: _Node | None, cause: _Cause) -> _Node | None:
        """The message that this one stands for, if its task replaced itself with it."""
        if parent is None or event.details.get("retries"):
            return None
        if event.id == parent.event.id:
            return parent
        nesting = (event.details.get("wiring") or {}).get("nesting", 0)
        if cause == _Cause() and nesting > parent.wiring.get("nesting", 0):
            return parent
        return None

    def _is_aside(self, event: Event, parent: _Node | None, cause: _Cause) -> bool:
        if event.number in self._callbacks or cause.body_of in self._aside:
            return True
        if cause.after in self._aside or (parent is not None and parent.callback):
            return True
        # Celery names the body of a chord that failed as the parent of the body's errbacks.
        above = event.details.get("parent")
        return cause == _Cause() and parent is None and above in self._planned

    def _plan(self, node: _Node) -> None:
        if node.callback:
            self._aside.add(node.key)
        following = node.wiring.get("next")
        for signature in _leaves(following):
            self._planned[signature["options"]["task_id"]] = (_Cause(after=node.key), signature)
        body = node.wiring.get("body")
        if body and node.group:
            if node.callback:
                self._aside.add(node.group)
            for signature in _leaves(body):
                cause = _Cause(body_of=node.group)
                self._planned[signature["options"]["task_id"]] = (cause, signature)


def _adds(event: Event, parent: _Node) -> bool:
    """Whether a task added this one to the chord that it counts in itself."""
    group = event.details.get("group")
    return bool(event.details.get("chord")) and parent.counts and parent.group == group


def _callbacks(published: list[Event]) -> set[int]:
    """Numbers of the events that publish a link or an errback.

    Links have no ids in a message. They are the last that is published for a task, so of
    several tasks of one name, the last is the link.
    """
    below: dict[str, list[Event]] = defaultdict(list)
    final: dict[str, Event] = {}
    for event in published:
        below[event.details.get("parent") or ""].append(event)
        final[event.id or ""] = event
    found: set[int] = set()
    for id_, event in final.items():
        told = event.details.get("wiring") or {}
        following = {leaf["options"]["task_id"] for leaf in _leaves(told.get("next"))}
        candidates = [e for e in below.get(id_, ()) if e.id not in following and e.id != id_]
        for link in reversed([*(told.get("links") or ()), *(told.get("errbacks") or ())]):
            for name in reversed(_first_names(link)):
                match = next((e for e in reversed(candidates) if e.task == name), None)
                if match is not None:
                    candidates.remove(match)
                    found.add(match.number)
    return found


def _parts(signature: Mapping[str, Any]) -> list[Any] | None:
    """What a chain or group holds, or the header of a chord; None for a task."""
    kind, inside = signature.get("subtask_type"), signature.get("kwargs") or {}
    if kind in ("chain", "group"):
        parts = inside["tasks"]
    elif kind == "chord":
        parts = inside["header"]
    else:
        return None
    return [parts] if isinstance(parts, Mapping) else list(parts)


def _leaves(signature: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the tasks in a signature that have an id."""
    if not isinstance(signature, Mapping):
        return
    parts = _parts(signature)
    if parts is None:
        if (signature.get("options") or {}).get("task_id"):
            yield signature
        return
    for part in parts:
        yield from _leaves(part)
    if signature.get("subtask_type") == "chord":
        yield from _leaves(signature["kwargs"].get("body"))


def _first_names(signature: Mapping[str, Any]) -> list[str]:
    """Names of the tasks that are published when a signature is applied."""
    parts = _parts(signature)
    if parts is None:
        return [signature["task"]]
    if signature.get("subtask_type") == "chain":
        parts = parts[:1]
    return [name for part in parts for name in _first_names(part)]
