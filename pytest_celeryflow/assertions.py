"""What was published and what ran: matching and failure texts.

A failure says what was asked for, what was found instead with the nearest first, and what
to look at next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.history import Event, Execution, History
from pytest_celeryflow.report.timeline import timeline

__all__ = ["Enqueued", "check_not_ran", "check_ran", "enqueued"]

_NAMES = ("args", "kwargs", "queue", "countdown", "eta", "priority", "headers", "times")
_SHOWN = 5


@dataclass(frozen=True)
class Enqueued:
    """What a publication is asked to look like; only what is named counts."""

    task: str
    wanted: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None

    @classmethod
    def of(cls, task: str, wanted: Mapping[str, Any]) -> Enqueued:
        """Check the names.

        Raises:
            ValueError: A keyword is unknown.
        """
        unknown = sorted(set(wanted) - set(_NAMES))
        if unknown:
            raise ValueError(f"unknown keyword {unknown[0]!r}; valid are {', '.join(_NAMES)}")
        left = {k: v for k, v in wanted.items() if k != "times"}
        return cls(task, left, wanted.get("times"))

    def differences(self, event: Event) -> list[str]:
        """The names of what does not match."""
        return [name for name, value in self.wanted.items() if not _matches(name, value, event)]

    def __str__(self) -> str:
        short = self.task.rpartition(".")[2]
        return f"{short}({', '.join(f'{k}={v!r}' for k, v in self.wanted.items())})"


def _matches(name: str, wanted: Any, event: Event) -> bool:
    found = _found(name, event)
    if name == "args" and isinstance(wanted, list | tuple):
        return tuple(wanted) == tuple(found or ())
    if name in ("kwargs", "headers") and isinstance(wanted, Mapping):
        return all(key in found and wanted[key] == found[key] for key in wanted)
    if name == "countdown" and isinstance(wanted, int | float) and found is not None:
        # A real clock moves between the call and the message.
        return abs(float(wanted) - float(found)) <= max(0.5, abs(wanted) * 0.001)
    if name == "eta" and isinstance(wanted, datetime) and isinstance(found, str):
        moment = datetime.fromisoformat(found)
        return moment == (wanted if wanted.tzinfo else wanted.replace(tzinfo=moment.tzinfo))
    return bool(wanted == found)


def _found(name: str, event: Event) -> Any:
    return event.details.get(name, {} if name in ("kwargs", "headers") else None)


def enqueued(history: History, asked: Enqueued) -> list[Event]:
    """The publications that match.

    Raises:
        CeleryflowAssertionError: There are none, or not as many as asked for.
    """
    __tracebackhide__ = True
    published = [e for e in history.only("published") if e.task == asked.task]
    matching = [e for e in published if not asked.differences(e)]
    if asked.times is None:
        if matching:
            return matching
    elif len(matching) == asked.times:
        return matching
    raise CeleryflowAssertionError(
        _enqueued_text(history, asked, published, matching),
        expected=asked,
        actual=published,
    )


def _enqueued_text(
    history: History, asked: Enqueued, published: Sequence[Event], matching: Sequence[Event]
) -> str:
    short = asked.task.rpartition(".")[2]
    count = _times(len(matching))
    if asked.times is None:
        head = f"{short} was not enqueued" + (" like this" if asked.wanted else "")
    elif asked.times == 0:
        head = f"{short} was enqueued {count}, and should not have been"
    else:
        head = f"{short} was enqueued {count}, not {_times(asked.times)}"
    lines = [head, "", f"Expected: {asked}"]
    others = sorted({e.label or "" for e in history.only("published")} - {""})
    if matching:
        lines += _listed("Instead:  ", [_call(e, asked) for e in matching])
    elif published:
        near = sorted(published, key=lambda e: len(asked.differences(e)))
        said = [f"{_call(e, asked)}   differs in {', '.join(asked.differences(e))}" for e in near]
        lines += _listed("Instead:  ", said)
    elif others:
        lines.append(f"Instead:  no {short} at all; enqueued were {', '.join(others[:8])}")
    else:
        lines.append("Instead:  nothing was enqueued at all. Was the canvas published, with")
        lines.append("          delay(), apply_async() or flow.run()?")
    return "\n".join(lines)


def _call(event: Event, asked: Enqueued) -> str:
    shown = {name: _found(name, event) for name in asked.wanted} or {
        "args": event.details.get("args"),
        **({"kwargs": event.details["kwargs"]} if event.details.get("kwargs") else {}),
    }
    return f"{event.label}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def _listed(title: str, items: Sequence[str]) -> list[str]:
    pad = " " * len(title)
    lines = [(title if n == 0 else pad) + item for n, item in enumerate(items[:_SHOWN])]
    if len(items) > _SHOWN:
        lines.append(f"{pad}… and {len(items) - _SHOWN} more")
    return lines


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def check_ran(history: History, task: str, *, times: int | None, state: str | None) -> None:
    """Raise unless a task was executed so often, with that state."""
    __tracebackhide__ = True
    runs = [e for e in history.executions() if e.task == task]
    counted = [e for e in runs if state is None or e.state == state]
    if (times is None and counted) or (times is not None and len(counted) == times):
        return
    short = task.rpartition(".")[2]
    wish = "at least once" if times is None else _times(times)
    with_state = f" with state {state}" if state is not None else ""
    head = f"{short} ran {_times(len(counted))}{with_state}, not {wish}"
    raise CeleryflowAssertionError(
        _ran_text(head, f"{short} runs {wish}{with_state}", runs, history),
        expected={"task": task, "times": times, "state": state},
        actual=tuple(runs),
    )


def check_not_ran(history: History, task: str) -> None:
    """Raise if a task was executed."""
    __tracebackhide__ = True
    runs = [e for e in history.executions() if e.task == task]
    if not runs:
        return
    short = task.rpartition(".")[2]
    head = f"{short} ran {_times(len(runs))}, and should not have run"
    raise CeleryflowAssertionError(
        _ran_text(head, f"{short} does not run", runs, history),
        expected={"task": task, "times": 0},
        actual=tuple(runs),
    )


def _ran_text(head: str, wish: str, runs: Sequence[Execution], history: History) -> str:
    lines = [head, "", f"Expected: {wish}"]
    if runs:
        said = [f"{e.label} {e.state}" + (f" ({e.error!r})" if e.error else "") for e in runs]
        lines += _listed("Instead:  ", said)
    else:
        ran = sorted({e.label for e in history.executions()})
        lines.append(f"Instead:  it did not run; {', '.join(ran[:8]) or 'nothing'} did")
    return "\n".join([*lines, "", timeline(history, limit=20)])
