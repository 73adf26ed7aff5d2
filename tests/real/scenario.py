"""What a scenario is: tasks, interference, and what becomes of each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.real.bench import Bench, Outcome

__all__ = ["Call", "Scenario", "calls"]


@dataclass(frozen=True)
class Scenario:
    """Tasks that are published, interference, and what becomes of each task.

    Attributes:
        name: What it is about.
        run: Does it, and tells the ids of its tasks by label.
        expected: What becomes of each, by label.
        before: The same where Celery 5.4 differs.
        config: Settings of app and worker.
        concurrency: Processes of the first worker's pool; ``0``: `run` starts the worker.
        two_servers: The result store is a Redis of its own.
    """

    name: str
    run: Callable[[Bench], dict[str, str]]
    expected: Mapping[str, Outcome]
    before: Mapping[str, Outcome] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 2
    two_servers: bool = False


@dataclass(frozen=True)
class Call:
    """One task of the app, called once."""

    task: str
    args: tuple[Any, ...]
    expected: Outcome
    before: Outcome | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        said = [", ".join(map(str, self.args)), *(f"{k}={v}" for k, v in self.options.items())]
        return f"{self.task}: {', '.join(said)}"


def calls(name: str, *made: Call, concurrency: int = 4) -> Scenario:
    """All of these at once on one worker, each with an errback."""

    def run(bench: Bench) -> dict[str, str]:
        errback = bench.app.signature("real.errback")
        return {
            call.label: bench.send(call.task, *call.args, link_error=errback, **call.options)
            for call in made
        }

    return Scenario(
        name,
        run,
        expected={call.label: call.expected for call in made},
        before={call.label: call.before for call in made if call.before is not None},
        concurrency=concurrency,
    )
