"""The vocabulary of faults: plain values, no mechanism.

A fault says what is to go wrong, with which task, and how often. How a mode brings it about
is the business of `pytest_celeryflow.injection` and of the simulation; which modes can is
written here, once, and the table in the documentation is made of it.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pytest_celeryflow.durations import duration

__all__ = [
    "OPERATIONS",
    "BackendDown",
    "BackendFail",
    "BrokerDown",
    "Crash",
    "CrashPoint",
    "Delay",
    "Drop",
    "Duplicate",
    "Fail",
    "Fault",
    "Hang",
    "InjectedError",
    "Redeliver",
    "Victim",
]

#: What a crash kills: the pool's process that runs the task, or the whole worker.
Victim = Literal["process", "worker"]

#: What `faults.backend.fail` can let fail: operations of a result backend.
OPERATIONS = (
    "store_result",
    "get_task_meta",
    "forget",
    "save_group",
    "restore_group",
    "delete_group",
    "apply_chord",
    "on_chord_part_return",
)

_counting = threading.Lock()


class CrashPoint(enum.Enum):
    """A moment in the life of an execution at which a process can be killed.

    Listed by what they are near. In the order of time a task that succeeds meets RECEIVED,
    BEFORE_ACK, AFTER_ACK, IN_BODY, BEFORE_CALLBACKS, AFTER_CALLBACKS, BEFORE_RESULT,
    AFTER_RESULT, BEFORE_LATE_ACK: Celery publishes links and the rest of a chain before it
    stores the result (`celery/app/trace.py:build_tracer`). One that fails meets its result
    first and its errbacks afterwards (`celery/backends/base.py:Backend.mark_as_failure`).
    """

    #: The worker has the message and has not given the task to its pool.
    RECEIVED = "when the message was received"
    #: A pool process has taken the task; an early acknowledgement would come next.
    BEFORE_ACK = "before the task is accepted and acknowledged"
    #: The task is accepted, and acknowledged unless ``acks_late``; its body has not begun.
    AFTER_ACK = "after the task was accepted"
    #: The body has begun: where it first waits, publishes or stores, or else where it ends.
    IN_BODY = "in the body"
    #: The outcome is known and is not in the result store.
    BEFORE_RESULT = "before the result is stored"
    #: The result is stored; a chord has not counted it.
    AFTER_RESULT = "after the result was stored"
    #: Links and the rest of the chain, or errbacks, are not published.
    BEFORE_CALLBACKS = "before the callbacks are published"
    #: They are published.
    AFTER_CALLBACKS = "after the callbacks were published"
    #: The pool is done; the worker has yet to acknowledge a task with ``acks_late``.
    BEFORE_LATE_ACK = "before the late acknowledgement"

    @property
    def victims(self) -> tuple[Victim, ...]:
        """Who can be killed there, the usual one first."""
        return ("worker",) if self in _IN_THE_WORKER else ("process", "worker")


_IN_THE_WORKER = (CrashPoint.RECEIVED, CrashPoint.BEFORE_ACK, CrashPoint.BEFORE_LATE_ACK)


class InjectedError(Exception):
    """What `faults.fail` raises when it is not told what."""


@dataclass(eq=False, kw_only=True)
class Fault:
    """Something that is to go wrong.

    Leaving it as a context manager withdraws it.

    Attributes:
        task: Full name of the task it concerns, or ``None`` for any.
        times: How often it strikes; ``None``: every time.
        nth: It strikes from this opportunity on, counted from 1; ``None``: from the first.
        optional: The test does not fail when it never strikes.
        fired: How often it struck.
        seen: How many opportunities there were.
    """

    #: What it is called in `flow.faults`.
    name: ClassVar[str]
    #: Modes that can bring it about.
    modes: ClassVar[tuple[str, ...]]
    #: Why the other modes cannot, ``eager`` aside.
    why: ClassVar[str] = "it takes a broker and a worker"
    #: Why ``eager`` cannot.
    why_eager: ClassVar[str] = why

    task: str | None = None
    times: int | None = 1
    nth: int | None = None
    optional: bool = False
    fired: int = field(default=0, init=False)
    seen: int = field(default=0, init=False)
    #: Set by whoever injects it.
    withdraw: Callable[[], None] = field(default=lambda: None, init=False, repr=False)

    @classmethod
    def why_not(cls, mode: str) -> str:
        """Why a mode cannot bring it about."""
        return cls.why_eager if mode == "eager" else cls.why

    def end(self) -> None:
        """It has lasted long enough: withdraw it."""
        self.withdraw()

    def concerns(self, task: str | None) -> bool:
        """Whether it is about this task."""
        return self.task is None or self.task == task

    def strikes(self) -> bool:
        """Count an opportunity; whether the fault strikes at it."""
        with _counting:
            self.seen += 1
            early = self.nth is not None and self.seen < self.nth
            spent = self.times is not None and self.fired >= self.times
            if early or spent:
                return False
            self.fired += 1
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.withdraw()

    def __str__(self) -> str:
        told = [self.task.rpartition(".")[2]] if self.task is not None else []
        told += [f"{k}={_shown(v)}" for k, v in self._particulars().items() if v is not None]
        told += [f"times={self.times}"] if self.times != type(self).times else []
        told += [f"nth={self.nth}"] if self.nth is not None else []
        return f"{self.name}({', '.join(told)})"

    def _particulars(self) -> dict[str, Any]:
        return {}


def _shown(value: Any) -> str:
    if isinstance(value, CrashPoint | type):
        return value.name if isinstance(value, CrashPoint) else value.__name__
    return repr(value)


@dataclass(eq=False, kw_only=True)
class Fail(Fault):
    """The body raises."""

    name = "fail"
    modes = ("eager", "worker", "process", "sim")

    exc: BaseException | type[BaseException]
    when: Literal["before", "after"] = "before"

    def _particulars(self) -> dict[str, Any]:
        return {"exc": self.exc, "when": None if self.when == "before" else self.when}


@dataclass(eq=False, kw_only=True)
class Delay(Fault):
    """The body takes longer."""

    name = "delay"
    modes = ("eager", "worker", "process", "sim")

    seconds: float

    def _particulars(self) -> dict[str, Any]:
        return {"by": duration(self.seconds)}


@dataclass(eq=False, kw_only=True)
class Hang(Fault):
    """The body never goes on by itself."""

    name = "hang"
    modes = ("process", "sim")
    why = "a thread that hangs cannot be stopped"
    why_eager = "a task is called in the test itself, which would hang with it"


@dataclass(eq=False, kw_only=True)
class Crash(Fault):
    """A process is killed."""

    name = "crash"
    modes = ("process", "sim")
    why = "a thread cannot be killed"
    why_eager = "a task is called in the test itself, which would be killed with it"

    at: CrashPoint
    victim: Victim
    restart_after: float | None = 0.0

    def _particulars(self) -> dict[str, Any]:
        usual = self.victim == (self.at.victims[0] if self.task is not None else "worker")
        return {"at": self.at, "kills": None if usual else self.victim}


@dataclass(eq=False, kw_only=True)
class Duplicate(Fault):
    """The broker has the message twice."""

    name = "duplicate"
    modes = ("worker", "process", "sim")


@dataclass(eq=False, kw_only=True)
class Drop(Fault):
    """The message is lost on its way to the broker."""

    name = "drop"
    modes = ("worker", "process", "sim")


@dataclass(eq=False, kw_only=True)
class Redeliver(Fault):
    """The acknowledgement is lost, and the broker delivers again."""

    name = "redeliver"
    modes = ("worker", "process", "sim")


@dataclass(eq=False, kw_only=True)
class BrokerDown(Fault):
    """The broker cannot be reached."""

    name = "broker.down"
    modes = ("worker", "process", "sim")

    times: int | None = None
    for_: float | None = None

    def _particulars(self) -> dict[str, Any]:
        return {"for_": None if self.for_ is None else duration(self.for_)}


@dataclass(eq=False, kw_only=True)
class BackendDown(Fault):
    """The result store cannot be reached."""

    name = "backend.down"
    modes = ("worker", "process", "sim")

    times: int | None = None
    for_: float | None = None

    def _particulars(self) -> dict[str, Any]:
        return {"for_": None if self.for_ is None else duration(self.for_)}


@dataclass(eq=False, kw_only=True)
class BackendFail(Fault):
    """One operation of the result store fails."""

    name = "backend.fail"
    modes = ("worker", "process", "sim")

    op: str = "store_result"

    def _particulars(self) -> dict[str, Any]:
        return {"op": self.op}
