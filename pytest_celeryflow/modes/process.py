"""`process`: real workers in processes of their own, on a real broker, in real time.

A worker is Celery's own command with its prefork pool (`services.Worker`). What happens in it
is told by `pytest_celeryflow.process`: what passes its connections, what its signals say, and
what its pool does with a job. The books are those of mode `worker` on a server: a message
counts until the broker forgets it, a job until its callbacks have run, and what a worker had
that is gone is settled when the last word of its processes was read.

Not modelled: anything. What it cannot see is what `live.ledger` does not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from celery import Celery

from pytest_celeryflow import stall
from pytest_celeryflow.books import Workflow
from pytest_celeryflow.errors import UnsupportedFault
from pytest_celeryflow.faults import BackendDown, BackendFail, BrokerDown, Delay, Fail, Fault
from pytest_celeryflow.injection.bodies import troubled
from pytest_celeryflow.modes.remote import RemoteMode
from pytest_celeryflow.modes.worker import LATE
from pytest_celeryflow.process.answering import Answering
from pytest_celeryflow.process.gate import Gate, passable
from pytest_celeryflow.process.hearing import Hearing, Who
from pytest_celeryflow.process.outages import GateOutages
from pytest_celeryflow.process.planned import Planned, PlannedLedger, RemoteBodies
from pytest_celeryflow.process.transport import RABBITMQ, REDIS
from pytest_celeryflow.process.worker import WorkerProcess
from pytest_celeryflow.services import RabbitMQ, Redis, Worker

__all__ = ["ProcessMode"]

#: Seconds that Redis leaves a message with a consumer (`kombu/transport/redis.py:Channel`).
_VISIBILITY = 3600.0


class ProcessMode(RemoteMode):
    """One app in worker processes. See `pytest_celeryflow.run_process` for the arguments."""

    name = "process"
    broker: PlannedLedger

    def __init__(
        self,
        app: Celery,
        path: str,
        *,
        workers: int,
        concurrency: int,
        broker: Redis | RabbitMQ,
        store: Redis,
        config: Mapping[str, Any],
        queues: Sequence[str] | None,
        timeout: float,
    ) -> None:
        super().__init__(
            app,
            pool="prefork",
            concurrency=concurrency,
            broker=broker,
            store=store,
            config=config,
            queues=queues,
            timeout=timeout,
            stop_timeout=0.0,
        )
        self._path = path
        self._gate: Gate | None = None
        self.bodies = self._bodies = RemoteBodies()
        self.worker_processes = [
            WorkerProcess(f"w{number}", partial(self._make_worker, f"w{number}"), self._tell_gone)
            for number in range(1, workers + 1)
        ]
        self._by_name = {worker.name: worker for worker in self.worker_processes}
        self._mains: dict[str, int] = {}
        self._restarts: dict[str, float | None] = {}
        #: Queues that workers consume besides their own.
        self._more_queues: dict[str, None] = {}
        self._failed: BaseException | None = None
        #: Held by whoever plans a restart, and by whoever ends all of them.
        self._planning = threading.Lock()
        self._timers: list[threading.Timer] = []
        self._closing = False

    # --- life ---

    def _make_ledger(self, prefix: str) -> PlannedLedger:
        return PlannedLedger(self.recorder, prefix=prefix)

    def _way_to(self, server: Redis | RabbitMQ, stack: ExitStack) -> str:
        if not passable(server.url):
            return server.url
        self._gate = Gate(server.url)
        stack.callback(self._gate.close)
        return self._gate.url

    def _transport(self, server: Redis | RabbitMQ) -> str:
        return RABBITMQ if isinstance(server, RabbitMQ) else REDIS

    def _start(self, stack: ExitStack) -> None:
        gives_back = isinstance(self._server, RabbitMQ)
        self._hearing = hearing = Hearing(self.recorder, self.broker, gives_back=gives_back)
        self._answering = Answering()
        stack.callback(self._answering.close)
        self._planned = Planned(
            self.recorder, self.broker, hearing, self._answering, self._is_doomed
        )
        stack.callback(self._planned.close)
        self.broker.planned = self._bodies.planned = self._planned
        self.outages = GateOutages(self._gate, self.recorder, self._later)
        hearing.stored, hearing.ready = self._stored, self._ready
        hearing.gone, hearing.settled = self._gone, self._settled
        stack.callback(hearing.close)
        hearing.start()
        stack.push(self._stop)
        together(*(worker.start for worker in self.worker_processes))

    def _make_worker(self, name: str, gone: Callable[[], None]) -> Worker:
        told = {
            "name": name,
            "pipe": self._hearing.writing,
            "interest": self._planned.interest,
            "port": self._answering.port,
            "secret": self._answering.secret,
            "prefix": self.broker.prefix,
            "ledger": self.settings["broker_transport_options"]["celeryflow"],
        }
        return Worker(
            self._path,
            config=self.settings,
            concurrency=self._concurrency,
            queues=self._queues,
            name=name,
            node=f"celery@{name}",
            boot="pytest_celeryflow.process.boot",
            more=told,
            pass_fds=[self._hearing.writing, self._planned.interest],
            gone=gone,
        )

    def _stop(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        with self._planning:
            self._closing = True
        for timer in self._timers:
            timer.cancel()
            timer.join()  # a start that has begun has a bound of its own (`services.worker`)
        for worker in self.worker_processes:
            worker.end()

    def _where(self) -> str | None:
        hearing = getattr(self, "_hearing", None)
        return None if hearing is None else getattr(hearing.speaker, "worker", None)

    # --- what the workers tell ---

    def _stored(self) -> None:
        self.app.backend.stored += 1
        self.recorder.touch()

    def _ready(self, who: Who) -> None:
        self._mains[who[0]] = who[1]
        for queue in self._more_queues:
            self.broker.soon(queue)
            self._answering.order(*who, {"consume": queue})

    def _consume_too(self, queue: str) -> None:
        self._more_queues[queue] = None
        for worker in self.worker_processes:
            if worker.state != "down" and worker.name in self._mains:
                self.broker.soon(queue)
                self._answering.order(worker.name, self._mains[worker.name], {"consume": queue})

    def _is_doomed(self, name: str, why: str, restart_after: float | None) -> None:
        worker = self._by_name[name]
        worker.doomed, worker.returning = why, restart_after is not None
        self._restarts[name] = restart_after

    def _tell_gone(self, name: str) -> None:
        self._hearing.tell_gone(name)

    def _gone(self, name: str) -> str:
        self._answering.forget(name)
        self._planned.forget(name)
        self._mains.pop(name, None)
        return self._by_name[name].ended()

    def _settled(self, name: str) -> None:
        after = self._restarts.pop(name, None)
        with self._planning:
            if after is None or self._closing:
                return
            timer = threading.Timer(after, self._restart, [name])
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

    def _restart(self, name: str) -> None:
        if self._closing:
            return
        try:
            self._by_name[name].start()
        except BaseException as exc:  # noqa: BLE001 - raised where somebody waits
            self._failed = exc
        self.recorder.touch()

    # --- waiting ---

    def _until(
        self, ready: Callable[[], bool], timeout: float | None, *, stuck: bool = False
    ) -> bool:
        __tracebackhide__ = True

        def sound() -> bool:
            self._hearing.raise_failure()
            if self._failed is not None:
                failed, self._failed = self._failed, None
                raise failed
            return ready()

        return super()._until(sound, timeout, stuck=stuck)

    def _stuck(self) -> bool:
        if any(worker.returning for worker in self.worker_processes):
            return False
        with self.broker.lock:
            if self.recorder.jobs > 0 or self.broker.out():
                return False
            if any(self.broker.consumers(m.queue) for m in self.broker.waiting()):
                return False
            if self.broker.orphans() and self._alive and self._visibility < self._bound:
                return False
            return not (self.broker.waiting() and self._reconnecting)

    @property
    def _alive(self) -> bool:
        return any(worker.state != "down" for worker in self.worker_processes)

    @property
    def _reconnecting(self) -> bool:
        """Whether a worker has lost its broker, and may find it again."""
        if not self.outages.end:
            return False
        consuming = self._hearing.consuming
        return any(w.state != "down" and w.name not in consuming for w in self.worker_processes)

    @property
    def _visibility(self) -> float:
        options = self.settings.get("broker_transport_options") or {}
        return float(options.get("visibility_timeout") or _VISIBILITY)

    # --- faults ---

    @contextmanager
    def _injected(self, fault: Fault) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(self._planned.injected(fault))
            if isinstance(fault, BackendDown):
                stack.enter_context(self.store_outages.down(fault))
            elif isinstance(fault, BackendFail):
                stack.enter_context(self.store_outages.failing(fault))
            elif isinstance(fault, Fail | Delay):  # for `flow.perform`
                task = self.app.tasks[fault.task]
                stack.enter_context(troubled(self.bodies, task, fault, self.recorder))
            yield

    def injected(self, fault: Fault) -> AbstractContextManager[None]:
        """Bring a fault about.

        Raises:
            UnsupportedFault: The broker is reached by TLS or a socket, which cannot be shut off.
        """
        if isinstance(fault, BrokerDown):
            if self._gate is None:
                raise UnsupportedFault(
                    f"mode 'process' cannot do {fault.name} on {self._server!r}: it is reached by "
                    "TLS or a socket, where the toolkit cannot stand in between. It can with "
                    "broker='redis' or 'rabbitmq', and so can the modes 'worker' and 'sim'"
                )
            return self.outages.planned(fault)
        return self._injected(fault)

    # --- what there is ---

    def outputs(self) -> dict[str, str]:
        """What each worker wrote, by its name."""
        return {worker.name: worker.output for worker in self.worker_processes}

    def stalled(self, workflow: Workflow | None = None, result: str | None = None) -> str:
        """Say what waits for what."""
        consumed = self.broker.consumers
        return stall.explain(
            self.app,
            self.recorder,
            stall.Scene(
                self.messages(),
                {m.queue for m in self.broker.waiting() if not consumed(m.queue)},
                notes=[*self.outages.notes(), *self.store_outages.notes(), *self._notes()],
                deserted=not self._alive,
                late=None if self._stuck() else (f"{self._bound:g} s of real time", LATE),
            ),
            workflow=workflow,
            result=result,
        )

    def _notes(self) -> list[str]:
        told = [
            f"worker {worker.name} is {worker.state}" + (f": it {why}" if why else "")
            for worker in self.worker_processes
            if worker.state != "running"
            for why in [worker.ending]
        ]
        orphans = self.broker.orphans()
        if orphans:
            labels = ", ".join(
                self.recorder.label(m.task_id or "", m.task) for m in orphans if m.task_id
            )
            told.append(
                f"Redis still counts {labels} as delivered to a worker that is gone; it gives back "
                f"what is unacknowledged for the visibility timeout, {self._visibility:g} s. Set a "
                "shorter one: config={'broker_transport_options': {'visibility_timeout': 1, "
                "'unacked_restore_interval': 0.2, 'unacked_restore_throttle': 1}}"
            )
        return told


def together(*calls: Callable[[], None]) -> None:
    """Make several calls at the same time, and raise the first exception of them."""
    raised: list[BaseException] = []

    def made(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001 - raised below
            raised.append(exc)

    threads = [threading.Thread(target=made, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
