"""Runs one function over many schedules and faults, and brings back the smallest failure."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from celery import Celery

from pytest_celeryflow.arguments import check_app, check_arguments
from pytest_celeryflow.contexts import simulate
from pytest_celeryflow.databases import rolled_back
from pytest_celeryflow.durations import seconds
from pytest_celeryflow.explore.collecting import collecting_between
from pytest_celeryflow.explore.crash_points import CrashPoints
from pytest_celeryflow.explore.depth_first import DepthFirst
from pytest_celeryflow.explore.pct import Pct
from pytest_celeryflow.explore.recipe import Departure, Recipe, departures
from pytest_celeryflow.explore.replay import Nearly, Replay, ReplayMismatch
from pytest_celeryflow.explore.result import Exploration, Failure
from pytest_celeryflow.explore.shrink import shrink
from pytest_celeryflow.explore.story import unstable
from pytest_celeryflow.explore.uniform import Uniform
from pytest_celeryflow.history import History
from pytest_celeryflow.local_tasks import local_tasks_forgotten
from pytest_celeryflow.sim.choosing import Choosing
from pytest_celeryflow.sim.oracle import Oracle, Step

if TYPE_CHECKING:
    from pytest_celeryflow.flow import Flow

__all__ = ["FAULTS", "STRATEGIES", "Explored", "Plan", "checked", "explore"]

#: Kinds of faults that an exploration can inject.
FAULTS = ("crash", "duplicate", "drop", "delay")
STRATEGIES = ("random", "pct", "dfs", "crash_points")

#: The most schedules of a strategy that ends by itself.
_ALL = 10_000


@dataclass(frozen=True, slots=True)
class Explored:
    """One run of the function.

    Attributes:
        steps: The choices that were made.
        history: What happened.
        error: What it raised, or ``None``.
        wishes: `Flow.sometimes` conditions, and whether they were true.
        verdicts: Of its workflows: how often ``lost``, ``duplicated``, ``hung``.
    """

    steps: tuple[Step, ...]
    history: History
    error: BaseException | None
    wishes: dict[str, bool] = field(default_factory=dict)
    verdicts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is explored, and how: checked arguments.

    Attributes:
        function: Called with each new flow.
        app: The app.
        strategy: One of `STRATEGIES`.
        runs: The most schedules.
        faults: Some of `FAULTS`.
        max_faults: The most in one schedule.
        delay: Seconds that a delay takes.
        seed: Of ids and random numbers, and of the strategy.
        attempts: The most runs that shrinking may take.
        options: Further arguments of `simulate`.
    """

    function: Callable[[Flow], Any]
    app: Celery
    strategy: str = "random"
    runs: int = 100
    faults: tuple[str, ...] = FAULTS
    max_faults: int = 1
    delay: float = 5.0
    seed: int = 0
    attempts: int = 300
    options: dict[str, Any] = field(default_factory=dict)

    def oracle(self) -> Oracle:
        """A new one of the strategy."""
        if self.strategy == "pct":
            return Pct(self.runs, self.max_faults, self.seed)
        if self.strategy == "dfs":
            return DepthFirst(self.runs)
        if self.strategy == "crash_points":
            return CrashPoints(self.runs)
        return Uniform(self.runs, self.max_faults, self.seed)

    def run(self, oracle: Oracle) -> Explored:
        """Run the function once, under an oracle that has begun."""
        choosing = Choosing(oracle, faults=self.faults, max_faults=self.max_faults, delay=self.delay)
        error: BaseException | None = None
        with ExitStack() as opening:
            opening.enter_context(local_tasks_forgotten())
            opening.enter_context(rolled_back())
            flow = opening.enter_context(simulate(self.app, seed=self.seed, **self.options))
            flow.explored_by(choosing)
            opened = opening.pop_all()
        try:
            with opened:
                self.function(flow)
        except ReplayMismatch:
            raise
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as exc:
            if type(exc).__name__ in ("Skipped", "Exit"):
                raise
            error = exc
        oracle.end(choosing.steps)
        return Explored(
            tuple(choosing.steps), flow.history, error, dict(flow.wishes), flow.verdicts
        )

    def recipe(self, steps: Sequence[Departure]) -> Recipe:
        """How to make a schedule that departs so."""
        return Recipe(self.seed, self.faults, self.max_faults, self.delay, tuple(steps))

    def again(self, recipe: Recipe) -> Explored:
        """Run the function once more, exactly as it was.

        Raises:
            ReplayMismatch: That is not possible.
        """
        return self.run(Replay(recipe.departures))

    def nearly(self, recipe: Recipe) -> Explored:
        """Run the function once more, as nearly as it goes."""
        return self.run(Nearly(recipe.departures))


def explore(
    fn: Callable[[Flow], Any],
    app: Celery,
    *,
    runs: int | None = None,
    strategy: str = "random",
    faults: Sequence[str] | None = None,
    max_faults: int = 1,
    seed: int | None = None,
    replay: str | None = None,
    delay: Any = 5.0,
    shrink_runs: int = 300,
    **options: Any,
) -> Exploration:
    """Run a function over many schedules and faults.

    Each run has a simulation of its own, in which an oracle chooses what comes next. A run
    that raises is a failure: it is made smaller, and exploration ends.

    Args:
        fn: Called with each new `Flow`; a test's body.
        app: The app.
        runs: The most schedules; by default 100, and for the strategies that end by
            themselves (``dfs``, ``crash_points``) 10,000.
        strategy: ``"random"``, ``"pct"``, ``"dfs"`` or ``"crash_points"``.
        faults: Which may strike: ``"crash"``, ``"duplicate"``, ``"drop"``, ``"delay"``; by
            default all of them, and crashes alone for ``crash_points``.
        max_faults: The most of them in one schedule.
        seed: Of the strategy, and of ids and random numbers; ``None``: 0.
        replay: Run one schedule alone: the string that a failed exploration printed.
        delay: How long a delay takes: seconds, text or a ``timedelta``.
        shrink_runs: The most runs that making a failure smaller may take.
        options: Further arguments of `simulate`.

    Returns:
        How many schedules there were, and the failure, if any. Nothing is raised for it:
        see `Exploration.check`.

    Raises:
        TypeError: ``fn`` cannot be called, ``app`` is no app, or there is no such argument.
        ValueError: An argument is not valid; the message lists what is.
        ReplayMismatch: The replay no longer fits.
    """
    __tracebackhide__ = True
    if not callable(fn):
        raise TypeError(f"fn={fn!r} cannot be called; it is a function that is given a flow")
    check_app(app)
    plan = Plan(
        fn,
        app,
        **checked(
            runs=runs,
            strategy=strategy,
            faults=faults,
            max_faults=max_faults,
            seed=seed,
            delay=delay,
            shrink_runs=shrink_runs,
            **options,
        ),
    )
    if replay is not None:
        return _replayed(plan, Recipe.read(replay))
    return _explored(plan)


def checked(
    *,
    runs: int | None = None,
    strategy: str = "random",
    faults: Sequence[str] | None = None,
    max_faults: int = 1,
    seed: int | None = None,
    delay: Any = 5.0,
    shrink_runs: int = 300,
    **options: Any,
) -> dict[str, Any]:
    """What a `Plan` is made of, besides the function and the app.

    Raises:
        TypeError: There is no such argument.
        ValueError: One is not valid; the message lists what is.
    """
    valid = [name for name in inspect.signature(simulate).parameters if name not in ("app", "seed")]
    for name in options:
        if name not in valid:
            raise TypeError(f"explore() has no argument {name!r}; of simulate() it takes {', '.join(valid)}")
    check_arguments("sim", options)
    return {
        "strategy": _one_of("strategy", strategy, STRATEGIES),
        "runs": _runs(runs, strategy),
        "faults": _faults(faults, strategy),
        "max_faults": _whole("max_faults", max_faults, least=0),
        "delay": seconds(delay, argument="delay"),
        "seed": 0 if seed is None else _whole("seed", seed, least=0),
        "attempts": _whole("shrink_runs", shrink_runs, least=0),
        "options": options,
    }


def _replayed(plan: Plan, recipe: Recipe) -> Exploration:
    plan = replace(
        plan,
        seed=recipe.seed,
        faults=recipe.faults,
        max_faults=recipe.max_faults,
        delay=recipe.delay,
    )
    schedule = plan.again(recipe)
    found = Exploration(
        strategy="replay", schedules=1, histories=1, verdicts=Counter(schedule.verdicts)
    )
    if schedule.error is not None:
        found.failure = Failure(schedule.error, recipe, schedule.steps, schedule.history)
    return found


def _explored(plan: Plan) -> Exploration:
    with collecting_between() as collect:
        return _searched(plan, collect)


def _searched(plan: Plan, collect: Callable[[], None]) -> Exploration:
    oracle = plan.oracle()
    found = Exploration(strategy=plan.strategy)
    digests: set[str] = set()
    while oracle.begin(found.schedules):
        schedule = plan.run(oracle)
        collect()
        found.schedules += 1
        digests.add(schedule.history.digest())
        found.histories = len(digests)
        found.verdicts.update(schedule.verdicts)
        for name, true in schedule.wishes.items():
            found.wishes[name] = found.wishes.get(name, False) or true
        if schedule.error is not None:
            found.failure = _smallest(plan, schedule)
            return found
    found.complete = bool(getattr(oracle, "complete", False))
    return found


def _smallest(plan: Plan, schedule: Explored) -> Failure:
    """Make a failure smaller, after checking that it happens again."""
    assert schedule.error is not None
    recipe = plan.recipe(departures(schedule.steps))
    failure = Failure(schedule.error, recipe, schedule.steps, schedule.history)
    try:
        second = plan.again(recipe)
    except ReplayMismatch as exc:
        failure.unstable = unstable(schedule, None, str(exc))
        return failure
    if second.history.digest() != schedule.history.digest() or second.error is None:
        failure.unstable = unstable(schedule, second, None)
        return failure
    smaller, tries, finished = shrink(plan, recipe, schedule)
    assert smaller.error is not None
    return Failure(
        smaller.error,
        plan.recipe(departures(smaller.steps)),
        smaller.steps,
        smaller.history,
        tries=tries,
        finished=finished,
        before=len(recipe.departures),
    )


def _faults(faults: Sequence[str] | None, strategy: str) -> tuple[str, ...]:
    if faults is None:
        return ("crash",) if strategy == "crash_points" else FAULTS
    return _some_of("faults", faults, FAULTS)


def _runs(runs: int | None, strategy: str) -> int:
    if runs is None:
        return _ALL if strategy in ("dfs", "crash_points") else 100
    return _whole("runs", runs, least=1)


def _whole(name: str, value: Any, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number, {least} or more")
    return value


def _one_of(name: str, value: Any, valid: Sequence[str]) -> str:
    if value not in valid:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, valid))}")
    return str(value)


def _some_of(name: str, values: Any, valid: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"{name}={values!r} must be a list of some of {', '.join(valid)}")
    for value in values:
        if value not in valid:
            raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, valid))}")
    return tuple(values)
