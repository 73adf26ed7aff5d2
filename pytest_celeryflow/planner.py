"""`flow.faults`: checks what is asked for, and hands it to the mode."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Literal, TypeVar

from pytest_celeryflow import faults as vocabulary
from pytest_celeryflow.durations import seconds
from pytest_celeryflow.errors import CeleryflowAssertionError, UnsupportedFault
from pytest_celeryflow.faults import CrashPoint, Fault, InjectedError, Victim
from pytest_celeryflow.modes.protocol import Mode

__all__ = ["Faults"]

Duration = float | str | timedelta
F = TypeVar("F", bound=Fault)


class Faults:
    """What can go wrong, as a test asks for it.

    Each method plans one fault and returns it. It stands until the flow ends, or, used as a
    context manager, until the block does. Common arguments:

    * ``times``: how often it strikes; ``None`` every time. By default once.
    * ``nth``: it strikes from this opportunity on, counted from 1: the second execution of
      the task, its third message.
    * ``optional``: do not fail the test when it never strikes.

    ``task`` is a task object, its full name, or a last dotted part that is unique.

    All of them raise `UnsupportedFault` in a mode that cannot do it, and `ValueError` for an
    argument that is not valid.
    """

    def __init__(self, mode: Mode, name_of: Callable[[Any], str], stack: ExitStack) -> None:
        self._mode, self._name_of, self._stack = mode, name_of, stack
        self._planned: list[Fault] = []
        #: How much had happened when each was planned, by its `id`.
        self._began: dict[int, int] = {}
        #: The broker's: ``flow.faults.broker.down(for_="30s")``.
        self.broker = BrokerFaults(self)
        #: The result store's: ``down(for_="30s")``, ``fail(op="store_result")``.
        self.backend = BackendFaults(self)

    def __repr__(self) -> str:
        return f"<Faults {', '.join(map(str, self._planned)) or 'none'}>"

    def fail(
        self,
        task: Any,
        exc: BaseException | type[BaseException] | None = None,
        *,
        times: int | None = 1,
        nth: int | None = None,
        when: Literal["before", "after"] = "before",
        optional: bool = False,
    ) -> vocabulary.Fail:
        """Let the body raise, before it does anything or after it has done everything.

        ``autoretry_for``, retries and errbacks take it for the task's own exception.

        Args:
            task: The task.
            exc: What to raise: an exception or a class; by default `faults.InjectedError`.
            times: As above.
            nth: As above.
            when: ``"before"`` or ``"after"`` the body.
            optional: As above.
        """
        if exc is None:
            exc = InjectedError("injected by a test")
        is_class = isinstance(exc, type) and issubclass(exc, BaseException)
        if not is_class and not isinstance(exc, BaseException):
            raise ValueError(f"exc={exc!r} is not an exception or an exception class")
        if when not in ("before", "after"):
            raise ValueError(f"when={when!r} is not one of 'before', 'after'")
        return self._plan(
            vocabulary.Fail(**self._common(task, times, nth, optional), exc=exc, when=when)
        )

    def delay(
        self,
        task: Any,
        by: Duration,
        *,
        times: int | None = 1,
        nth: int | None = None,
        optional: bool = False,
    ) -> vocabulary.Delay:
        """Let the body take longer: where it first waits, publishes or stores, or at its end.

        In the modes that run in real time it waits before the body, and really.

        Args:
            task: The task.
            by: Seconds, text such as ``"5s"``, or a ``timedelta``.
            times: As above.
            nth: As above.
            optional: As above.
        """
        common = self._common(task, times, nth, optional)
        return self._plan(vocabulary.Delay(**common, seconds=seconds(by, argument="by")))

    def hang(
        self,
        task: Any,
        *,
        times: int | None = 1,
        nth: int | None = None,
        optional: bool = False,
    ) -> vocabulary.Hang:
        """Let the body never go on: from where it first waits, publishes or stores, or its end.

        A time limit ends it, as it ends any body that waits; without one the workflow stalls.

        Args:
            task: The task.
            times: As above.
            nth: As above.
            optional: As above.
        """
        return self._plan(vocabulary.Hang(**self._common(task, times, nth, optional)))

    def crash(
        self,
        task: Any = None,
        *,
        at: CrashPoint,
        times: int | None = 1,
        nth: int | None = None,
        kills: Victim | None = None,
        restart_after: Duration | None = 0,
        optional: bool = False,
    ) -> vocabulary.Crash:
        """Kill the pool's process that runs a task, or a whole worker with all it has taken.

        A killed process is what `billiard` reports to Celery as ``WorkerLostError``; another
        takes its place. A killed worker reports nothing: what it had not acknowledged comes
        back at once (RabbitMQ) or after the visibility timeout (Redis), and what it had is
        lost.

        Args:
            task: The task; ``None``: a worker is killed when any task is there.
            at: Where in the execution: a `CrashPoint`.
            times: As above.
            nth: As above.
            kills: ``"process"`` or ``"worker"``. By default the process that runs the task,
                and the worker where no process has it (RECEIVED, BEFORE_ACK,
                BEFORE_LATE_ACK) or where no task is named.
            restart_after: When a killed worker is replaced, as a supervisor does: seconds,
                text or a ``timedelta``; ``None``: never.
            optional: As above.
        """
        if not isinstance(at, CrashPoint):
            names = ", ".join(f"CrashPoint.{point.name}" for point in CrashPoint)
            raise ValueError(f"at={at!r} is not one of {names}")
        if kills is None:
            kills = "worker" if task is None else at.victims[0]
        if kills not in at.victims:
            valid = ", ".join(map(repr, at.victims))
            raise ValueError(f"kills={kills!r} is not one of {valid}, who have the task at {at.name}")
        common = self._counted(times, nth, optional)
        if task is not None:
            common["task"] = self._name_of(task)
        after = None if restart_after is None else seconds(restart_after, argument="restart_after")
        return self._plan(vocabulary.Crash(**common, at=at, victim=kills, restart_after=after))

    def duplicate(
        self,
        task: Any,
        *,
        times: int | None = 1,
        nth: int | None = None,
        optional: bool = False,
    ) -> vocabulary.Duplicate:
        """Let the broker have the task's message twice, with the same id and no flag.

        Args:
            task: The task.
            times: As above.
            nth: As above.
            optional: As above.
        """
        return self._plan(vocabulary.Duplicate(**self._common(task, times, nth, optional)))

    def drop(
        self,
        task: Any,
        *,
        times: int | None = 1,
        nth: int | None = None,
        optional: bool = False,
    ) -> vocabulary.Drop:
        """Lose the task's message on its way to the broker; the publisher does not notice.

        Args:
            task: The task.
            times: As above.
            nth: As above.
            optional: As above.
        """
        return self._plan(vocabulary.Drop(**self._common(task, times, nth, optional)))

    def redeliver(
        self,
        task: Any,
        *,
        times: int | None = 1,
        nth: int | None = None,
        optional: bool = False,
    ) -> vocabulary.Redeliver:
        """Lose the acknowledgement: the broker delivers again, with the flag ``redelivered``.

        Args:
            task: The task.
            times: As above.
            nth: As above.
            optional: As above.
        """
        return self._plan(vocabulary.Redeliver(**self._common(task, times, nth, optional)))

    def check(self) -> None:
        """Fail if a fault never struck.

        Raises:
            CeleryflowAssertionError: One did not.
        """
        __tracebackhide__ = True
        for fault in self._planned:
            if not fault.fired and not fault.optional:
                raise CeleryflowAssertionError(
                    f"the fault {fault} never struck\n\n"
                    f"Expected: {_EXPECTED.get(type(fault), 'an opportunity for it')}\n"
                    f"Instead:  {self._instead(fault)}\n"
                    "Next:     repair the test, or plan the fault with optional=True.",
                    expected="a fault that strikes",
                    actual=0,
                )

    def _instead(self, fault: Fault) -> str:
        if fault.seen:
            there = "there was 1 opportunity" if fault.seen == 1 else f"there were {fault.seen}"
            return f"{there}, and it was planned for nth={fault.nth}"
        history = self._mode.recorder.history
        if fault.task is None:
            return f"{len(history.only('started'))} tasks were executed, and none was there"
        mine = [event for event in history if event.task == fault.task]
        published = sum(event.kind == "published" for event in mine)
        started = sum(event.kind == "started" for event in mine)
        too_early = mine and mine[-1].number < self._began[id(fault)]
        when = "before the fault was planned" if too_early else "while the flow was open"
        said = f"the task was published {_times(published)} and executed {_times(started)} {when}"
        if not mine:
            return f"the task was neither published nor executed {when}"
        if too_early:
            return f"{said}; plan it before the workflow runs"
        if isinstance(fault, vocabulary.Crash) and started:
            task = self._mode.app.tasks[fault.task]
            if fault.at is CrashPoint.BEFORE_LATE_ACK and not task.acks_late:
                return f"{said}; it has no acks_late, and is acknowledged before it runs"
        return said

    def _common(
        self, task: Any, times: int | None, nth: int | None, optional: bool
    ) -> dict[str, Any]:
        return {"task": self._name_of(task), **self._counted(times, nth, optional)}

    def _counted(self, times: int | None, nth: int | None, optional: bool) -> dict[str, Any]:
        for name, value in (("times", times), ("nth", nth)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and (not whole or value < 1):
                raise ValueError(f"{name}={value!r} must be a whole number, 1 or more, or None")
        return {"times": times, "nth": nth, "optional": optional}

    def _plan(self, fault: F) -> F:
        if self._mode.name not in fault.modes:
            *most, last = map(repr, fault.modes)
            able = f"{', '.join(most)} and {last}" if most else last
            raise UnsupportedFault(
                f"mode {self._mode.name!r} cannot do {fault.name}: {fault.why_not(self._mode.name)}\n\n"
                f"The modes that can: {able}"
            )
        planned = self._stack.enter_context(ExitStack())
        fault.withdraw = planned.close
        planned.enter_context(self._mode.injected(fault))
        self._planned.append(fault)
        self._began[id(fault)] = self._mode.recorder.written
        return fault


class BrokerFaults:
    """What can go wrong with the broker."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def down(
        self, for_: Duration | None = None, *, optional: bool = False
    ) -> vocabulary.BrokerDown:
        """Let the broker be unreachable from now on: connections break, new ones are refused.

        Its messages are still there afterwards.

        Args:
            for_: How long: seconds, text such as ``"30s"``, or a ``timedelta``. ``None``:
                until the block or the flow ends.
            optional: Do not fail the test when nobody notices.
        """
        lasts = None if for_ is None else seconds(for_, argument="for_")
        return self._faults._plan(vocabulary.BrokerDown(for_=lasts, optional=optional))


class BackendFaults:
    """What can go wrong with the result store."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def down(
        self, for_: Duration | None = None, *, optional: bool = False
    ) -> vocabulary.BackendDown:
        """Let the result store be unreachable from now on; what it holds is there afterwards.

        In `sim` nobody can subscribe meanwhile to a result in Redis, as in production: `delay` and
        `get` give up after 19 seconds, or as ``retry_policy`` of ``result_backend_transport_options``
        says.

        Args:
            for_: How long: seconds, text such as ``"30s"``, or a ``timedelta``. ``None``:
                until the block or the flow ends.
            optional: Do not fail the test when nobody notices.
        """
        lasts = None if for_ is None else seconds(for_, argument="for_")
        return self._faults._plan(vocabulary.BackendDown(for_=lasts, optional=optional))

    def fail(
        self,
        op: str = "store_result",
        *,
        times: int | None = 1,
        nth: int | None = None,
        optional: bool = False,
    ) -> vocabulary.BackendFail:
        """Let one operation of the result store raise a connection error.

        Args:
            op: One of `faults.OPERATIONS`, by the name of the backend's method.
            times: How often; ``None``: every time.
            nth: From this call of it on, counted from 1.
            optional: Do not fail the test when it is never called.
        """
        if op not in vocabulary.OPERATIONS:
            raise ValueError(f"op={op!r} is not one of {', '.join(vocabulary.OPERATIONS)}")
        common = self._faults._counted(times, nth, optional)
        return self._faults._plan(vocabulary.BackendFail(**common, op=op))


_EXPECTED = {
    vocabulary.Fail: "the task is executed",
    vocabulary.Delay: "the task is executed",
    vocabulary.Hang: "the task is executed",
    vocabulary.Crash: "a task comes to that point",
    vocabulary.Duplicate: "the task is published",
    vocabulary.Drop: "the task is published",
    vocabulary.Redeliver: "the task's message is acknowledged",
    vocabulary.BrokerDown: "somebody connects, publishes or consumes meanwhile",
    vocabulary.BackendDown: "somebody uses the result store meanwhile",
    vocabulary.BackendFail: "the operation is called",
}


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
