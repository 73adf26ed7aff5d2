"""What a workflow of the list is: a canvas, what goes wrong, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from celery import VERSION

from pytest_celeryflow import Flow
from pytest_celeryflow.faults import Fault

from . import tasks as t


@dataclass(frozen=True)
class Raises:
    """The workflow ends with an exception of this class, and this text if one is given."""

    kind: type[BaseException] | str
    text: str = ""

    @property
    def name(self) -> str:
        return self.kind if isinstance(self.kind, str) else self.kind.__name__


@dataclass(frozen=True)
class Hangs:
    """The result never comes."""


class Anything:
    """It ends with a value that nobody can compare."""

    def __eq__(self, other: object) -> bool:
        return not isinstance(other, Raises | Hangs)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Workflow:
    """A canvas, and what must come of it.

    Attributes:
        name: The test's id.
        canvas: Makes it. A canvas remembers the ids that it was published with.
        expected: Its value, `Raises` or `Hangs`.
        ran: How often each task must run, for those that matter.
        config: Settings to lay over the app's.
        concurrency: How many tasks at a time; more than one where tasks wait for each other.
        instead: By mode or result store, what comes of it there instead, and why.
        faults: Lets something go wrong.
        needs: The kinds of fault that this takes; modes that cannot do one are left out.
        loose: Tasks whose arguments and results are not compared, because Celery promises nothing.
    """

    name: str
    canvas: Callable[[], Any]
    expected: Any = None
    ran: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 1
    instead: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    faults: Callable[[Flow], Any] = lambda flow: None
    needs: tuple[type[Fault], ...] = ()
    loose: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name


#: What Celery 5.4 to 5.6 do differently from 5.7.
BEFORE_57 = VERSION[:2] < (5, 7)
PAST = datetime(2000, 1, 1, tzinfo=UTC)


def w(name: str, canvas: Callable[[], Any], expected: Any = None, **more: Any) -> Workflow:
    return Workflow(name, canvas, expected, **more)


#: Celery 5.7 stores a failure for a rejected task that will never run again (its issue 4222).
REJECTED: Any = Hangs() if BEFORE_57 else Raises("Reject")


def on_a_database(end: Any, why: str) -> dict[str, tuple[Any, str]]:
    """What comes of it on Celery's database backend instead, before 5.7."""
    return {"sim memory+db": (end, why)} if BEFORE_57 else {}


def header(*sums: int) -> list[Any]:
    return [t.ident.s(n) for n in sums]


def with_link(canvas: Any, *callbacks: Any) -> Any:
    for callback in callbacks:
        canvas.link(callback)
    return canvas


def with_errback(canvas: Any, *errbacks: Any) -> Any:
    for errback in errbacks:
        canvas.link_error(errback)
    return canvas


def stamped(canvas: Any, **stamps: Any) -> Any:
    canvas.stamp(**stamps)
    return canvas
