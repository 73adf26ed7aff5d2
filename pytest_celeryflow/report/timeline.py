"""A history as a table that a person reads: when, which task, what happened to it.

One line an execution or a turning point. What went as expected takes one line (``charge#1
succeeded``); a received or acknowledged message takes none, because nothing was decided
there. Times are relative to the beginning of the workflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_celeryflow.durations import duration
from pytest_celeryflow.history import Event, History

__all__ = ["timeline"]

_MARKS = {
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


def timeline(history: History, *, began: float = 0.0, limit: int = 200) -> str:
    """The history as text.

    Args:
        history: What happened.
        began: The time, in seconds, that counts as zero.
        limit: The most lines; the middle is folded beyond.
    """
    rows = list(_rows(history, began))
    if not rows:
        return "nothing happened"
    folded = len(rows) - limit
    if folded > 0:
        half = limit // 2
        rows = [*rows[:half], ("", "", f"… {folded} more lines"), *rows[-half:]]
    times = max(len(row[0]) for row in rows)
    names = max(len(row[1]) for row in rows)
    return "\n".join(f"{at:>{times}}  {name:<{names}}  {said}".rstrip() for at, name, said in rows)


def _rows(history: History, began: float) -> Iterator[tuple[str, str, str]]:
    several = len({e.worker for e in history if e.worker is not None}) > 1
    begun: dict[int, Event] = {}
    last = None
    for event in history:
        if event.kind == "started" and event.execution is not None:
            begun[event.execution] = event
        said = _said(event, begun)
        if said is None:
            continue
        at = duration(event.at - began)
        shown = at if at != last else ""
        last = at
        where = f"  [{event.worker}]" if several and event.worker else ""
        yield shown, event.label or "", f"{_MARKS.get(event.kind, '·')} {said}{where}"


def _said(event: Event, begun: dict[int, Event]) -> str | None:
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
