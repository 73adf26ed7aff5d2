"""`worker`: a real Celery worker in a thread of the test process, in real time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from typing import Any

from celery import Celery

from pytest_celeryflow import stall
from pytest_celeryflow.books import Workflow
from pytest_celeryflow.borrow import borrowed, is_configured
from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import semantics_of
from pytest_celeryflow.clock import RealClock
from pytest_celeryflow.controller import (
    consume_too,
    django_fixup_elsewhere,
    warnings_not_raised,
)
from pytest_celeryflow.errbacks import errbacks_recorded
from pytest_celeryflow.errors import WorkflowStalled
from pytest_celeryflow.faults import (
    BackendDown,
    BackendFail,
    BrokerDown,
    Drop,
    Duplicate,
    Fault,
    Redeliver,
)
from pytest_celeryflow.injection.bodies import Bodies, troubled
from pytest_celeryflow.injection.messages import Tampering
from pytest_celeryflow.injection.outages import BrokerOutages, StoreOutages
from pytest_celeryflow.listening import Listening
from pytest_celeryflow.live.pool import joins_refused_in_tasks
from pytest_celeryflow.live.transport import live_broker
from pytest_celeryflow.live.worker import LiveWorker
from pytest_celeryflow.modes.protocol import Message, Opening
from pytest_celeryflow.modes.single import broker_settings, one_task, pending_messages
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.replacing import real_monotonic
from pytest_celeryflow.results.memory import MemoryBackend
from pytest_celeryflow.results.values import Values

__all__ = ["LATE", "WorkerMode"]

LATE = (
    "Time is real in this mode. In mode 'sim' an ETA or a retry costs nothing; or give a longer "
    "timeout=."
)


#: Real seconds that what a timer has begun may take to end, when its context does.
_FIRING = 1.0


class _Local(threading.local):
    result: str | None = None
    worker: str | None = None


class WorkerMode(Opening):
    """One app on a real worker. See `pytest_celeryflow.run_worker` for the arguments."""

    name = "worker"

    def __init__(
        self,
        app: Celery,
        *,
        pool: str,
        concurrency: int,
        config: Mapping[str, Any],
        queues: Sequence[str] | None,
        timeout: float,
        stop_timeout: float,
    ) -> None:
        self.app = app
        self.clock = RealClock(self.name)
        self.recorder = Recorder(app, lambda: self.clock.elapsed, self._where)
        self._pool, self._concurrency, self._queues = pool, concurrency, queues
        self._config, self._timeout, self._stop_timeout = config, timeout, stop_timeout
        self._bound = timeout
        self.bodies = Bodies()
        self._local = _Local()
        self._consuming = threading.Lock()
        self.worker: LiveWorker | None = None
        #: What a message goes through: a `Broker`, or what looks like one.
        self.broker: Any = None
        self.outages: Any = None
        self._values: Values | None = None
        #: What is laid over the app's own settings.
        self.settings: dict[str, Any] = {}

    # --- life ---

    def _open(self, stack: ExitStack) -> None:
        app = self.app
        settings = self._open_broker(stack)
        stored = self._open_store(stack)
        config = {**settings, **stored, "task_always_eager": False, **self._config}
        self._laid_over(config)
        self.settings = config
        stack.enter_context(
            borrowed(
                app,
                mode=self.name,
                config=config,
                backend=self._backend(stack),
            )
        )
        self.store_outages = StoreOutages(app.backend, self._values, self.recorder, self._later)
        if self._values is not None:
            self._values.used = self.store_outages.refuse
        stack.enter_context(joins_refused_in_tasks())
        stack.enter_context(django_fixup_elsewhere(app))
        stack.enter_context(warnings_not_raised())
        stack.enter_context(errbacks_recorded(app, self.recorder))
        listening = Listening(self.recorder)
        listening.connect()
        stack.callback(listening.disconnect)
        self._start(stack)

    def _start(self, stack: ExitStack) -> None:
        """Have a worker; the app is lent out by now."""
        self.worker = LiveWorker(
            self.app,
            self.recorder,
            name="w1",
            pool=self._pool,
            concurrency=self._concurrency,
            queues=self._queues,
        )
        stack.push(self._stop)
        self.worker.start()

    def _open_broker(self, stack: ExitStack) -> dict[str, Any]:
        """Have a broker; the settings that point an app at it."""
        app, told, conf = self.app, self._config, self.app.conf
        broker_url = str(conf.broker_url or "") if is_configured(app, "broker_url") else None
        options = told.get("broker_transport_options", conf.broker_transport_options) or {}
        steps = tuple(options.get("priority_steps") or (0, 3, 6, 9))
        broker = Broker(semantics_of(broker_url), self.recorder, priority_steps=steps)
        self.broker = broker
        self.tampering = Tampering(broker, self.recorder)
        self.outages = BrokerOutages(broker, self.recorder, self._later)
        if self._any_queue():
            broker.unconsumed = self._consume_too
        return broker_settings(app, stack.enter_context(live_broker(broker)))

    def _any_queue(self) -> bool:
        """Whether the worker consumes whatever queue is published to."""
        told, conf = self._config, self.app.conf
        return self._queues is None and not told.get("task_queues", conf.task_queues)

    def _open_store(self, stack: ExitStack) -> dict[str, Any]:
        """Have a place for results; the settings that go with it."""
        self._values = values = Values(real_monotonic, self._wait_for_value)
        values.changed = self.recorder.touch
        return {}

    def _laid_over(self, config: dict[str, Any]) -> None:
        """Change the settings, the user's among them, where they have to agree with ours."""

    def _backend(self, stack: ExitStack) -> Callable[[], Any] | None:
        """What makes the result backend of all threads; ``None``: each has the app's own."""
        return lambda: self._watched(self._make_backend(stack))

    def _make_backend(self, stack: ExitStack) -> Any:
        """The result backend, for all threads; the app has its settings by now."""
        assert self._values is not None
        return MemoryBackend(self.app, self._values)

    def _stop(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        assert self.worker is not None
        if self._until(lambda: self.recorder.jobs <= 0, self._stop_timeout):
            self.worker.stop()
            return
        self.worker.abandon()
        named = ", ".join(label for label, _, _ in self.recorder.running())
        message = (
            f"the worker could not stop: {named or 'a task'} still runs after "
            f"{self._stop_timeout:g} s\n\nA thread cannot be killed, so it goes on in the "
            "background. Let the task end, or test it in mode 'sim'."
        )
        if error is not None:
            error.add_note(message)
            return
        raise WorkflowStalled(message)

    def _where(self) -> str | None:
        name = threading.current_thread().name
        return "w1" if name.startswith("celeryflow-") else None

    def _consume_too(self, queue: str) -> None:
        if self.worker is not None:
            with self._consuming:  # two threads may publish to a new queue at once
                consume_too(self.worker.consumer, queue, connected=self.worker.consuming)

    def _watched(self, backend: Any) -> Any:
        """Remember, per thread, which result is waited for."""
        wait_for_pending = backend.wait_for_pending

        def marked(result: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            outer, self._local.result = self._local.result, result.id
            try:
                with self.recorder.awaiting(result.id):
                    return wait_for_pending(result, *args, **kwargs)
            finally:
                self._local.result = outer

        backend.wait_for_pending = marked
        return backend

    def _later(self, seconds: float, call: Callable[[], Any]) -> None:
        """Call something after some real seconds, unless the context ends before."""
        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.join, _FIRING)
        self._stack.callback(timer.cancel)

    # --- waiting ---

    def _until(
        self, ready: Callable[[], bool], timeout: float | None, *, stuck: bool = False
    ) -> bool:
        """Wait until something is so; woken by every change.

        Args:
            ready: What to wait for.
            timeout: Real seconds.
            stuck: Give up as soon as nothing can change any more.
        """
        limit = None if timeout is None else real_monotonic() + timeout
        while True:
            seen = self.recorder.version
            if ready():
                return True
            left = None if limit is None else limit - real_monotonic()
            if stuck and (self._stuck() or self._only_etas_after(left)):
                return ready()
            if left is not None and left <= 0:
                return False
            with self.recorder.changed:
                if self.recorder.version == seen:
                    self.recorder.changed.wait(left)

    def _stuck(self) -> bool:
        """Whether nothing is under way, so that nothing will change by itself.

        Read under the broker's lock, so that a message is found on whichever side of a
        delivery, an acknowledgement or a publication it is: a pool takes a task before its
        message is acknowledged, and is done with it after its last publication.
        """
        if self.worker is not None and not self.worker.consuming:
            return not self.outages.end  # it connects again when the broker is back
        with self.broker.lock:
            if self.recorder.jobs > 0 or self.broker.out():
                return False
            return not any(self.broker.consumers(m.queue) for m in self.broker.waiting())

    def _only_etas_after(self, seconds: float | None) -> bool:
        """Whether all that is under way waits for an ETA that is further away than that."""
        if seconds is None:
            return False
        with self.broker.lock:
            if self.recorder.jobs > 0:
                return False
            if any(self.broker.consumers(m.queue) for m in self.broker.waiting()):
                return False
            out = self.broker.out()
        return bool(out) and all(_seconds_until(m.headers.get("eta")) > seconds for m in out)

    def _wait_for_value(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        __tracebackhide__ = True
        bound = self._timeout if timeout is None else timeout
        if self._until(ready, bound, stuck=timeout is None):
            return True
        if timeout is None:
            raise WorkflowStalled(self.stalled(result=self._local.result))
        return False

    def settle(self, workflow: Workflow, timeout: float | None) -> None:
        """Wait until a workflow is at rest, at most some real seconds."""
        self._bound = self._timeout if timeout is None else timeout
        self._until(lambda: workflow.live <= 0, self._bound, stuck=True)

    def drain(self, queue: str | None, limit: int | None) -> None:
        """Wait until nothing is left. The worker works all the while by itself."""
        begun = self.recorder.executions

        def done() -> bool:
            if limit is not None and self.recorder.executions - begun >= limit:
                return True
            if queue is not None:
                there = [*self.broker.waiting(), *self.broker.out()]
                return not any(m.queue == queue for m in there)
            return self.recorder.live <= 0

        if not self._until(done, self._timeout, stuck=True):
            raise WorkflowStalled(self.stalled())

    def perform(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], headers: Mapping[str, Any]
    ) -> str:
        """Run one task in the caller's thread; what it publishes waits until it is done."""
        id_, run = one_task(self.app, task, args, kwargs, headers)
        self.recorder.adopt(id_, self.recorder.workflow())
        with self.broker.paused():
            run()
        return id_

    def injected(self, fault: Fault) -> AbstractContextManager[None]:
        """Bring a fault about."""
        if isinstance(fault, Drop | Duplicate | Redeliver):
            return self.tampering.planned(fault)
        if isinstance(fault, BrokerDown):
            return self.outages.planned(fault)
        if isinstance(fault, BackendDown):
            return self.store_outages.down(fault)
        if isinstance(fault, BackendFail):
            return self.store_outages.failing(fault)
        return troubled(self.bodies, self.app.tasks[fault.task], fault, self.recorder)

    def looking(self) -> AbstractContextManager[None]:
        """The toolkit itself looks at results: no fault strikes it."""
        return self.store_outages.looking()

    def messages(self) -> list[Message]:
        """Every task that waits in a queue or for its ETA."""
        waiting = {
            message.task_id
            for message in self.broker.out()
            if message.task_id and _seconds_until(message.headers.get("eta")) > 0
        }
        return pending_messages(self.broker, self.recorder, waiting)

    def stalled(self, workflow: Workflow | None = None, result: str | None = None) -> str:
        """Say what waits for what."""
        unconsumed = {m.queue for m in self.broker.waiting() if not self.broker.consumers(m.queue)}
        return stall.explain(
            self.app,
            self.recorder,
            stall.Scene(
                self.messages(),
                unconsumed,
                notes=[*self.outages.notes(), *self.store_outages.notes()],
                late=None if self._stuck() else (f"{self._bound:g} s of real time", LATE),
            ),
            workflow=workflow,
            result=result,
        )


def _seconds_until(eta: str | None) -> float:
    if not eta:
        return 0.0
    moment = datetime.fromisoformat(eta)
    if moment.tzinfo is None:  # protocol 1 without UTC: not worth a guess
        return 0.0
    return (moment - datetime.now(UTC)).total_seconds()
