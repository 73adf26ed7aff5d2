"""What was seen of one workflow in one mode, and what differs between modes.

A fact is a few words under a name, such as ``executions of charge``: two modes did the same
if all their facts are equal. Everything is read from a `Run` and the canvas that was published.

Not compared: texts of exceptions, which hold ids and addresses, and lengths of time below
five seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery.canvas import Signature

from pytest_celeryflow.durations import duration
from pytest_celeryflow.errors import WorkflowStalled
from pytest_celeryflow.history import Opaque
from pytest_celeryflow.run import Run, short_name
from pytest_celeryflow.shape import shape

__all__ = [
    "ASPECTS",
    "Difference",
    "Seen",
    "accepted",
    "check_ignore",
    "check_tasks",
    "differences",
]

#: What is compared, in the order of the table.
ASPECTS = (
    "value",
    "state",
    "exception",
    "raised",
    "executions",
    "retries",
    "errbacks",
    "arguments",
    "order",
    "elapsed",
)

#: What took this much longer in one mode than in another, in seconds, took longer. Some modes run
#: in real time, on machines that have other things to do.
_LONGER = 5.0
_NOTHING = "–"
_WIDEST = 40


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same in all modes.

    Attributes:
        aspect: One of `ASPECTS`.
        what: The aspect, and the task that it is about: ``"value"``, ``"executions of charge"``.
        seen: Mode -> what it was there, in words.
    """

    aspect: str
    what: str
    seen: Mapping[str, str]

    def __str__(self) -> str:
        told = ", ".join(f"{mode}: {value}" for mode, value in self.seen.items())
        return f"{self.what} ({told})"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one mode did with one workflow.

    Attributes:
        canvas: What was published.
        run: What came of it, or ``None`` if publishing raised.
        raised: What publishing raised, or ``None``.
    """

    canvas: Any
    run: Run | None = None
    raised: BaseException | None = None

    @property
    def error(self) -> BaseException | None:
        """What the workflow raised, wherever it did."""
        if self.run is None:
            return self.raised
        hung = self.run.verdict.hung
        return self.run.error if hung is None else WorkflowStalled(hung)

    def facts(self) -> dict[tuple[str, str], str]:
        """(Aspect, task or nothing) -> what it was, in words."""
        told = {
            ("value", ""): self._value(),
            ("state", ""): self.run.state if self.run is not None else "never published",
            ("exception", ""): _NOTHING if self.error is None else type(self.error).__name__,
            ("raised", ""): self._where(),
        }
        if self.run is None:
            return told
        errbacks = _errbacks(self.canvas)
        executions = {e.label + str(n): e for n, e in enumerate(self.run.executions)}
        called = {k for k, e in executions.items() if _is_errback(e.id, e.task, errbacks)}
        counted = Counter(short_name(e.task) for k, e in executions.items() if k not in called)
        retried = Counter(short_name(e.task) for e in executions.values() if e.retries)
        calls = Counter(short_name(e.task) for k, e in executions.items() if k in called)
        told |= {("executions", name): str(times) for name, times in counted.items()}
        told |= {("retries", name): str(retried[name]) for name in counted}
        told |= {("errbacks", name): _times(times) for name, times in calls.items()}
        kinds: dict[str, dict[str, None]] = {}
        for execution in executions.values():
            given = ", ".join(_kind(a) for a in (*execution.args, *execution.kwargs.values()))
            kinds.setdefault(short_name(execution.task), {})[f"({given})"] = None
        told |= {("arguments", name): " or ".join(sorted(each)) for name, each in kinds.items()}
        return told

    def _value(self) -> str:
        if self.error is not None or self.run is None:
            return _NOTHING
        return _short(repr(self.run.value))

    def _where(self) -> str:
        if self.error is None:
            return _NOTHING
        if self.run is None or (self.run.result is None and self.run.error is not None):
            by = "by apply_async()"
        elif self.run.verdict.hung is not None:
            return "never: it hangs"
        else:
            by = "by result.get()"
        bodies = [] if self.run is None else [e for e in self.run.executions if e.error is not None]
        names = [short_name(e.task) for e in bodies if _same_error(e.error, self.error)]
        return f"{by}, in {names[-1]}" if names else f"{by}, in no task"


def _same_error(one: Any, other: BaseException) -> bool:
    return one is other or (type(one).__name__ == type(other).__name__ and str(one) == str(other))


def _errbacks(canvas: Any) -> frozenset[str]:
    """Names of tasks that a canvas has for nothing but errbacks."""
    if not isinstance(canvas, Signature):
        return frozenset()
    whole = shape(canvas)
    errbacks = {task.name for node in whole.walk() for e in node.errbacks for task in e.tasks()}
    return frozenset(errbacks - {task.name for task in whole.tasks()})


def _is_errback(id_: str, task: str, errbacks: frozenset[str]) -> bool:
    return "/errback-" in id_ or task in errbacks  # the first: `recorder.called_in_place`


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _kind(value: Any) -> str:
    if isinstance(value, Opaque):
        return "…"  # what Celery gives an errback that it calls in place
    if isinstance(value, list | tuple) and value:
        inner = " | ".join(sorted({_kind(each) for each in value}))
        return f"{type(value).__name__}[{inner}]"
    return type(value).__name__


# --- what differs ---


def differences(seen: Mapping[str, Seen]) -> list[Difference]:
    """What is not the same in all modes, the outcome first.

    Args:
        seen: Mode -> what it did.
    """
    found = [*_facts_that_differ(seen), *_orders(seen), *_lengths(seen)]
    return sorted(found, key=lambda difference: ASPECTS.index(difference.aspect))


def _facts_that_differ(seen: Mapping[str, Seen]) -> Iterator[Difference]:
    facts = {mode: each.facts() for mode, each in seen.items()}
    for aspect, task in dict.fromkeys(key for told in facts.values() for key in told):
        absent = _ABSENT.get(aspect, _NOTHING)
        values = {mode: told.get((aspect, task), absent) for mode, told in facts.items()}
        # What was not executed was given nothing: that is told by its executions.
        apart = {v for v in values.values() if (aspect, v) != ("arguments", _NOTHING)}
        if len(apart) > 1:
            yield Difference(aspect, _what(aspect, task), values)


#: What it was in a mode in which it was not.
_ABSENT = {
    "executions": "0",
    "retries": "0",
    "errbacks": "never",
}


def _what(aspect: str, task: str) -> str:
    if aspect == "errbacks":
        return f"errback {task} called"
    return f"{aspect} of {task}" if task else aspect


def _orders(seen: Mapping[str, Seen]) -> Iterator[Difference]:
    """Pairs of tasks that one mode runs one after the other and another the other way round."""
    runs = {mode: each.run for mode, each in seen.items() if each.run is not None}
    names = [{e.task for e in run.executions} for run in runs.values()]
    common = sorted(set.intersection(*names)) if len(names) == len(seen) and names else []
    for i, one in enumerate(common):
        for other in common[i + 1 :]:
            a, b = short_name(one), short_name(other)
            told = {mode: _order(run, one, other) for mode, run in runs.items()}
            if {1, -1} <= set(told.values()):
                words = {1: f"{a} first", 0: "side by side", -1: f"{b} first"}
                seen_as = {mode: words[order] for mode, order in told.items()}
                yield Difference("order", f"order of {a} and {b}", seen_as)


def _order(run: Run, one: str, other: str) -> int:
    if run.happened_before(one, other):
        return 1
    return -1 if run.happened_before(other, one) else 0


def _lengths(seen: Mapping[str, Seen]) -> Iterator[Difference]:
    took = {mode: each.run.elapsed for mode, each in seen.items() if each.run is not None}
    if len(took) == len(seen) and max(took.values()) - min(took.values()) >= _LONGER:
        told = {mode: duration(int(seconds)) for mode, seconds in took.items()}
        yield Difference("elapsed", "elapsed", told)


# --- what is accepted ---


def check_ignore(ignore: Any) -> tuple[str, ...]:
    """Differences that are accepted, as a tuple.

    Raises:
        ValueError: One is neither an aspect nor an aspect of a task; those are listed.
    """
    if isinstance(ignore, str) or not isinstance(ignore, Sequence | set | frozenset):
        raise ValueError(f"ignore={ignore!r} must be a tuple of {_VALID}")
    for each in ignore:
        aspect, of, task = str(each).partition(" of ")
        if aspect not in ASPECTS or (of and (aspect not in _OF_A_TASK or not task)):
            raise ValueError(f"ignore={ignore!r}: {each!r} is not one of {_VALID}")
    return tuple(map(str, ignore))


_OF_A_TASK = ("executions", "retries", "errbacks", "arguments")
_VALID = (
    f"{', '.join(map(repr, ASPECTS))}; {', '.join(map(repr, _OF_A_TASK))} also of one task, "
    "as in 'executions of charge'"
)


def check_tasks(ignore: Sequence[str], seen: Iterable[Seen]) -> None:
    """Check that the tasks of accepted differences are tasks that were executed.

    Raises:
        ValueError: One was executed in no mode; those that were are listed.
    """
    runs = [each.run for each in seen if each.run is not None]
    names = dict.fromkeys(short_name(e.task) for run in runs for e in run.executions)
    for each in ignore:
        task = each.partition(" of ")[2]
        if task and task not in names:
            raise ValueError(
                f"ignore: {each!r} names a task that was not executed; executed were "
                f"{', '.join(names) or 'none'}"
            )


def accepted(difference: Difference, ignore: Sequence[str]) -> bool:
    """Whether a difference is one that is accepted."""
    task = difference.what.removeprefix("errback ").removesuffix(" called").rpartition(" of ")[2]
    return difference.aspect in ignore or f"{difference.aspect} of {task}" in ignore
