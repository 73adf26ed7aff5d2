"""What happened, as plain data: `Event`, `Execution` and `History`.

Nothing here knows of Celery, of pytest or of a mode. The recorder writes events; runs,
reports and assertions read them and nothing else.

Two things are told apart. A *task* is one message identity: one id, one label such as
``charge#2``, however often it is tried. An *execution* is one attempt to run it, in one
worker, with one outcome.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

__all__ = ["ENDINGS", "KINDS", "VOLATILE", "Event", "Execution", "History", "Opaque"]

#: Every kind of event, in the order in which a task usually meets them.
KINDS = (
    "published",
    "received",
    "started",
    "retried",
    "succeeded",
    "failed",
    "rejected",
    "ignored",
    "revoked",
    "expired",
    "redelivered",
    "acked",
    "lost",
    "dropped",
    "timeout",
    "fault",
    "clock",
)

#: Kinds that end an execution, and the state that the execution then has.
ENDINGS = {
    "retried": "RETRY",
    "succeeded": "SUCCESS",
    "failed": "FAILURE",
    "rejected": "REJECTED",
    "ignored": "IGNORED",
    "revoked": "REVOKED",
    "lost": "LOST",
}


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")

#: Types whose ``repr`` cannot fail and says all.
_PLAIN = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value that JSON cannot carry, after a round trip: all that is left is its text."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        number: Position in the history, from 0.
        at: Seconds since the history began; virtual seconds in ``sim``.
        kind: One of `KINDS`.
        task: Full name of the task, or ``None`` for what concerns no task.
        id: Celery's task id.
        label: Short name of the task that is the same from run to run, ``"charge#2"``.
        worker: Name of the worker, or ``None`` for what happens outside one.
        execution: Number of the execution that this belongs to, from 1, or ``None``.
        details: Whatever else is known, by name: ``args``, ``queue``, ``result``, ``error`` …
    """

    number: int
    at: float
    kind: str
    task: str | None = None
    id: str | None = None
    label: str | None = None
    worker: str | None = None
    execution: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Whether JSON would tell them alike: a tuple as a list, an exception by its text."""
        if not isinstance(other, Event):
            return NotImplemented
        return _event_to_plain(self) == _event_to_plain(other)

    def __hash__(self) -> int:
        return hash((self.number, self.at, self.kind, self.id))

    def canonical(self) -> str:
        """Text that is equal for two events that say the same, whatever their times and ids."""
        shown = {k: v for k, v in self.details.items() if k not in VOLATILE}
        if isinstance(chord := shown.get("chord"), Mapping):  # the body is named by its id
            shown["chord"] = {k: v for k, v in chord.items() if k != "body"}
        if self.kind == "published" and isinstance(wait := shown.get("countdown"), int | float):
            shown["countdown"] = math.ceil(wait)  # what is left of it, by a real clock
        return f"{self.kind} {self.label} {self.worker} {self.execution} {_canonical(shown)}"


#: Details that differ between two runs that did the same: they name ids or real moments.
VOLATILE = frozenset(
    {"parent", "root", "group", "eta", "expires", "to", "reply_to", "headers", "wiring", "returned"}
)


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt to run one task.

    Attributes:
        task: Full name of the task.
        id: Celery's task id; the attempts of one task share it.
        label: ``"charge#2"``: the task's short name and its number in order of publication.
        args: Positional arguments as the task body received them.
        kwargs: Keyword arguments, likewise.
        state: ``SUCCESS``, ``FAILURE``, ``RETRY``, ``REJECTED``, ``IGNORED``, ``REVOKED``,
            ``LOST``, or ``STARTED`` when it had not ended.
        result: What the body returned, or ``None``.
        error: The exception that ended it, or ``None``; for a retry, the one that caused it.
        retries: How many retries came before (``task.request.retries``).
        redelivered: Whether the broker had delivered the message before.
        started_at: Seconds since the history began.
        finished_at: Likewise, or ``None`` when it had not ended. In mode ``process``, where its
            end is told later than what came of it, when the body returned.
        worker: Name of the worker, or ``None`` in ``eager``.
        parent: Id of the task that published this one, or ``None``.
        root: Id of the first task of the workflow.
    """

    task: str
    id: str
    label: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    state: str
    result: Any
    error: Any
    retries: int
    redelivered: bool
    started_at: float
    finished_at: float | None
    worker: str | None
    parent: str | None
    root: str | None


class History(Sequence[Event]):
    """A sequence of events in the order in which they happened.

    A slice of a history is a history. Two are equal whose JSON is, so that one equals what
    comes back from JSON; `digest` tells whether two say the same.

    >>> history = History([Event(0, 0.0, "published", "shop.charge", "a", "charge#1")])
    >>> history[0].kind
    'published'
    >>> History.from_json(history.to_json()) == history
    True
    """

    __slots__ = ("_events",)

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: tuple[Event, ...] = tuple(events)

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> Event | History:
        if isinstance(index, slice):
            return History(self._events[index])
        return self._events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return self._events == other._events

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"<History of {len(self)} events, digest {self.digest()[:12]}>"

    def only(self, *kinds: str, ids: Iterable[str] | None = None) -> History:
        """The events of these kinds (all, when none is named), of these task ids (any).

        Raises:
            ValueError: A kind is not one of `KINDS`.
        """
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
        wanted = set(kinds or KINDS)
        among = None if ids is None else frozenset(ids)
        return History(
            e for e in self._events if e.kind in wanted and (among is None or e.id in among)
        )

    def executions(self) -> tuple[Execution, ...]:
        """Every attempt of every task, in order of its start."""
        begun: dict[int, Event] = {}
        ended: dict[int, Event] = {}
        for event in self._events:
            if event.execution is None:
                continue
            if event.kind == "started":
                begun[event.execution] = event
            elif event.kind in ENDINGS:
                ended[event.execution] = event
        return tuple(_execution(begun[n], ended.get(n)) for n in sorted(begun))

    def digest(self) -> str:
        """A SHA-256, in hex, of what happened in which order.

        Times and ids are left out, so that two runs on real workers can agree; sets are
        sorted and memory addresses blanked, so that it does not depend on the process or
        on ``PYTHONHASHSEED``. The clock's own events are left out too.
        """
        sha = hashlib.sha256()
        for event in self._events:
            if event.kind != "clock":
                sha.update(event.canonical().encode("utf-8", "backslashreplace"))
                sha.update(b"\n")
        return sha.hexdigest()

    def to_json(self, *, indent: int | None = None) -> str:
        """The history as JSON text; what JSON cannot carry is written as its ``repr``."""
        return json.dumps([_event_to_plain(e) for e in self._events], indent=indent)

    @classmethod
    def from_json(cls, text: str) -> History:
        """Read what `to_json` wrote. Values that JSON cannot carry come back as `Opaque`.

        Raises:
            ValueError: The text is not a history.
        """
        try:
            rows = json.loads(text)
            return cls(_event_from_plain(row) for row in rows)
        except (TypeError, KeyError, AttributeError) as exc:
            raise ValueError(f"text is not a history as History.to_json writes it: {exc}") from exc


def _execution(begun: Event, ended: Event | None) -> Execution:
    told = begun.details
    outcome = ended.details if ended is not None else {}
    return Execution(
        task=begun.task or "",
        id=begun.id or "",
        label=begun.label or "",
        args=tuple(told.get("args", ())),
        kwargs=told.get("kwargs", {}),
        state=ENDINGS[ended.kind] if ended is not None else "STARTED",
        result=outcome.get("result"),
        error=outcome.get("error"),
        retries=told.get("retries", 0),
        redelivered=told.get("redelivered", False),
        started_at=begun.at,
        finished_at=outcome.get("returned", {}).get("at", ended.at) if ended is not None else None,
        worker=begun.worker,
        parent=told.get("parent"),
        root=told.get("root"),
    )


def _canonical(value: Any) -> str:
    """Text for a value that does not depend on hash seeds, addresses or list against tuple."""
    if type(value) in _PLAIN:  # most are, and a schedule of an exploration has hundreds
        text = repr(value)
        return _ADDRESS.sub("0x", text) if "0x" in text else text
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_canonical(k)}: {_canonical(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(_canonical, value))) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_canonical, value)) + "]"
    if isinstance(value, Opaque):
        return value.text
    return _ADDRESS.sub("0x", _safe_repr(value))


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as exc:  # noqa: BLE001 - a user's broken __repr__ must not break the report
        return f"<{type(value).__name__} whose repr raised {type(exc).__name__}>"


def _to_plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_to_plain(v) for v in value]
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value) and "$" not in value:
        return {k: _to_plain(v) for k, v in value.items()}
    if isinstance(value, Mapping) and "$" in value and all(isinstance(k, str) for k in value):
        return {"$": _canonical(value), "items": [[k, _to_plain(v)] for k, v in value.items()]}
    return {"$": _canonical(value)}


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_plain(v) for v in value]
    if isinstance(value, dict):
        if "items" in value and "$" in value:  # a mapping that has such a key itself
            return {k: _from_plain(v) for k, v in value["items"]}
        if "$" in value:
            return Opaque(value["$"])
        return {k: _from_plain(v) for k, v in value.items()}
    return value


_FIELDS = ("number", "at", "kind", "task", "id", "label", "worker", "execution")


def _event_to_plain(event: Event) -> dict[str, Any]:
    row = {name: value for name in _FIELDS if (value := getattr(event, name)) is not None}
    if event.details:
        row["details"] = {k: _to_plain(v) for k, v in event.details.items()}
    return row


def _event_from_plain(row: dict[str, Any]) -> Event:
    fields = {name: row.get(name) for name in _FIELDS}
    details = {k: _from_plain(v) for k, v in row.get("details", {}).items()}
    return Event(**fields, details=details)  # type: ignore[arg-type]
