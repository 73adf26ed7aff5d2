"""What came of a workflow, without anything that rightly differs from run to run.

Ids, times, addresses and the order of what runs side by side are left out. What is left must be
the same in every mode: which tasks ran, who published each, with which arguments, how often, in
which states, with which results, and what happened to its messages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kombu.utils.functional import maybe_list

from pytest_celeryflow import Execution, Flow, Run

from . import tasks as t
from .workflow import Hangs, Raises

__all__ = ["Story", "Told", "differences", "promised", "tell"]

_VARYING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|0x[0-9a-f]+|errback-\d+|Job: \d+|#\d+"
)

#: Its tries depend on time and on the result store, not on the workflow.
_UNLOCK = "celery.chord_unlock"

#: Events that belong to the toolkit, not to a task.
_ASIDE = frozenset({"clock", "fault"})


@dataclass(frozen=True, order=True)
class Story:
    """All that happened to one task.

    Attributes:
        task: Short name.
        parent: Short name of the task that published it, or ``"a header"``; empty for none.
        args: What its first message said.
        attempts: For each execution: retries before it, redelivered or not, state and outcome.
        events: Kinds of its events, sorted, each with how often.
    """

    task: str
    parent: str
    args: str
    attempts: tuple[str, ...]
    events: tuple[str, ...]

    def __str__(self) -> str:
        by = f" by {self.parent}" if self.parent else ""
        ran = "; ".join(self.attempts) or "never ran"
        return f"{self.task}{self.args}{by}: {ran} [{', '.join(self.events)}]"


@dataclass(frozen=True)
class Told:
    """What came of a workflow.

    Attributes:
        end: Its value, `Raises` or `Hangs`.
        state: Celery's state of its result.
        stories: What happened to each task, in no order.
        ran: How often each task was executed.
        disorder: Promises of Celery about the order that were broken.
    """

    end: Any
    state: str
    stories: Counter[Story]
    ran: Counter[str]
    disorder: tuple[str, ...] = ()


def tell(flow: Flow, canvas: Any, loose: frozenset[str] = frozenset()) -> Told:
    """Run a canvas and tell what came of it.

    Args:
        flow: Where.
        canvas: What.
        loose: Tasks whose arguments and results are left out, because Celery promises nothing about them.
    """
    order = promised(canvas)
    run = flow.run(canvas)
    end: Any
    if run.verdict.hung is not None:
        end = Hangs()
    elif run.error is not None:
        end = Raises(type(run.error).__name__, _blank(str(run.error)))
    else:
        end = run.value
    stories = _stories(run, loose)
    ran = Counter(_short(e.task) for e in run.executions if e.task != _UNLOCK)
    return Told(end, run.state, stories, ran, tuple(_disorder(run, order)))


def differences(one: str, left: Told, two: str, right: Told) -> list[str]:
    """What two modes tell differently, as lines for a person; empty when they agree."""
    lines = []
    for name in ("end", "state"):
        a, b = getattr(left, name), getattr(right, name)
        if a != b:
            lines.append(f"{name}: {a!r} on {one}, {b!r} on {two}")
    for who, only in ((one, left.stories - right.stories), (two, right.stories - left.stories)):
        lines += [f"only on {who}: {story}" for story in sorted(only.elements())]
    return lines


# --- stories ---


def _stories(run: Run, loose: frozenset[str]) -> Counter[Story]:
    names = {e.id: _short(e.task or "") for e in run.history if e.id is not None}
    attempts: dict[str, list[str]] = {}
    for execution in run.executions:
        told = _attempt(execution, loose=_short(execution.task) in loose)
        attempts.setdefault(execution.id, []).append(told)
    kinds: dict[str, Counter[str]] = {}
    first: dict[str, Any] = {}
    # Which one of a header ends last, and lets the body go, is nobody's promise.
    header = {e.id for e in run.history.only("published") if e.details.get("chord")}
    for event in run.history:
        if event.id is None or event.task == _UNLOCK or event.kind in _ASIDE:
            continue
        kinds.setdefault(event.id, Counter())[event.kind] += 1
        if event.kind in ("published", "started"):
            first.setdefault(event.id, event.details)
    return Counter(
        Story(
            names[id_],
            _parent(names, header, first.get(id_, {}).get("parent")),
            "(…)" if names[id_] in loose else _args(first.get(id_, {})),
            tuple(attempts.get(id_, ())),
            tuple(kind if n == 1 else f"{kind}*{n}" for kind, n in sorted(count.items())),
        )
        for id_, count in kinds.items()
    )


def _attempt(execution: Execution, *, loose: bool) -> str:
    marks = (f" retry {execution.retries}" * bool(execution.retries)) + (
        " redelivered" * execution.redelivered
    )
    outcome = execution.result if execution.error is None else execution.error
    return f"{execution.state}{marks} {'…' if loose else _text(outcome)}"


def _parent(names: Mapping[str, str], header: set[str | None], parent: str | None) -> str:
    return "a header" if parent in header else names.get(parent or "", "")


def _args(details: Mapping[str, Any]) -> str:
    args = [_text(a) for a in details.get("args", ())]
    return f"({', '.join([*args, *(f'{k}={_text(v)}' for k, v in details.get('kwargs', {}).items())])})"


def _text(value: Any) -> str:
    if isinstance(value, BaseException):
        return _blank(f"{type(value).__name__}: {value}")
    if isinstance(value, (list, tuple)):  # JSON makes lists of tuples
        return f"[{', '.join(map(_text, value))}]"
    return _blank(repr(value))


def _blank(text: str) -> str:
    return _VARYING.sub("…", text)


def _short(task: str) -> str:
    return task.rpartition(".")[2]


# --- order ---


def promised(canvas: Any) -> list[tuple[str, str]]:
    """Pairs of tasks of which a canvas promises that the first has ended when the second begins.

    A chain promises it of its steps, a chord of its header and body. Tasks that stand at both
    ends of such a promise, in a group beside it, or that another calls, are left out: by name
    they cannot be told apart.
    """
    pairs: set[tuple[str, str]] = set()
    total: Counter[str] = Counter()
    within: Counter[tuple[str, str]] = Counter()
    _walk(canvas, pairs, total, within)
    return sorted(
        (a, b)
        for a, b in pairs
        if a != b and (b, a) not in pairs and within[a, b] == total[a] * total[b]
    )


def _walk(
    canvas: Any,
    pairs: set[tuple[str, str]],
    total: Counter[str],
    within: Counter[tuple[str, str]],
) -> list[str]:
    """Note what a canvas promises; the tasks in it."""
    inside = canvas.get("kwargs") or {}
    kind = canvas.get("subtask_type")
    if kind == "chain":
        parts = [_walk(part, pairs, total, within) for part in inside["tasks"]]
    elif kind == "group":
        return [name for part in inside["tasks"] for name in _walk(part, pairs, total, within)]
    elif kind == "chord":
        header = inside["header"]
        members = [header] if isinstance(header, Mapping) else list(header)
        before = [name for part in members for name in _walk(part, pairs, total, within)]
        parts = [before, _walk(inside["body"], pairs, total, within)]
    else:
        total[canvas["task"]] += 1
        if canvas["task"] == t.replaced_by_collect.name:
            total[t.collect.name] += 1
        for called in ("link", "link_error"):
            total.update(each["task"] for each in maybe_list(canvas["options"].get(called)) or ())
        return [canvas["task"]]
    for index, before in enumerate(parts):
        for after in parts[index + 1 :]:
            for a in before:
                for b in after:
                    pairs.add((a, b))
                    within[a, b] += 1
    return [name for part in parts for name in part]


def _disorder(run: Run, order: list[tuple[str, str]]) -> Iterator[str]:
    """Promises that were broken."""
    begun: dict[str, float] = {}
    # An errback of a chord's body may be called for a body that never was published.
    known = {e.id for e in run.history}
    for place, execution in enumerate(run.executions):
        begun.setdefault(execution.id, place)
        if execution.parent in begun and begun[execution.parent] > place:
            yield f"{execution.label} began before the task that published it"
        if execution.parent in known and execution.parent not in begun:
            yield f"{execution.label} began before the task that published it"
    counted = Counter(e.task for e in run.executions)
    # What was carried out twice goes on twice: the second may end after the first went on.
    twice = {e.task for e in run.executions if run.verdict.duplicated and e.state == "SUCCESS"}
    for a, b in order:
        if a not in twice and counted[a] and counted[b] and not run.happened_before(a, b):
            yield f"{_short(b)} began before {_short(a)} had ended"
