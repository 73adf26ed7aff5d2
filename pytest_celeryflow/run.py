"""Questions about one workflow, answered from its history: `Run`, `TaskRuns`, `Verdict`.

Knows nothing of Celery and nothing of the mode that ran the workflow.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from pytest_celeryflow.errors import CeleryflowError, WorkflowStalled
from pytest_celeryflow.history import Event, Execution, History
from pytest_celeryflow.report.timeline import timeline

if TYPE_CHECKING:
    from pytest_celeryflow.shape._model import Shape

__all__ = ["Outcome", "Run", "TaskRuns", "Verdict", "short_name", "task_name"]


def task_name(task: Any, known: Iterable[str]) -> str:
    """The full name of a task given as a task object, a full name, or a unique last part.

    Args:
        task: What the user gave.
        known: Names of all tasks there are.

    Raises:
        ValueError: It names no task, or several; the nearest ones are listed.
    """
    names = set(known)
    name = getattr(task, "name", task)
    if not isinstance(name, str):
        raise ValueError(
            f"task={task!r} is not a task: give a task object, its full name, or a last dotted "
            "part that is unique"
        )
    if name in names:
        return name
    ending = sorted(n for n in names if n.rpartition(".")[2] == name or n.endswith("." + name))
    if len(ending) > 1:  # tasks that Celery and its pytest plugin bring are not meant
        ending = [n for n in ending if not n.startswith(("celery.", "pytest_celery."))] or ending
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise ValueError(f"task {name!r} is not unique: it could be {', '.join(ending)}")
    own = sorted(n for n in names if not n.startswith("celery."))
    parts = {n.rpartition(".")[2]: n for n in own} | {n: n for n in own}
    near = [parts[part] for part in difflib.get_close_matches(name, parts, n=3)]
    listed = ", ".join(dict.fromkeys(near)) or ", ".join(own[:12]) or "none at all"
    said = "did you mean" if near else "registered are"
    raise ValueError(f"no task {name!r} is registered; {said}: {listed}")


def short_name(task: str) -> str:
    """The last dotted part of a task's name."""
    return task.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a workflow ended, read once when it came to rest.

    Attributes:
        state: Celery's state of its result.
        value: Its value.
        error: What it raised, or ``None``.
        hung: Why it can never end, in words, or ``None``.
    """

    state: str
    value: Any = None
    error: BaseException | None = None
    hung: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What went wrong with a workflow as a whole, as at-least-once delivery sees it.

    Attributes:
        lost: Labels of tasks that were published and never finished: they neither returned
            nor raised. One that Celery reports with ``WorkerLostError`` is among them.
        duplicated: Labels of tasks that finished more than once.
        hung: Why the workflow can never end, in words, or ``None``.
    """

    lost: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    hung: str | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """What went wrong, of ``lost``, ``duplicated`` and ``hung``."""
        return frozenset(n for n in ("lost", "duplicated", "hung") if getattr(self, n))

    @property
    def ok(self) -> bool:
        """Nothing was lost, nothing finished twice, nothing hangs."""
        return not (self.lost or self.duplicated or self.hung)


class TaskRuns(Sequence[Execution]):
    """All executions of one task in one workflow, in order of their start."""

    def __init__(self, task: str, executions: Sequence[Execution], began: float) -> None:
        self.task = task
        self._executions = tuple(executions)
        self._began = began

    def __len__(self) -> int:
        return len(self._executions)

    @overload
    def __getitem__(self, index: int) -> Execution: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Execution]: ...
    def __getitem__(self, index: int | slice) -> Execution | Sequence[Execution]:
        return self._executions[index]

    def __iter__(self) -> Iterator[Execution]:
        return iter(self._executions)

    def __repr__(self) -> str:
        said = ", ".join(f"{e.label} {e.state}" for e in self._executions[:8])
        more = f", … {len(self) - 8} more" if len(self) > 8 else ""  # noqa: PLR2004
        return f"<{len(self)} executions of {self.task}: {said}{more}>"

    @property
    def attempts(self) -> int:
        """How many executions there were: ``len()``."""
        return len(self._executions)

    @property
    def ids(self) -> tuple[str, ...]:
        """The distinct tasks, by id, in order of their first start."""
        return tuple(dict.fromkeys(e.id for e in self._executions))

    @property
    def retries(self) -> int:
        """How many of the executions were retries."""
        return sum(e.retries > 0 for e in self._executions)

    @property
    def attempts_at(self) -> tuple[float, ...]:
        """When each began, in seconds since the workflow began."""
        return tuple(round(e.started_at - self._began, 6) for e in self._executions)

    @property
    def states(self) -> tuple[str, ...]:
        """The state of each."""
        return tuple(e.state for e in self._executions)

    @property
    def args(self) -> tuple[tuple[Any, ...], ...]:
        """The positional arguments of each."""
        return tuple(e.args for e in self._executions)

    @property
    def kwargs(self) -> tuple[Mapping[str, Any], ...]:
        """The keyword arguments of each."""
        return tuple(e.kwargs for e in self._executions)

    @property
    def results(self) -> tuple[Any, ...]:
        """What each returned; ``None`` for one that did not."""
        return tuple(e.result for e in self._executions)

    @property
    def errors(self) -> tuple[Any, ...]:
        """The exception of each; ``None`` for one that had none."""
        return tuple(e.error for e in self._executions)


class Run:
    """One workflow that was published and worked until it was at rest.

    Attributes:
        result: Celery's `AsyncResult` or `GroupResult`.
        history: The events of this workflow.
        elapsed: Seconds from its publication until its rest; virtual in ``sim``.
    """

    def __init__(
        self,
        *,
        result: Any,
        outcome: Outcome,
        history: History,
        ids: Sequence[str],
        began: float,
        elapsed: float,
        tasks: Iterable[str],
    ) -> None:
        self.result = result
        self.history = history
        self.elapsed = elapsed
        self._outcome = outcome
        self._ids = tuple(ids)
        self._began = began
        self._tasks = frozenset(tasks)
        self._executions = history.executions()

    @property
    def value(self) -> Any:
        """What the workflow returned.

        Raises:
            Exception: What the workflow raised.
            WorkflowStalled: It can never end.
        """
        __tracebackhide__ = True
        if self._outcome.hung is not None:
            raise WorkflowStalled(f"{self._outcome.hung}\n\n{self._timeline(limit=40)}")
        if self._outcome.error is not None:
            raise self._outcome.error
        return self._outcome.value

    @property
    def state(self) -> str:
        """Celery's state of the workflow's result; of a group, the worst of its members."""
        return self._outcome.state

    @property
    def error(self) -> BaseException | None:
        """What the workflow raised, or ``None``."""
        return self._outcome.error

    @property
    def executions(self) -> tuple[Execution, ...]:
        """Every attempt of every task, in order of its start."""
        return self._executions

    @property
    def shape(self) -> Shape:
        """What was published, as a `Shape`: what ``shape(canvas, as_sent=True)`` foretells.

        A task that replaced itself gives its place to what it replaced itself with. A task
        that a body published by itself stands beside the canvas, in a group. Links and
        errbacks are shown where they were written; retries and redeliveries are not shown.

        Raises:
            CeleryflowError: Nothing was published, as in mode ``eager``.
        """
        from pytest_celeryflow.shape._ran import ran  # noqa: PLC0415 - only when it is used

        if self._executions and not self.history.only("published"):
            raise CeleryflowError(
                "mode 'eager' publishes nothing, and a shape is made of what was published. "
                "Use mode 'sim' or 'worker', or shape(canvas, as_sent=True)"
            )
        return ran(self.history)

    @property
    def verdict(self) -> Verdict:
        """What was lost, what finished twice, what hangs."""
        finished: dict[str, int] = {}
        ended: set[str] = set()
        cut_off: set[str] = set()
        published: dict[str, str] = {}
        for event in self.history:
            if event.id is None or event.label is None:
                continue
            if event.kind in ("published", "started"):
                published.setdefault(event.id, event.label)
            if event.kind == "succeeded":
                finished[event.id] = finished.get(event.id, 0) + 1
            if event.kind == "lost":
                cut_off.add(event.id)
            reported = event.kind == "failed" and event.execution is None
            if event.kind in _FINISHED and not (reported and event.id in cut_off):
                ended.add(event.id)
        lost = tuple(label for id_, label in published.items() if id_ not in ended)
        twice = tuple(published[id_] for id_, times in finished.items() if times > 1)
        return Verdict(lost, twice, self._outcome.hung)

    def __getitem__(self, task: Any) -> TaskRuns:
        """All executions of a task: a task object, its full name, or a unique last part.

        Raises:
            ValueError: No such task is registered, or several could be meant.
        """
        name = task_name(task, self._tasks | {e.task for e in self._executions})
        return TaskRuns(name, [e for e in self._executions if e.task == name], self._began)

    def happened_before(self, a: Any, b: Any) -> bool:
        """Whether every execution of ``a`` had ended when the first of ``b`` began.

        Raises:
            ValueError: One of them was not executed.
        """
        first, second = self._executed(a), self._executed(b)
        start = min(e.started_at for e in second)
        if any(e.finished_at is None or e.finished_at > start for e in first):
            return False
        order = {(e.kind, e.execution): _place(e) for e in self.history if e.execution}
        begin = min(n for (k, x), n in order.items() if k == "started" and self._is(x, second))
        return all(n < begin for (k, x), n in order.items() if self._is(x, first))

    def overlapped(self, a: Any, b: Any) -> bool:
        """Whether an execution of ``a`` and one of ``b`` were under way at the same time.

        Raises:
            ValueError: One of them was not executed.
        """
        spans_a, spans_b = self._spans(a), self._spans(b)
        return any(
            x != y and x[0] < y[1] and y[0] < x[1] for x in spans_a for y in spans_b
        )

    def untouched(self, task: Any) -> bool:
        """Whether a task was neither published nor executed in this workflow."""
        name = task_name(task, self._tasks | {e.task for e in self._executions})
        return not any(event.task == name for event in self.history)

    def timeline(self) -> str:
        """What happened, as text for a person."""
        return self._timeline(limit=200)

    def _timeline(self, *, limit: int) -> str:
        return timeline(self.history, began=self._began, limit=limit)

    def _executed(self, task: Any) -> TaskRuns:
        runs = self[task]
        if not runs:
            ran = ", ".join(dict.fromkeys(short_name(e.task) for e in self._executions)) or "nothing"
            raise ValueError(f"{short_name(runs.task)} was not executed in this workflow; {ran} was")
        return runs

    def _numbers(self) -> dict[int, Execution]:
        begun = sorted(e.execution for e in self.history.only("started") if e.execution is not None)
        return dict(zip(begun, self._executions, strict=True))

    def _is(self, number: int | None, runs: TaskRuns) -> bool:
        execution = self._numbers().get(number or 0)
        return execution is not None and any(execution is e for e in runs)

    def _spans(self, task: Any) -> list[tuple[float, float]]:
        """From and to of each execution, as positions in the history."""
        runs, numbers = self._executed(task), self._numbers()
        mine = {n for n, e in numbers.items() if any(e is r for r in runs)}
        spans: dict[int, list[float]] = {}
        for event in self.history:
            if event.execution in mine:
                spans.setdefault(event.execution or 0, []).append(_place(event))
        end = self.history[-1].number + 1
        closed = {n for n in mine if numbers[n].finished_at is not None}
        return [(at[0], at[-1] if n in closed else end) for n, at in spans.items()]

    def __repr__(self) -> str:
        times = len(self._executions)
        return f"<Run {self.state}: {times} executions in {self.elapsed:g} s>"


def _place(event: Event) -> float:
    """Where in the history an event belongs: a return is told later than what came of it."""
    returned = event.details.get("returned")
    return event.number if returned is None else returned["number"] - 0.5


_FINISHED = frozenset({"succeeded", "failed", "ignored", "rejected", "revoked", "expired"})
