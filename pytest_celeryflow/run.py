"""Questions about one workflow, answered from its history: `Run`, `TaskRuns`, `Verdict`.

Knows nothing of Celery and nothing of the mode that ran the workflow.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pytest_celeryflow.errors import CeleryflowError, WorkflowStalled
from pytest_celeryflow.following import ends
from pytest_celeryflow.history import Execution, History
from pytest_celeryflow.report.timeline import timeline

if TYPE_CHECKING:
    from pytest_celeryflow.shape._model import Shape

__all__ = ["Column", "Outcome", "Run", "TaskRuns", "Verdict", "short_name", "task_name"]

_T_co = TypeVar("_T_co", covariant=True)

#: Tasks that Celery and its official pytest plugin bring along (`pytest_celery/vendors/worker/tasks.py`,
#: shared with every app): never meant by a last part, nor worth a suggestion.
_BROUGHT = ("celery.", "pytest_celery.")


class Column(tuple[_T_co, ...]):
    """A tuple that equals a list of the same items, as one is written in a test.

    ``run[task].attempts_at == [0, 60, 180]`` says what is meant; that what a history tells
    cannot be changed is no reason for it to be false.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(tuple(other) if isinstance(other, list) else other)

    def __ne__(self, other: object) -> bool:
        return super().__ne__(tuple(other) if isinstance(other, list) else other)

    __hash__ = tuple.__hash__


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
    if len(ending) > 1:
        ending = [n for n in ending if not n.startswith(_BROUGHT)] or ending
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise ValueError(f"task {name!r} is not unique: it could be {', '.join(ending)}")
    own = sorted(n for n in names if not n.startswith(_BROUGHT))
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

    lost: Column[str] = field(default_factory=Column)
    duplicated: Column[str] = field(default_factory=Column)
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
    def ids(self) -> Column[str]:
        """The distinct tasks, by id, in order of their first start."""
        return Column(dict.fromkeys(e.id for e in self._executions))

    @property
    def retries(self) -> int:
        """How many of the executions were retries."""
        return sum(e.retries > 0 for e in self._executions)

    @property
    def attempts_at(self) -> Column[float]:
        """When each began, in seconds since the workflow began."""
        return Column(round(e.started_at - self._began, 6) for e in self._executions)

    @property
    def states(self) -> Column[str]:
        """The state of each."""
        return Column(e.state for e in self._executions)

    @property
    def args(self) -> Column[tuple[Any, ...]]:
        """The positional arguments of each."""
        return Column(e.args for e in self._executions)

    @property
    def kwargs(self) -> Column[Mapping[str, Any]]:
        """The keyword arguments of each."""
        return Column(e.kwargs for e in self._executions)

    @property
    def results(self) -> Column[Any]:
        """What each returned; ``None`` for one that did not."""
        return Column(e.result for e in self._executions)

    @property
    def errors(self) -> Column[Any]:
        """The exception of each; ``None`` for one that had none."""
        return Column(e.error for e in self._executions)


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
                "mode 'eager' publishes nothing, and a shape is made of what was published\n\n"
                "Next: use mode 'sim' or 'worker', or shape(canvas, as_sent=True)."
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
        lost = Column(label for id_, label in published.items() if id_ not in ended)
        twice = Column(published[id_] for id_, times in finished.items() if times > 1)
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

        The end is that of the body: Celery stores a result, and tells of it, when the next
        step of a chain may have begun already.

        Raises:
            ValueError: One of them was not executed.
        """
        first, second = self._spans(a), self._spans(b)
        start = min(begin for begin, _ in second)
        return all(end is not None and end <= start for _, end in first)

    def overlapped(self, a: Any, b: Any) -> bool:
        """Whether an execution of ``a`` and one of ``b`` were under way at the same time.

        Raises:
            ValueError: One of them was not executed.
        """
        last = self.history[-1].number + 1
        spans_a, spans_b = (
            [(begin, last if end is None else end) for begin, end in self._spans(task)]
            for task in (a, b)
        )
        return any(x != y and x[0] < y[1] and y[0] < x[1] for x in spans_a for y in spans_b)

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

    def _spans(self, task: Any) -> list[tuple[int, int | None]]:
        """From and to of each execution, as positions in the history; ``None``: not ended."""
        name = self._executed(task).task
        ended = ends(self.history)
        return [
            (event.number, ended.get(event.execution or 0))
            for event in self.history.only("started")
            if event.task == name
        ]

    def __repr__(self) -> str:
        times = len(self._executions)
        return f"<Run {self.state}: {times} executions in {self.elapsed:g} s>"


_FINISHED = frozenset({"succeeded", "failed", "ignored", "rejected", "revoked", "expired"})
