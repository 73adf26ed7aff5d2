"""What was published and what ran: matching and failure texts.

A failure says what was asked for, what was found instead with the nearest first, and what
to look at next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_celeryflow.databases import waiting_for_commit
from pytest_celeryflow.durations import seconds
from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.history import ENDINGS, Event, Execution, History
from pytest_celeryflow.report.timeline import timeline

__all__ = ["Enqueued", "check_not_ran", "check_ran", "enqueued"]

_NAMES = ("args", "kwargs", "queue", "countdown", "eta", "priority", "headers", "times")
_STATES = (*ENDINGS.values(), "STARTED")
_SHOWN = 5


@dataclass(frozen=True)
class Enqueued:
    """What a publication is asked to look like; only what is named counts."""

    task: str
    wanted: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None

    @classmethod
    def of(cls, task: str, wanted: Mapping[str, Any]) -> Enqueued:
        """Check the names and values.

        Raises:
            ValueError: A keyword is unknown, or a value can match nothing.
        """
        unknown = sorted(set(wanted) - set(_NAMES))
        if unknown:
            raise ValueError(f"unknown keyword {unknown[0]!r}; valid are {', '.join(_NAMES)}")
        told = dict(wanted)
        times = told.pop("times", None)
        _check_times(times)
        for name, read in (("countdown", _countdown), ("eta", _eta)):
            if name in told:
                told[name] = read(told[name])
        for name, types, what in _TYPES:
            if type(told.get(name)) in _PLAIN and not isinstance(told[name], types):
                raise ValueError(f"{name}={told[name]!r} must be {what}, or a matcher such as ANY")
        return cls(task, told, times)

    def differences(self, event: Event) -> list[str]:
        """The names of what does not match."""
        return [name for name, value in self.wanted.items() if not _matches(name, value, event)]

    def __str__(self) -> str:
        short = self.task.rpartition(".")[2]
        return f"{short}({_named(self.wanted)})"


#: What a value that is no matcher must be.
_TYPES = (
    ("args", (list, tuple), "a list or tuple"),
    ("kwargs", Mapping, "a dict"),
    ("queue", str, "the name of a queue"),
    ("priority", int, "a whole number"),
    ("headers", Mapping, "a dict"),
)
#: Types whose equality is their own: a value of one of them is no matcher.
_PLAIN = (bool, int, float, str, bytes, list, tuple, dict, set)


def _check_times(times: Any) -> None:
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 0):
        raise ValueError(
            f"times={times!r} must be a whole number, 0 or more, or None: at least once"
        )


def _countdown(wanted: Any) -> Any:
    """Seconds, if it is a length of time; a matcher stays what it is."""
    is_length = type(wanted) in _PLAIN or isinstance(wanted, timedelta)
    return seconds(wanted, argument="countdown") if is_length else wanted


def _eta(wanted: Any) -> Any:
    """A moment, if it is text or a ``datetime``; a matcher stays what it is."""
    if isinstance(wanted, str):
        try:
            return datetime.fromisoformat(wanted)
        except ValueError:
            pass
    elif type(wanted) not in _PLAIN:
        return wanted
    raise ValueError(
        f"eta={wanted!r} is not a moment: give a datetime, ISO 8601 text or a matcher such as ANY"
    )


def _matches(name: str, wanted: Any, event: Event) -> bool:
    found = _found(name, event)
    if name == "args" and isinstance(wanted, list | tuple):
        return tuple(wanted) == tuple(found or ())
    if name in ("kwargs", "headers") and isinstance(wanted, Mapping):
        return all(key in found and wanted[key] == found[key] for key in wanted)
    if name == "countdown" and isinstance(wanted, int | float) and found is not None:
        # A real clock moves between the call and the message.
        return abs(float(wanted) - float(found)) <= max(0.5, abs(wanted) * 0.001)
    if name == "eta" and isinstance(wanted, datetime) and found is not None:
        return bool(found == (wanted if wanted.tzinfo else wanted.replace(tzinfo=found.tzinfo)))
    return bool(wanted == found)


def _found(name: str, event: Event) -> Any:
    told = event.details.get(name, {} if name in ("kwargs", "headers") else None)
    if name == "eta" and isinstance(told, str):
        moment = datetime.fromisoformat(told)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return told


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
    like_this = " like this" if asked.wanted and published else ""
    if asked.times is None:
        head = f"{short} was not enqueued{like_this}"
    elif asked.times == 0:
        head = f"{short} was enqueued {_times(len(matching))}, and should not have been"
    elif matching:
        head = f"{short} was enqueued {_times(len(matching))}, not {_times(asked.times)}"
    else:
        head = f"{short} was not enqueued{like_this}, and should have been {_times(asked.times)}"
    lines = [head, "", f"Expected: {asked}"]
    uncommitted = waiting_for_commit(history, asked.task) if asked.times != 0 else None
    others = Counter((e.label or "").partition("#")[0] for e in history.only("published"))
    if matching:
        lines += _listed("Instead:  ", [_call(e, asked) for e in matching])
    elif published:
        near = sorted(published, key=lambda e: len(asked.differences(e)))
        said = [f"{_call(e, asked)}   differs in {', '.join(asked.differences(e))}" for e in near]
        lines += _listed("Instead:  ", said)
    elif others:
        said = [name + (f" ({_times(n)})" if n > 1 else "") for name, n in others.most_common(8)]
        lines.append(f"Instead:  no {short} at all; enqueued were {', '.join(said)}")
    elif uncommitted is None:
        lines.append("Instead:  nothing was enqueued at all. Was the canvas published, with")
        lines.append("          delay(), apply_async() or flow.run()?")
    else:
        lines.append("Instead:  nothing was enqueued at all")
    if uncommitted is not None:
        lines += ["", uncommitted]
    return "\n".join(lines)


def _call(event: Event, asked: Enqueued) -> str:
    shown = {name: _found(name, event) for name in asked.wanted} or {
        "args": event.details.get("args"),
        **({"kwargs": event.details["kwargs"]} if event.details.get("kwargs") else {}),
    }
    return f"{event.label}({_named(shown)})"


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    """A moment as one reads it, without the name of its class; anything else as code."""
    return repr(value.isoformat() if isinstance(value, datetime) else value)


def _listed(title: str, items: Sequence[str]) -> list[str]:
    pad = " " * len(title)
    lines = [(title if n == 0 else pad) + item for n, item in enumerate(items[:_SHOWN])]
    if len(items) > _SHOWN:
        lines.append(f"{pad}… and {len(items) - _SHOWN} more")
    return lines


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def check_ran(
    history: History,
    task: str,
    *,
    times: int | None,
    state: str | None,
    waiting: Callable[[], Sequence[str]] = tuple,
) -> None:
    """Raise unless a task was executed so often, with that state.

    Args:
        history: What happened.
        task: Full name of the task.
        times: How often; ``None``: at least once.
        state: State of the executions that count; ``None``: any.
        waiting: Tells the labels of the task's messages that wait, if there is a failure.
    """
    __tracebackhide__ = True
    _check_times(times)
    if state is not None and state not in _STATES:
        raise ValueError(f"state={state!r} is not one of {', '.join(_STATES)}")
    runs = [e for e in history.executions() if e.task == task]
    counted = [e for e in runs if state is None or e.state == state]
    if (times is None and counted) or (times is not None and len(counted) == times):
        return
    short = task.rpartition(".")[2]
    wish = "at least once" if times is None else _times(times)
    with_state = f" with state {state}" if state is not None else ""
    ran = f"ran {_times(len(counted))}" if counted else "did not run"
    if times == 0:
        head = f"{short} {ran}{with_state}, and should not have run"
    elif counted:
        head = f"{short} {ran}{with_state}, not {wish}"
    else:
        how_often = "" if times is None else f" {wish}"
        head = f"{short} {ran}{with_state}, and should have run{how_often}"
    wish = f"{short} runs {'0 times' if times == 0 else wish}{with_state}"
    uncommitted = waiting_for_commit(history, task) if times != 0 else None
    raise CeleryflowAssertionError(
        _ran_text(head, wish, runs, history, waiting(), uncommitted),
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


def _ran_text(
    head: str,
    wish: str,
    runs: Sequence[Execution],
    history: History,
    waiting: Sequence[str] = (),
    uncommitted: str | None = None,
) -> str:
    lines = [head, "", f"Expected: {wish}"]
    if runs:
        said = [f"{e.label} {e.state}" + (f" ({e.error!r})" if e.error else "") for e in runs]
        lines += _listed("Instead:  ", said)
    elif waiting:
        more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
        verb = "waits" if len(waiting) == 1 else "wait"
        lines.append(f"Instead:  it did not run; {', '.join(waiting[:_SHOWN])}{more} still {verb}")
        lines.append("Next:     flow.drain() does what waits; flow.run() publishes and does it.")
    else:
        ran = list(dict.fromkeys(e.label for e in history.executions()))
        lines.append(f"Instead:  it did not run; {', '.join(ran[:8]) or 'nothing'} did")
    if uncommitted is not None:
        lines += ["", uncommitted]
    return "\n".join([*lines, "", timeline(history, limit=20)])
