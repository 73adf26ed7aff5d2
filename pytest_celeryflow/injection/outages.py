"""Takes the broker or the result store away, for a while or for one operation."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from celery._state import get_current_task

from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.faults import OPERATIONS, BackendDown, BackendFail, BrokerDown, Fault
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.results.values import Values

__all__ = ["METHODS", "BrokerOutages", "Later", "Outages", "StoreOutages", "laid_around"]

#: Calls something after some seconds of the mode's time.
Later = Callable[[float, Callable[[], Any]], Any]

#: Operation of a result backend -> the method that does it, inside of what
#: ``result_backend_always_retry`` tries again (`celery/backends/base.py:Backend.store_result`).
METHODS = {
    "store_result": "_store_result",
    "get_task_meta": "_get_task_meta_for",
    "forget": "_forget",
    "save_group": "_save_group",
    "restore_group": "_restore_group",
    "delete_group": "_delete_group",
}


class Outages(ABC):
    """When a broker cannot be reached, however that is brought about.

    Args:
        recorder: Told when an outage begins and ends.
        later: Ends an outage.
    """

    def __init__(self, recorder: Recorder, later: Later) -> None:
        self._recorder, self._later = recorder, later
        self._faults: tuple[BrokerDown, ...] = ()

    @abstractmethod
    def _cut(self) -> Any:
        """Break every connection; whether there was any."""

    @abstractmethod
    def _restore(self) -> None:
        """Nothing keeps anybody from connecting any more."""

    def notes(self) -> list[str]:
        """Which outages there are now, a sentence each."""
        return [f"the broker cannot be reached: {fault}" for fault in self._faults]

    @property
    def end(self) -> bool:
        """Whether the broker is there, or will be by itself."""
        return all(fault.for_ is not None for fault in self._faults)

    @contextmanager
    def planned(self, fault: BrokerDown) -> Iterator[None]:
        """Break every connection, and refuse new ones meanwhile."""
        self._faults = (*self._faults, fault)
        self._recorder.note("fault", reason=str(fault))
        if self._cut():
            fault.strikes()
        if fault.for_ is not None:
            self._later(fault.for_, fault.end)
        try:
            yield
        finally:
            self._faults = tuple(f for f in self._faults if f is not fault)
            if not self._faults:
                self._recorder.note("fault", reason="the broker can be reached again")
                self._restore()


class BrokerOutages(Outages):
    """Those of a broker of ours, which refuses."""

    def __init__(self, broker: Broker, recorder: Recorder, later: Later) -> None:
        super().__init__(recorder, later)
        self._broker = broker
        broker.reached = self._refuse
        broker.away = lambda: bool(self._faults)

    def _cut(self) -> Any:
        return self._broker.cut()

    def _restore(self) -> None:
        self._broker.changed()

    def _refuse(self) -> None:
        for fault in self._faults:
            if fault.strikes():
                raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connection refused: {fault}")


class StoreOutages:
    """When a result backend cannot be used.

    Args:
        backend: The app's backend.
        values: The store under it, or ``None`` where it is not ours.
        recorder: Told when an outage begins and ends.
        later: Ends an outage.
    """

    def __init__(
        self, backend: Any, values: Values | None, recorder: Recorder, later: Later
    ) -> None:
        self._backend, self._values = backend, values
        self._recorder, self._later = recorder, later
        self._down: tuple[Fault, ...] = ()
        self._looking = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """The toolkit itself looks at a result: nothing goes wrong meanwhile."""
        self._looking += 1
        try:
            yield
        finally:
            self._looking -= 1

    def notes(self) -> list[str]:
        """Which outages there are now, a sentence each."""
        return [f"the result store cannot be reached: {fault}" for fault in self._down]

    def refuse(self) -> None:
        """Raise what the backend's client raises when it has no connection, while it has none."""
        for fault in self._down:
            self._strike(fault, "connection refused")

    @contextmanager
    def down(self, fault: BackendDown) -> Iterator[None]:
        """Let every operation fail meanwhile."""
        self._recorder.note("fault", reason=str(fault))
        if fault.for_ is not None:
            self._later(fault.for_, fault.end)
        with ExitStack() as stack:
            if self._values is None:
                for op in OPERATIONS:
                    stack.enter_context(self._laid_around(op, fault))
            self._down = (*self._down, fault)
            if self._values is not None:
                self._values.cut()
            try:
                yield
            finally:
                self._down = tuple(f for f in self._down if f is not fault)
                self._recorder.note("fault", reason="the result store can be reached again")

    @contextmanager
    def failing(self, fault: BackendFail) -> Iterator[None]:
        """Let one operation fail, as often as the fault says."""
        with self._laid_around(fault.op, fault):
            yield

    @contextmanager
    def _laid_around(self, op: str, fault: Fault) -> Iterator[None]:
        name = METHODS.get(op, op)
        if not hasattr(self._backend, name):  # rpc:// has no inner one
            name = op

        def tried(call: Any, *args: Any, **kwargs: Any) -> Any:
            self._strike(fault, op)
            return call(*args, **kwargs)

        with laid_around(self._backend, name, tried):
            yield

    def _strike(self, fault: Fault, what: str) -> None:
        if self._looking or not fault.strikes():
            return
        if isinstance(fault, BackendFail):
            task = get_current_task()
            told = {} if task is None else {"task": task.name, "id": task.request.id}
            self._recorder.note("fault", reason=str(fault), **told)
        client = getattr(self._backend, "redis", None)
        error = ConnectionError if client is None else client.exceptions.ConnectionError
        raise error(f"{what}: {fault}")


@contextmanager
def laid_around(target: Any, name: str, around: Callable[..., Any]) -> Iterator[None]:
    """Lay a function around a method of one instance; it is given the method first.

    Several may be taken off in any order.
    """
    layer = _Layer(around, target.__dict__.get(name), getattr(target, name))
    target.__dict__[name] = layer
    try:
        yield
    finally:
        layer.around = None
        while isinstance(top := target.__dict__.get(name), _Layer) and top.around is None:
            if top.kept is None:
                del target.__dict__[name]
            else:
                target.__dict__[name] = top.kept


class _Layer:
    def __init__(self, around: Callable[..., Any] | None, kept: Any, call: Any) -> None:
        self.around, self.kept, self.call = around, kept, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.around is None:
            return self.call(*args, **kwargs)
        return self.around(self.call, *args, **kwargs)
