"""In the test: what shall go wrong in the workers, and the answers that bring it about.

The faults themselves stay here, so that each is counted once whichever process it strikes,
and none is forgotten with a process that it kills. The worker asks where it is, and is told
what to do there (`process.points`, `process.passing`).

An answer is held back in one case: a process that is about to begin a task, while a crash is
planned, goes on when the worker has accepted it, and acknowledged it unless ``acks_late``.
Process and main process do these two things side by side, and a crash between them would be
another one from run to run.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pytest_celeryflow.faults import (
    BackendDown,
    BackendFail,
    Crash,
    CrashPoint,
    Delay,
    Drop,
    Duplicate,
    Fail,
    Fault,
    Hang,
    Redeliver,
)
from pytest_celeryflow.injection.bodies import Bodies, Wrapper
from pytest_celeryflow.live.ledger import Ledger
from pytest_celeryflow.process.answering import Answering
from pytest_celeryflow.process.hearing import Hearing, Who
from pytest_celeryflow.process.questions import Interest
from pytest_celeryflow.process.values import Packed, packed
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.stub import Stub

__all__ = ["Planned", "PlannedLedger", "RemoteBodies"]


#: Who consumes a queue that a worker was told to consume.
_SOON = "soon"


class PlannedLedger(Ledger):
    """The test's own messages are tampered with like those of workers."""

    #: Set when faults can be planned.
    planned: Planned | None = None

    def copies(self, mark: str) -> list[str]:
        """The marks under which a message leaves."""
        return [mark] if self.planned is None else self.planned.copies(mark)

    def soon(self, queue: str) -> None:
        """A worker was told to consume a queue."""
        self.consumes(queue, _SOON)

    def consumes(self, queue: str, channel: Hashable) -> None:
        """A channel consumes a queue, or will."""
        super().consumes(queue, channel)
        if channel != _SOON and _SOON in self.consumers(queue):
            self.cancelled(queue, _SOON)


class RemoteBodies(Bodies):
    """Bodies in the test's process, for `flow.perform`, and in those of workers.

    What is laid around a body here is not carried there: of wrappers, a `Stub` is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.planned: Planned | None = None

    @contextmanager
    def wrapped(self, task: Any, wrapper: Wrapper) -> Iterator[None]:
        """Lay a wrapper around a task's body, and take it off again."""
        with ExitStack() as stack:
            stack.enter_context(super().wrapped(task, wrapper))
            if isinstance(wrapper, Stub) and self.planned is not None:
                stack.enter_context(self.planned.stubbed(task.name, wrapper))
            yield


class Planned:
    """The faults and stubs of one flow.

    Args:
        recorder: Told when a fault strikes.
        ledger: Knows the messages.
        hearing: Told who will die.
        answering: The way back to the workers.
        doomed: Called when a whole worker will die: its name, where, when to start it again.
    """

    def __init__(
        self,
        recorder: Recorder,
        ledger: Ledger,
        hearing: Hearing,
        answering: Answering,
        doomed: Callable[[str, str, float | None], None],
    ) -> None:
        self._recorder, self._ledger, self._hearing = recorder, ledger, hearing
        self._answering, self._doomed = answering, doomed
        self._faults: tuple[Fault, ...] = ()
        self._stubs: tuple[tuple[str, Stub], ...] = ()
        with tempfile.TemporaryFile() as file:
            file.write(b"\0")
            file.flush()
            self.interest = os.dup(file.fileno())
        self._shared = mmap.mmap(self.interest, 1)
        #: Questions that wait until the task is accepted: its id, who asks -> how to go on.
        self._held: dict[tuple[str, Who], Callable[[], None]] = {}
        hearing.asked, hearing.moved = self._asked, self._let_go

    def close(self) -> None:
        """Nothing goes wrong any more."""
        self._shared.close()
        os.close(self.interest)

    # --- planning ---

    @contextmanager
    def injected(self, fault: Fault) -> Iterator[None]:
        """Let a fault strike in the workers meanwhile.

        Raises:
            ValueError: What is to be raised cannot be handed to another process.
        """
        if isinstance(fault, Fail):
            _checked("exc", fault.exc)
        self._faults = (*self._faults, fault)
        self._announce()
        try:
            yield
        finally:
            self._faults = tuple(f for f in self._faults if f is not fault)
            self._announce()

    @contextmanager
    def stubbed(self, task: str, stub: Stub) -> Iterator[None]:
        """Let a stub take the place of a task's body meanwhile."""
        self._stubs = (*self._stubs, (task, stub))
        self._announce()
        try:
            yield
        finally:
            self._stubs = tuple(pair for pair in self._stubs if pair[1] is not stub)
            self._announce()

    def _announce(self) -> None:
        wanted = Interest.BODY if self._stubs else Interest.NOTHING
        for fault in self._faults:
            for kinds, interest in _INTERESTS:
                if isinstance(fault, kinds):
                    wanted |= interest
        self._shared[0] = int(wanted)

    # --- answering ---

    def _asked(self, topic: str, who: Who, by: str | None, told: dict[str, Any]) -> None:
        def answer() -> None:
            try:
                message = getattr(self, f"_at_{topic}")(who, by, **told)
            except Exception:
                self._answering.answer(*who, {})
                raise
            self._answering.answer(*who, message)

        if topic == "begin" and not self._is_accepted(told["id"]):
            self._held[told["id"], who] = answer
        else:
            answer()

    def _is_accepted(self, id_: str) -> bool:
        if not any(isinstance(fault, Crash) for fault in self._faults):
            return True
        return self._hearing.is_accepted(id_)

    def _let_go(self) -> None:
        for asked in [asked for asked in self._held if self._is_accepted(asked[0])]:
            self._held.pop(asked)()

    def forget(self, worker: str) -> None:
        """A worker is gone: nobody waits for these answers."""
        self._held = {a: answer for a, answer in self._held.items() if a[1][0] != worker}

    def _struck(self, fault: Fault, task: str | None, id_: str | None, **told: Any) -> bool:
        if not fault.concerns(task) or not fault.strikes():
            return False
        self._recorder.note("fault", task=task, id=id_, reason=str(fault), **told)
        return True

    def _at_begin(self, who: Who, by: str | None, id: str) -> dict[str, Any]:  # noqa: A002
        return {}

    def _at_point(self, who: Who, by: str | None, point: str, task: str, id: str) -> dict[str, Any]:  # noqa: A002
        at = CrashPoint[point]
        if at is CrashPoint.IN_BODY:
            return {}
        return self._killed(at, who, task, id)

    def _killed(self, at: CrashPoint, who: Who, task: str, id_: str) -> dict[str, Any]:
        for fault in self._faults:
            if not isinstance(fault, Crash) or fault.at is not at:
                continue
            if self._struck(fault, task, id_, worker=who[0]):
                if fault.victim == "process":
                    self._hearing.doomed[who] = f"its process was killed {at.value}"
                else:
                    self._doomed(who[0], f"was killed {at.value}", fault.restart_after)
                return {"kill": fault.victim}
        return {}

    def _at_body(
        self, who: Who, by: str | None, task: str, id: str, args: Packed, kwargs: Packed  # noqa: A002
    ) -> dict[str, Any]:
        """Orders for one body, the innermost first."""
        orders = []
        if killed := self._killed(CrashPoint.IN_BODY, who, task, id):
            orders.append(killed)
        for name, stub in self._stubs:
            if name == task:
                orders.append(_stubbed(stub, args.value(), kwargs.value()))
        for fault in self._faults:
            told = {"hang": True} if isinstance(fault, Hang) else {}
            if isinstance(fault, Fail | Delay | Hang) and self._struck(
                fault, task, id, worker=who[0], **told
            ):
                orders.append(_ordered(fault))
        return {"orders": orders}

    def _at_store(self, who: Who, by: str | None, op: str) -> dict[str, Any]:
        for fault in self._faults:
            if isinstance(fault, BackendFail) and fault.op == op:
                task = self._recorder.task_of(by) if by is not None else None
                if self._struck(fault, task, by if task is not None else None, worker=who[0]):
                    return {"refused": f"{op}: {fault}"}
        return {}

    def _at_connection(self, who: Who, by: str | None) -> dict[str, Any]:
        for fault in self._faults:
            if isinstance(fault, BackendDown) and fault.strikes():
                return {"refused": f"connection refused: {fault}"}
        return {}

    def _at_copies(self, who: Who, by: str | None, mark: str) -> dict[str, Any]:
        return {"marks": self.copies(mark)}

    def copies(self, mark: str) -> list[str]:
        """The marks under which a message leaves: none, one or two."""
        for message in self._ledger.marked(mark):
            for fault in self._faults:
                if isinstance(fault, Drop) and self._struck(fault, message.task, message.task_id):
                    self._ledger.not_sent(mark)
                    return []
                if isinstance(fault, Duplicate) and self._struck(
                    fault, message.task, message.task_id
                ):
                    return [mark, self._ledger.doubled(mark)]
        return [mark]

    def _at_ack(self, who: Who, by: str | None, channel: str, tag: Any) -> dict[str, Any]:
        message = self._ledger.held_by(channel, tag)
        if message is None:
            return {}
        for fault in self._faults:
            if isinstance(fault, Redeliver) and self._struck(fault, message.task, message.task_id):
                return {"lost": True}
        return {}


#: What each kind of fault has to be asked about. A crash in a body is an order for the body.
_INTERESTS: tuple[tuple[Any, Interest], ...] = (
    (Fail | Delay | Hang, Interest.BODY),
    (Crash, Interest.POINT),
    (BackendDown | BackendFail, Interest.STORE),
    (Drop | Duplicate | Redeliver, Interest.MESSAGE),
)


def _checked(name: str, value: Any) -> Packed:
    told = packed(value)
    if told.data is None:
        raise ValueError(
            f"{name}={value!r} cannot be handed to a worker's process: pickle refuses it"
        )
    return told


def _ordered(fault: Fail | Delay | Hang) -> dict[str, Any]:
    if isinstance(fault, Delay):
        return {"delay": fault.seconds}
    if isinstance(fault, Hang):
        return {"hang": True}
    return {"raise": packed(fault.exc), "after": fault.when == "after"}


def _stubbed(stub: Stub, args: Any, kwargs: Any) -> dict[str, Any]:
    step = stub.called(args, kwargs)
    told: dict[str, Any] = {"delay": step.delay} if step.delay else {}
    if step.error is not None:
        return {**told, "raise": _checked("exc", step.error)}
    return {**told, "return": _checked("value", step.value)}
