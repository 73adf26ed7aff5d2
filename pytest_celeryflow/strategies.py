"""Hypothesis strategies: random workflows over your own tasks, random orders, random faults.

```python
@given(canvases([add, double, total]), schedules())
def test_any_workflow(canvas, schedule):
    with simulate(app) as flow:
        flow.follow(schedule)
        assert flow.run(canvas).verdict.ok
```

A context manager belongs into the test's body, as above: Hypothesis calls the body many times,
and a pytest fixture would be one for all of them.

The only file that imports Hypothesis (6.100 or later). Celery's own canvas classes are called
as a user would call them; what Celery makes of the canvas is not modelled here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from celery import Task
from celery.canvas import Signature
from celery.local import PromiseProxy
from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument, ResolutionFailed
from hypothesis.strategies import DrawFn, SearchStrategy

from pytest_celeryflow.durations import seconds
from pytest_celeryflow.explore.drawn import Schedule
from pytest_celeryflow.explore.explorer import FAULTS
from pytest_celeryflow.explore.fault_plan import KINDS as FAULT_KINDS
from pytest_celeryflow.explore.fault_plan import FaultPlan, PlannedFault
from pytest_celeryflow.explore.grammar import KINDS, NOTHING, Bounds, Drawing, Part
from pytest_celeryflow.explore.takes import ANYTHING, Takes, takes
from pytest_celeryflow.faults import CrashPoint
from pytest_celeryflow.shape import shape

__all__ = ["KINDS", "FaultPlan", "PlannedFault", "Schedule", "canvases", "fault_plans", "schedules"]

Arguments = Sequence[SearchStrategy[Any]] | Mapping[str, SearchStrategy[Any]]


def schedules(*, steps: int = 50, max_delays: int = 4) -> SearchStrategy[Schedule]:
    """Orders in which things can happen, for ``flow.follow(schedule)`` in mode ``sim``.

    They shrink towards the default order: fewer delays, and earlier ones.

    Args:
        steps: Delays come at the first so many choices. A task of a workflow takes about ten.
        max_delays: The most delays. One or two find most bugs of order.

    Raises:
        ValueError: An argument is not valid.
    """
    _whole("steps", steps, least=1)
    _whole("max_delays", max_delays, least=0)
    numbers = st.lists(st.integers(0, steps - 1), max_size=max_delays)
    return numbers.map(lambda drawn: Schedule(tuple(sorted(drawn))))


def fault_plans(
    tasks: Iterable[Any],
    *,
    faults: Sequence[str] = FAULTS,
    max_faults: int = 1,
    nth: int = 2,
    points: Sequence[CrashPoint] = tuple(CrashPoint),
    delay: Any = 5.0,
) -> SearchStrategy[FaultPlan]:
    """What can go wrong, for ``flow.follow(plan)``.

    They shrink towards no fault at all, and each fault towards the first kind and task.

    Args:
        tasks: The tasks that faults may concern; also by their full names.
        faults: Which may strike: some of ``"crash"``, ``"duplicate"``, ``"drop"``, ``"delay"``
            (these by default), ``"redeliver"``, ``"fail"``, ``"hang"``: as `flow.faults` has them.
        max_faults: The most faults in one plan.
        nth: A fault strikes at one of the first so many executions or messages of its task.
        points: Where a crash may strike.
        delay: How long a delay takes: seconds, text or a ``timedelta``.

    Raises:
        ValueError: An argument is not valid; the message lists what is.
    """
    names = tuple(_task_name(task) for task in _listed(tasks))
    kinds = _some_of("faults", faults, FAULT_KINDS)
    _not_empty(tasks=names, faults=kinds)
    for point in points:
        if not isinstance(point, CrashPoint):
            valid = ", ".join(f"CrashPoint.{each.name}" for each in CrashPoint)
            raise ValueError(f"points: {point!r} is not one of {valid}")
    if "crash" in kinds:
        _not_empty(points=points)
    _whole("max_faults", max_faults, least=0)
    _whole("nth", nth, least=1)
    by = seconds(delay, argument="delay")

    @st.composite
    def planned(draw: DrawFn) -> PlannedFault:
        kind, task = draw(st.sampled_from(kinds)), draw(st.sampled_from(names))
        number = draw(st.integers(1, nth))
        if kind == "crash":
            at = draw(st.sampled_from(list(points)))
            kills = draw(st.sampled_from(at.victims))
            return PlannedFault(kind, task, number, at=at, kills=kills)
        return PlannedFault(kind, task, number, by=by if kind == "delay" else None)

    return st.lists(planned(), max_size=max_faults, unique=True).map(
        lambda drawn: FaultPlan(tuple(drawn))
    )


def canvases(
    tasks: Iterable[Any] | Mapping[Any, Arguments],
    *,
    kinds: Sequence[str] = KINDS,
    bodies: Iterable[Any] | None = None,
    max_tasks: int = 8,
    max_depth: int = 3,
) -> SearchStrategy[Signature]:
    """Workflows over your own tasks that Celery accepts, shrinking to a single signature.

    What a task gives is the first argument of the next one in a chain, and what a group gives,
    a list, is that of a chord's body, or else the next signature is immutable. Where both are
    annotated, a task is given only what it takes.

    Args:
        tasks: The tasks. How many arguments each needs is read off its signature; their values
            are drawn by its annotations (`hypothesis.strategies.from_type`, as far as JSON
            carries them), and small whole numbers where there is none. To say it yourself, give
            a mapping: task -> strategies of its arguments, in order or by name:
            ``{charge: [st.integers(1)], notify: {"who": st.emails()}}``.
        kinds: What is drawn, some of ``"signature"``, ``"immutable"`` (``task.si()``), ``"link"``
            (a callback), ``"errback"``, ``"chain"``, ``"group"``, ``"chord"``, ``"map"``,
            ``"starmap"``, ``"chunks"``.
        bodies: Tasks that can be given a list of results as their first argument; by default
            those whose first parameter is annotated as a list or another sequence. Others
            come after a group only as immutable signatures.
        max_tasks: The most signatures in one workflow, callbacks and errbacks included. One that
            maps counts once.
        max_depth: How deep a canvas may lie in another.

    Raises:
        ValueError: An argument is not valid, or no value is known for a parameter of a task;
            the message says what to give.
    """
    known = {_task(task): None for task in _listed(tasks)}
    _not_empty(tasks=known)
    given: Mapping[Any, Arguments] = tasks if isinstance(tasks, Mapping) else {}
    told = {_task(task): arguments for task, arguments in given.items()}
    listed = None if bodies is None else {_task(task) for task in bodies}
    if listed is not None and (strange := listed - known.keys()):
        raise ValueError(f"bodies: {', '.join(t.name for t in strange)} is not one of tasks")
    chosen = _some_of("kinds", kinds, KINDS)
    _not_empty(kinds=chosen)
    if not set(chosen) - {"link", "errback", "chain", "group", "chord"}:
        chosen = ("signature", *chosen)  # of which the others are made
    _whole("max_tasks", max_tasks, least=1)
    _whole("max_depth", max_depth, least=0)
    parts = tuple(_part(task, told.get(task), listed) for task in known)
    bounds = Bounds(parts, chosen, max_tasks, max_depth)
    if not Drawing(_NO_DICE, bounds).possible(max_depth, NOTHING):
        raise ValueError(
            f"kinds={kinds!r}: none can be made of {', '.join(p.task.name for p in parts)} with "
            f"max_tasks={max_tasks} and max_depth={max_depth}"
        )
    return _canvas(bounds)


@st.composite
def _canvas(draw: DrawFn, bounds: Bounds) -> Signature:
    canvas = Drawing(_Dice(draw), bounds).canvas(bounds.depth, NOTHING)[0]
    if currently_in_test_context():  # Celery's own repr leaves out what a reader must know
        note(f"canvas: {shape(canvas)}")
    return canvas


class _Dice:
    """Hypothesis's."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def pick(self, options: Sequence[Any]) -> Any:
        """See `Dice`."""
        return options[self.between(0, len(options) - 1)]

    def between(self, least: int, most: int) -> int:
        """See `Dice`."""
        return self._draw(_integers(least, most)) if least < most else least

    def value(self, values: SearchStrategy[Any]) -> Any:
        """See `Dice`."""
        return self._draw(values)

    def rows(self, values: Sequence[SearchStrategy[Any]], least: int) -> list[tuple[Any, ...]]:
        """See `Dice`."""
        return self._draw(_rows(tuple(values), least))


@cache
def _integers(least: int, most: int) -> SearchStrategy[int]:
    """Made once: making and checking a strategy takes longer than drawing from it."""
    return st.integers(least, most)


@lru_cache(maxsize=64)
def _rows(values: tuple[SearchStrategy[Any], ...], least: int) -> SearchStrategy[Any]:
    return st.lists(st.tuples(*values), min_size=least, max_size=3)


#: Where nothing is thrown.
_NO_DICE: Any = None


def _part(task: Any, told: Arguments | None, bodies: set[Any] | None) -> Part:
    """A task, and the strategies of its arguments: those that were told, the others by type."""
    read = takes(task)
    body = read.a_list if bodies is None else task in bodies
    if told is None:
        told = {}
    if not isinstance(told, Mapping):
        if not len(read.positional) <= len(told) <= read.most:
            needs = ", ".join(read.positional) or "none"
            raise ValueError(
                f"tasks: {task.name} needs strategies for {needs}, and there are {len(told)}"
            )
        positional, named = tuple(told), _drawn(task, read, dict.fromkeys(read.positional))
    else:
        named = {**_drawn(task, read, told), **told}
        positional = tuple(named.pop(name) for name in read.positional)
    for strategy in (*positional, *named.values()):
        if not isinstance(strategy, SearchStrategy):
            raise ValueError(f"tasks: {strategy!r}, for {task.name}, is not a Hypothesis strategy")
    return Part(task, read, positional, named, body)


def _drawn(task: Any, read: Takes, told: Mapping[str, Any]) -> dict[str, SearchStrategy[Any]]:
    """Strategies for the arguments that a task must be given and nobody told."""
    for name in told:
        if name not in read.annotations:
            valid = ", ".join(read.annotations) or "none"
            raise ValueError(f"tasks: {task.name} has no parameter {name!r}; there are {valid}")
    needed = (*read.positional, *read.keywords)
    return {n: _by_type(task, n, read.annotations[n]) for n in needed if n not in told}


def _by_type(task: Any, name: str, annotation: Any) -> SearchStrategy[Any]:
    if annotation is ANYTHING:
        return st.integers(0, 9)
    if annotation in (list, tuple):
        return st.lists(st.integers(0, 9), max_size=3)
    if annotation in (int, str, bool):
        return st.from_type(annotation)
    try:
        strategy = st.from_type(annotation).filter(_goes_through_json)
        strategy.validate()
    except (InvalidArgument, ResolutionFailed) as exc:
        raise ValueError(
            f"tasks: no value is known for {name!r} of {task.name}, annotated as {annotation!r}; "
            f"give a mapping, {{{task.name.rpartition('.')[2]}: {{{name!r}: a strategy}}}}"
        ) from exc
    return strategy


def _goes_through_json(value: Any) -> bool:
    """Whether a worker is given what was sent: no NaN, no bytes, no set."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _task(task: Any) -> Any:
    """The task behind a proxy, as ``@shared_task`` and a lazy ``@app.task`` make them."""
    if isinstance(task, PromiseProxy):
        task = task._get_current_object()
    if hasattr(task, "_get_current_object"):
        task = task._get_current_object()
    if not isinstance(task, Task):
        raise ValueError(f"tasks: {task!r} is not a task")
    return task


def _listed(tasks: Any) -> list[Any]:
    try:
        return list(tasks)
    except TypeError:
        raise ValueError(f"tasks={tasks!r} must be a list of tasks") from None


def _task_name(task: Any) -> str:
    return task if isinstance(task, str) else str(_task(task).name)


def _whole(name: str, value: Any, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number, {least} or more")


def _some_of(name: str, values: Any, valid: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name}={values!r} must be a list of some of {', '.join(valid)}")
    for value in values:
        if value not in valid:
            raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, valid))}")
    return tuple(each for each in valid if each in set(values))


def _not_empty(**given: Any) -> None:
    for name, value in given.items():
        if not value:
            raise ValueError(f"{name} is empty: name at least one")
