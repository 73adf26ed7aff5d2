"""`eager`: Celery's own ``task_always_eager``, recorded.

Nothing is published and nothing is serialised: `Task.apply_async` calls the task in place
(`celery/app/task.py`). Results are kept, as ``task_store_eager_result`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from celery import Celery

from pytest_celeryflow import stall
from pytest_celeryflow.books import Workflow
from pytest_celeryflow.borrow import borrowed
from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import MEMORY
from pytest_celeryflow.clock import RealClock
from pytest_celeryflow.errbacks import errbacks_recorded
from pytest_celeryflow.errors import WorkflowStalled
from pytest_celeryflow.faults import Fault
from pytest_celeryflow.injection.bodies import Bodies, troubled
from pytest_celeryflow.listening import Listening
from pytest_celeryflow.live.transport import live_broker
from pytest_celeryflow.modes.protocol import Message, Opening
from pytest_celeryflow.modes.single import broker_settings, one_task, pending_messages
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.replacing import real_monotonic
from pytest_celeryflow.results.memory import MemoryBackend
from pytest_celeryflow.results.values import Values

__all__ = ["EagerMode"]


class EagerMode(Opening):
    """One app, eagerly. See `pytest_celeryflow.run_eager` for the arguments."""

    name = "eager"

    def __init__(self, app: Celery, *, propagate: bool, config: Mapping[str, Any]) -> None:
        self.app = app
        self.clock = RealClock(self.name)
        self.bodies = Bodies()
        self.recorder = Recorder(app, lambda: self.clock.elapsed, lambda: None)
        self._propagate, self._config = propagate, config

    def _open(self, stack: ExitStack) -> None:
        # `app.send_task` and remote control publish all the same: to a broker of ours.
        self.broker = Broker(MEMORY, self.recorder)
        url = stack.enter_context(live_broker(self.broker))
        config = {
            **broker_settings(self.app, url),
            "task_always_eager": True,
            "task_store_eager_result": True,
            "task_eager_propagates": self._propagate,
            **self._config,
        }
        values = Values(real_monotonic, self._wait_for_value)
        backend = lambda: MemoryBackend(self.app, values)  # noqa: E731
        stack.enter_context(
            borrowed(self.app, mode=self.name, config=config, backend=backend)
        )
        stack.enter_context(errbacks_recorded(self.app, self.recorder))
        listening = Listening(self.recorder)
        listening.connect()
        stack.callback(listening.disconnect)

    def _wait_for_value(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        __tracebackhide__ = True
        if ready():
            return True
        waiting = f"\n\n{self.stalled()}" if self.messages() else ""
        raise WorkflowStalled(
            "nothing will ever produce this result: eagerly, a result is there when its task was "
            f"called, or never comes{waiting}"
        )

    def settle(self, workflow: Workflow, timeout: float | None) -> None:
        """Nothing is left to do: publishing did it."""

    def drain(self, queue: str | None, limit: int | None) -> None:
        """Nothing is left to do: publishing did it."""

    def perform(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], headers: Mapping[str, Any]
    ) -> str:
        """Run one task; what it calls is called in place, eagerly."""
        id_, run = one_task(self.app, task, args, kwargs, headers)
        self.recorder.adopt(id_, self.recorder.workflow())
        run()
        return id_

    def injected(self, fault: Fault) -> AbstractContextManager[None]:
        """Bring a fault about: in eager mode all of them are in a task's body."""
        task = self.app.tasks[fault.task]
        return troubled(self.bodies, task, fault, self.recorder)

    def looking(self) -> AbstractContextManager[None]:
        """Results are always there."""
        return nullcontext()

    def messages(self) -> list[Message]:
        """What was sent by name: ``app.send_task`` publishes also when tasks are eager."""
        return pending_messages(self.broker, self.recorder, set())

    def stalled(self, workflow: Workflow | None = None, result: str | None = None) -> str:
        """Say what waits for what."""
        return stall.explain(
            self.app,
            self.recorder,
            stall.Scene(self.messages(), {m.queue for m in self.broker.waiting()}),
            workflow=workflow,
            result=result,
        )
