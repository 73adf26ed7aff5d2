"""A history as a table that a person reads: when, which task, what happened to it.

One line an execution or a turning point. What went as expected takes one line (``charge#1
succeeded``); a received or acknowledged message takes none, because nothing was decided
there. Times are relative to the beginning of the workflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pytest_celeryflow.durations import duration
from pytest_celeryflow.history import Event, History

__all__ = ["MARKS", "Row", "in_words", "rows", "timeline"]

#: A sign for each kind of event.
MARKS = {
    "published": "→",
    "started": "▸",
    "retried": "↻",
    "succeeded": "✓",
    "failed": "✗",
    "rejected": "⊘",
    "ignored": "–",
    "revoked": "⊘",
    "expired": "⊘",
    "redelivered": "⟲",
    "lost": "☠",
    "dropped": "☠",
    "timeout": "⏱",
    "fault": "⚡",
}
_LONG = 60
#: Longer than values: what Celery says of a lost process has to fit.
_LONG_ERROR = 90


class Row(NamedTuple):
    """One line: a turning point.

    Attributes:
        at: When, in words; empty if at the moment of the line before.
        label: ``"charge#2"``, or empty.
        mark: A sign for the kind of event.
        said: What happened, in words.
        worker: Name of the worker, where there are several; or empty.
        kind: Kind of the event.
    """

    at: str
    label: str
    mark: str
    said: str
    worker: str = ""
    kind: str = ""


def timeline(history: History, *, began: float = 0.0, limit: int = 200) -> str:
    """The history as text.

    Args:
        history: What happened.
        began: The time, in seconds, that counts as zero.
        limit: The most lines; the middle is folded beyond.
    """
    told = list(rows(history, began=began, limit=limit))
    if not told:
        return "nothing was carried out" if history else "nothing happened"
    times = max(len(row.at) for row in told)
    names = max(len(row.label) for row in told)
    lines = []
    for row in told:
        where = f"  [{row.worker}]" if row.worker else ""
        said = f"{row.mark} {row.said}{where}".lstrip()
        lines.append(f"{row.at:>{times}}  {row.label:<{names}}  {said}".rstrip())
    return "\n".join(lines)


def rows(history: History, *, began: float = 0.0, limit: int = 200) -> list[Row]:
    """The lines of a timeline; beyond the limit the middle is one line that says how many."""
    every = list(_rows(history, began))
    folded = len(every) - limit
    if folded <= 0:
        return every
    half = limit // 2
    return [*every[:half], Row("", "", "", f"… {folded} more lines"), *every[-half:]]


def _rows(history: History, began: float) -> Iterator[Row]:
    several = len({e.worker for e in history if e.worker is not None}) > 1
    begun: dict[int, Event] = {}
    last = None
    for event in history:
        if event.kind == "started" and event.execution is not None:
            begun[event.execution] = event
        said = in_words(event, begun)
        if said is None:
            continue
        at = duration(event.at - began)
        shown = at if at != last else ""
        last = at
        worker = event.worker if several and event.worker else ""
        mark = MARKS.get(event.kind, "·")
        yield Row(shown, event.label or "", mark, said, worker, event.kind)


def in_words(event: Event, begun: dict[int, Event]) -> str | None:
    """What happened, or ``None`` for what is not worth a line.

    Args:
        event: The event.
        begun: The events ``started`` so far, by the number of their execution.
    """
    told = event.details
    if event.kind in ("received", "acked", "clock"):
        return None
    if event.kind == "published":
        return _published(told)
    if event.kind == "started":
        own = not (event.task or "").startswith("celery.")  # its arguments are Celery's affair
        return ("started" + (f" with {_arguments(told)}" if own else _again(told))) + (
            ", redelivered" if told.get("redelivered") else ""
        )
    if event.kind == "retried":
        wait = told.get("countdown")
        when = f" in {duration(wait)}" if wait is not None else ""
        cause = told.get("error")
        return f"to be retried{when}" + (f": {_error(cause)}" if cause is not None else "")
    if event.kind == "succeeded":
        return f"returned {_short(told.get('result'))}" + _took(event, begun)
    if event.kind == "failed" and event.execution is None and _hard_limit(told.get("error")):
        return None  # Celery tells of a hard limit twice (`Request.on_failure`, ``on_timeout``)
    if event.kind == "failed":
        return f"failed: {_error(told.get('error'))}" + _took(event, begun)
    if event.kind == "timeout":
        return f"{told['limit']} time limit of {duration(told['seconds'])} reached"
    if event.kind == "redelivered":
        return f"back in queue {told.get('queue')!r}"
    reason = told.get("reason") or told.get("error")
    if reason is None:
        return event.kind
    if event.kind == "fault":
        return str(reason)
    said = _cut(reason) if isinstance(reason, str) else _short(reason)
    return f"{event.kind}: {said}"


def _published(told: Any) -> str | None:
    """A publication is a line of its own when there is something to say about it."""
    parts = []
    if told.get("countdown"):
        parts.append(f"due in {duration(told['countdown'])}")
    if told.get("queue") not in (None, "celery"):
        parts.append(f"to queue {told['queue']!r}")
    return f"published {', '.join(parts)}" if parts and not told.get("retries") else None


def _took(event: Event, begun: dict[int, Event]) -> str:
    start = begun.get(event.execution or 0)
    took = event.at - start.at if start is not None else 0.0
    return f" after {duration(took)}" if took >= 0.001 else ""  # noqa: PLR2004 - a millisecond


def _arguments(told: Any) -> str:
    parts = [_short(a) for a in told.get("args", ())]
    parts += [f"{k}={_short(v)}" for k, v in told.get("kwargs", {}).items()]
    return f"({', '.join(parts)})" + _again(told)


def _hard_limit(error: Any) -> bool:
    return type(error).__name__ == "TimeLimitExceeded"


def _again(told: Any) -> str:
    return f", retry {told['retries']}" if told.get("retries") else ""


def _error(error: Any) -> str:
    if isinstance(error, BaseException):
        kind, text = type(error).__name__, str(error)
        named = text.startswith(f"{kind}(")  # billiard's say their own name
        return _cut(text if named else f"{kind}: {text}".rstrip(": "), _LONG_ERROR)
    return _short(error)


def _short(value: Any) -> str:
    try:
        return _cut(repr(value))
    except Exception:  # noqa: BLE001 - a user's broken __repr__
        return f"<{type(value).__name__}>"


def _cut(text: str, limit: int = _LONG) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
