"""What a reference workflow says of itself: `Workflow`, `Raises`, `Differs`, `Surroundings`.

Plain data. It relies on no Celery symbol: a canvas is whatever the workflow's function returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PLACES", "SAME", "Differs", "Raises", "Surroundings", "Workflow"]

#: Where a workflow can run: the modes, and mode ``worker`` on a real server.
PLACES = ("eager", "worker", "sim", "redis", "rabbitmq", "process")

#: Seconds that the longest delay of a workflow takes where time is real.
_SHORT = 0.1


class _Same:
    def __repr__(self) -> str:
        return "SAME"


#: Nothing of its own: what everywhere else comes of it.
SAME: Any = _Same()


@dataclass(frozen=True)
class Raises:
    """The workflow ends with an exception.

    Attributes:
        kind: Name of its class. A result backend may give back a class of its own making
            that bears the same name (`celery/backends/base.py:Backend.exception_to_python`).
        text: What it says, or nothing where that is Celery's affair.
    """

    kind: str
    text: str = ""


@dataclass(frozen=True)
class Differs:
    """What a mode shows instead. A test fails when it no longer differs.

    Attributes:
        because: Why, in a sentence.
        end: What comes of the workflow there.
        executions: Short name of a task -> how often it is executed there; those that differ.
        broken: Claims of the workflow that do not hold there.
    """

    because: str
    end: Any = SAME
    executions: Mapping[str, int] = field(default_factory=dict)
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What a canvas is made for.

    Attributes:
        directory: A directory of this run's own, where `outside` keeps the outside world.
        pace: Real seconds for each second that a workflow asks for; 1 where time is virtual.
    """

    directory: str = "world"
    pace: float = 1.0

    def seconds(self, wanted: float) -> float:
        """A delay: as long as wanted in virtual time, shorter in proportion in real time."""
        return wanted * self.pace

    @classmethod
    def real(cls, workflow: Workflow, directory: Path) -> Surroundings:
        """Those of a mode where time is real: the longest delay takes a tenth of a second."""
        return cls(str(directory), _SHORT / workflow.longest)


@dataclass(frozen=True)
class Workflow:
    """A canvas, and what must come of it.

    Attributes:
        name: Its name, as in ``-k retry-with-backoff``.
        about: What it is for, in a sentence.
        canvas: Makes it, given the surroundings.
        shape: `str` of its shape, made for ``Surroundings()``.
        end: Its value, or `Raises`.
        executions: Short name of a task -> how often it is executed. Every task is named.
        sent: `str` of the shape that Celery publishes, where it is another one.
        ran: `str` of the shape that came about in ``sim``, where it is another one than that
            published: a task replaced itself, or published by itself.
        claims: What else is true of it: a sentence -> whether a run shows it.
        takes: Seconds of virtual time in ``sim``.
        longest: The longest delay that it asks for, in seconds.
        differs: Mode or place -> what is otherwise there.
        needs: What a result backend must be able to do for it, one of those in `limits`.
        places: Where it runs; those of `PLACES` that are left out are told in `elsewhere`.
        elsewhere: Why it does not run in the other places.
        workers: How many workers ``sim`` has.
        concurrency: How many tasks each worker runs at a time.
        config: Settings to lay over the app's.
        real_config: Further ones where time is real.
        sim: Further arguments of `simulate`.
        beat: How long the app's ``beat_schedule`` runs, instead of the canvas.
        lint: Codes that `lint` finds in the canvas, because the workflow is there to show them.
    """

    name: str
    about: str
    canvas: Callable[[Surroundings], Any]
    shape: str
    end: Any
    executions: Mapping[str, int]
    sent: str = ""
    ran: str = ""
    claims: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)
    takes: float = 0.0
    longest: float = 1.0
    differs: Mapping[str, Differs] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    places: tuple[str, ...] = ("eager", "worker", "sim")
    elsewhere: str = ""
    workers: int = 1
    concurrency: int = 4
    config: Mapping[str, Any] = field(default_factory=dict)
    real_config: Mapping[str, Any] = field(default_factory=dict)
    sim: Mapping[str, Any] = field(default_factory=dict)
    beat: str = ""
    lint: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name
