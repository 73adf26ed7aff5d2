"""What a mode is: a way to carry out what an app publishes.

A mode is a context manager. Inside it the app is lent out (`borrow`), its history is
written (`recorder`), and a `Flow` can ask it to publish, to work and to wait. A mode never
asserts and never formats; whatever it cannot do it refuses in words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from celery import Celery

from pytest_celeryflow.books import Workflow
from pytest_celeryflow.clock import Clock
from pytest_celeryflow.faults import Fault
from pytest_celeryflow.injection.bodies import Bodies
from pytest_celeryflow.recorder import Recorder

__all__ = ["Message", "Mode", "Opening"]


@dataclass(frozen=True, slots=True)
class Message:
    """A task that waits: in a queue, in a worker for its ETA or a free slot.

    Attributes:
        task: Full name of the task.
        id: Celery's task id.
        label: ``"charge#2"``.
        args: Positional arguments, as the worker will read them.
        kwargs: Keyword arguments, likewise.
        queue: Name of the queue.
        eta: When it may run, in ISO 8601, or ``None``.
        where: ``"queue"``, or ``"worker"`` once it was delivered.
    """

    task: str
    id: str
    label: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    queue: str
    eta: str | None = None
    where: str = "queue"


class Mode(Protocol):
    """One way to carry out workflows."""

    name: str
    app: Celery
    recorder: Recorder
    bodies: Bodies

    @property
    def clock(self) -> Clock:
        """Time, as the mode keeps it."""

    def __enter__(self) -> Any:
        """Borrow the app and start."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and give the app back."""

    def settle(self, workflow: Workflow, timeout: float | None) -> None:
        """Work until a workflow is at rest: finished, or unable to go on."""

    def catch_up(self, known: Callable[[], bool]) -> None:
        """Let a result arrive that is on its way to the reader: until it is known, or a bound."""

    def drain(self, queue: str | None, limit: int | None) -> None:
        """Work until nothing is left, in one queue or in all, or for some executions."""

    def perform(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], headers: Mapping[str, Any]
    ) -> str:
        """Run one task with the request of a worker and no queue; its id."""

    def messages(self) -> list[Message]:
        """Every task that waits."""

    def injected(self, fault: Fault) -> AbstractContextManager[None]:
        """Bring a fault about, one of those that name this mode, for as long as it is open."""

    def looking(self) -> AbstractContextManager[None]:
        """The toolkit itself looks at results: no fault strikes it."""

    def stalled(self, workflow: Workflow | None = None, result: str | None = None) -> str:
        """Say what waits for what."""


class Opening(ABC):
    """A context manager whose parts are undone in reverse, also when a later one fails."""

    @abstractmethod
    def _open(self, stack: ExitStack) -> None:
        """Set everything up, leaving with the stack how to undo it."""

    def catch_up(self, known: Callable[[], bool]) -> None:  # noqa: B027 - rarely overridden
        """Nothing: what is stored can be read at once."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)
