"""What an exploration found: `Exploration`, and its `Failure`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.explore.recipe import Recipe
from pytest_celeryflow.explore.story import story
from pytest_celeryflow.history import History
from pytest_celeryflow.report.timeline import timeline
from pytest_celeryflow.sim.oracle import Step

__all__ = ["Exploration", "Failure"]

_USED_UP = "; the tries were used up, so it may not be the smallest: shrink_runs= gives more"


@dataclass
class Failure:
    """A schedule that fails.

    Attributes:
        error: What it raised.
        recipe: How to make it again.
        steps: Every choice.
        history: What happened.
        tries: How many runs making it smaller took.
        finished: Nothing more could be left out; the budget was enough.
        before: How many departures from the default it had at first.
        unstable: Why it does not happen again, or ``None``.
    """

    error: BaseException
    recipe: Recipe
    steps: Sequence[Step]
    history: History
    tries: int = 0
    finished: bool = True
    before: int | None = None
    unstable: str | None = None

    @property
    def replay(self) -> str:
        """The string that makes it happen again: ``cf1:…``."""
        return str(self.recipe)

    @property
    def story(self) -> list[str]:
        """What departed from the default schedule, a sentence each."""
        return story(self.steps)


@dataclass
class Exploration:
    """What exploring a function found.

    Attributes:
        strategy: How schedules were chosen.
        schedules: How many there were.
        histories: How many of them were distinct.
        failure: The first that failed, made smaller, or ``None``.
        complete: Every schedule of the strategy was tried (``dfs``, ``crash_points``).
        verdicts: In how many schedules a task was ``lost``, ``duplicated``, ``hung``.
        wishes: Each condition of `Flow.sometimes`, and whether it was ever true.
    """

    strategy: str
    schedules: int = 0
    histories: int = 0
    failure: Failure | None = None
    complete: bool = False
    verdicts: Counter[str] = field(default_factory=Counter)
    wishes: dict[str, bool] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Nothing failed, and every condition of `Flow.sometimes` was true once."""
        return self.failure is None and all(self.wishes.values())

    def check(self, *, rerun: str | None = None) -> None:
        """Raise if something failed.

        Args:
            rerun: The command that replays a failure, up to the string.

        Raises:
            CeleryflowAssertionError: Something did; its cause is what the schedule raised.
        """
        __tracebackhide__ = True
        if self.failure is not None:
            raise CeleryflowAssertionError(self.report(rerun=rerun)) from self.failure.error
        if not self.ok:
            raise CeleryflowAssertionError(self.complaint())

    def complaint(self) -> str:
        """Which conditions of `Flow.sometimes` were never true."""
        never = [name for name, true in self.wishes.items() if not true]
        return (
            f"never in {self.schedules} schedules: {', '.join(never)}\n\n"
            "Expected: each condition of flow.sometimes is true in at least one schedule\n"
            "Next:     more runs, another strategy, or a test that can get there."
        )

    def __str__(self) -> str:
        return self.report()

    def report(
        self, *, rerun: str | None = None, message: bool = True, test: Sequence[str] = ()
    ) -> str:
        """What was found, for a person.

        Args:
            rerun: The command that replays a failure, up to the string.
            message: Say what was raised, too.
            test: The lines of a regression test, without the marker.
        """
        if self.failure is None:
            done = ", which is all there are" if self.complete else ""
            return f"{self._counted()}{done}: nothing failed{self._verdicts()}"
        return "\n".join(self._failed(self.failure, rerun, message, test))

    def _counted(self) -> str:
        schedules = "1 schedule" if self.schedules == 1 else f"{self.schedules} schedules"
        distinct = "1 history" if self.histories == 1 else f"{self.histories} distinct histories"
        return f"{schedules} ({self.strategy}), {distinct}"

    def _verdicts(self) -> str:
        told = [f"{what} in {self.verdicts[what]}" for what in sorted(self.verdicts)]
        return f" (a task {', '.join(told)} of {self.schedules})" if told else ""

    def _failed(
        self, failure: Failure, rerun: str | None, message: bool, test: Sequence[str]
    ) -> list[str]:
        lines = [f"a schedule fails: the last of {self._counted()}{self._verdicts()}", ""]
        if message:
            error = failure.error
            first = str(error).strip().splitlines() or [""]
            lines += [f"{type(error).__name__}: {first[0]}".rstrip(": "), *first[1:], ""]
        if failure.unstable is not None:
            return [*lines, failure.unstable]
        told = failure.story
        if told:
            lines.append(f"The smallest story that fails{self._shrunk(failure)}:")
            lines += [f"  {n}. {sentence}" for n, sentence in enumerate(told, 1)]
        else:
            lines.append("It fails in the default schedule, without a fault.")
        lines += ["", timeline(failure.history, limit=40), "", f"Replay: {failure.replay}"]
        if rerun is not None:
            lines.append(f"        {rerun} --celeryflow-replay {failure.replay}")
        lines += [
            "Keep it as a regression test:",
            f'        @pytest.mark.celeryflow_explore(replay="{failure.replay}")',
        ]
        return lines + [f"        {line}" for line in test]

    def _shrunk(self, failure: Failure) -> str:
        if failure.before is None:
            return ""
        left = "" if failure.finished else _USED_UP
        return f" ({len(failure.story)} of {failure.before} choices, after {failure.tries} tries{left})"
