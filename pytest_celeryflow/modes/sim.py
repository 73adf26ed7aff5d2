"""`sim`: the app's own worker, canvas and result logic in a deterministic simulation."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from celery import Celery, states

from pytest_celeryflow import stall
from pytest_celeryflow.books import Workflow
from pytest_celeryflow.borrow import borrowed, is_configured
from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import SEMANTICS, semantics_of
from pytest_celeryflow.broker.stored import Stored
from pytest_celeryflow.clock import VirtualClock
from pytest_celeryflow.controller import (
    consume_too,
    django_fixup_resting,
    warnings_not_raised,
)
from pytest_celeryflow.errbacks import errbacks_recorded
from pytest_celeryflow.errors import CeleryflowError, WorkflowStalled
from pytest_celeryflow.faults import Crash, Fault
from pytest_celeryflow.injection.around import planned_around
from pytest_celeryflow.injection.bodies import Bodies, troubled
from pytest_celeryflow.injection.messages import Tampering
from pytest_celeryflow.injection.outages import BrokerOutages, StoreOutages
from pytest_celeryflow.listening import Listening
from pytest_celeryflow.modes.protocol import Message, Opening
from pytest_celeryflow.modes.single import broker_settings, one_task, pending_messages
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.replacing import SeededUuids, real_functions
from pytest_celeryflow.results import select
from pytest_celeryflow.results.values import Values
from pytest_celeryflow.sim.aio import virtual_loops
from pytest_celeryflow.sim.choosing import Choosing
from pytest_celeryflow.sim.crashes import Crashes, inside
from pytest_celeryflow.sim.fiber import Fiber
from pytest_celeryflow.sim.quirks import code_copied_once, default_arguments
from pytest_celeryflow.sim.transactions import Transactions
from pytest_celeryflow.sim.transport import BrokerSource, SimTransport
from pytest_celeryflow.sim.waiting import watch_waits
from pytest_celeryflow.sim.worker import SimWorker, separate_memories
from pytest_celeryflow.sim.world import World

__all__ = ["SimMode"]

_LATE = "It goes on when time passes: flow.drain(), flow.clock.advance(), or a longer timeout=."

#: A workflow that has not come to rest after so many executions never will.
MAX_EXECUTIONS = 100_000

#: Nor one in which so many tasks in a row were each published by the one before.
MAX_GENERATIONS = 20_000

#: Seconds between two looks for messages whose visibility has timed out.
_LOOK = 10.0


class SimMode(Opening):
    """One app in the simulated world. See `pytest_celeryflow.simulate` for the arguments."""

    name = "sim"
    clock: VirtualClock

    def __init__(
        self,
        app: Celery,
        *,
        workers: int,
        concurrency: int,
        prefetch_multiplier: int | None,
        broker: str | None,
        backend: str | None,
        start: Any,
        seed: int,
        config: Mapping[str, Any],
        queues: Sequence[str] | None,
    ) -> None:
        self.app = app
        self.seed = seed
        self.workers: list[SimWorker] = []
        self._replacing = 0
        #: Of the last workflow, when it was its `timeout` that ran out.
        self._late: tuple[str, str] | None = None
        self._count, self._concurrency = workers, concurrency
        self._prefetch, self._queues = prefetch_multiplier, queues
        self._broker_name, self._backend_name = broker, backend
        self._start, self._config = start, config

    # --- life ---

    def _open(self, stack: ExitStack) -> None:
        app = self.app
        broker_url = str(app.conf.broker_url or "") if is_configured(app, "broker_url") else None
        semantics = semantics_of(broker_url)
        if self._broker_name is not None:
            semantics = SEMANTICS[self._broker_name]
        joins = World.current is not None
        self.world = stack.enter_context(_world(self._start, self.seed))
        self.clock = self.world.clock
        began = self.clock.elapsed
        self._began = self.clock.us
        self.recorder = Recorder(app, lambda: self.clock.elapsed - began, self._where)
        self.recorder.alone = True
        self.bodies = Bodies()
        self.crashes = Crashes(app, self.world, self.recorder, self.bodies)
        told, conf = self._config, app.conf
        options = told.get("broker_transport_options", conf.broker_transport_options) or {}
        steps = tuple(options.get("priority_steps") or (0, 3, 6, 9))
        self.broker = Broker(semantics, self.recorder, priority_steps=steps)
        self.tampering = Tampering(self.broker, self.recorder)
        self.outages = BrokerOutages(self.broker, self.recorder, self.world.call_after)
        if semantics.visibility:
            self._visibility = float(options.get("visibility_timeout") or 3600)
            self._look = float(options.get("unacked_restore_interval") or _LOOK)
            self.broker.handed_out = self._set_alarm
        if self._queues is None and not told.get("task_queues", conf.task_queues):
            self.broker.unconsumed = self._consume_too
        url = stack.enter_context(SimTransport.serving(self.broker, self.world))
        self.values = Values(self._now, self._wait_for_value)
        make_backend = select.for_simulation(app, self._backend_name, self.values)
        config = {**broker_settings(app, url), "task_always_eager": False, **self._config}
        if make_backend is None and self._backend_name is not None:
            named = self._backend_name
            config["result_backend"] = "rpc://" if named == "rabbitmq" else named
        stack.enter_context(borrowed(app, mode=self.name, config=config, backend=make_backend))
        if make_backend is None and select.is_lasting(app):
            self.recorder.first_seen = self._forget_an_earlier_result
        values = self.values if make_backend is not None else None
        later = self.world.call_after
        self.store_outages = StoreOutages(app.backend, values, self.recorder, later)
        self.values.used = self._store_is_used
        self.values.reached = self.store_outages.refuse
        stack.enter_context(watch_waits(app.backend, self.world, self.recorder, self.stalled))
        stack.enter_context(errbacks_recorded(app, self.recorder))
        stack.enter_context(django_fixup_resting())
        stack.enter_context(warnings_not_raised())
        self.listening = Listening(self.recorder)
        self.listening.connect()
        stack.callback(self.listening.disconnect)
        self.world.jumped.append(self._note_clock)
        stack.callback(self.world.jumped.remove, self._note_clock)
        source = BrokerSource(self.broker, self.recorder.label)
        self.world.sources.append(source)
        stack.callback(self.world.sources.remove, source)
        self.world.spinning.append(self._spinning)
        stack.callback(self.world.spinning.remove, self._spinning)
        stack.callback(self._stop_workers)
        for number in range(1, self._count + 1):
            self.workers.append(self._worker(f"w{number}"))
            self.workers[-1].start()
        if self.world.transactions is None:
            transactions = Transactions(self.world)
            stack.enter_context(transactions.told_apart())
            self.world.transactions = transactions.notes
            stack.callback(setattr, self.world, "transactions", None)
        if not joins:  # ids that the first app has used must not be drawn again
            self.world.seed(self.seed)

    def _worker(self, name: str) -> SimWorker:
        return SimWorker(
            self.world,
            self.app,
            self.recorder,
            self.crashes,
            self._replace,
            name=name,
            concurrency=self._concurrency,
            prefetch_multiplier=self._prefetch,
            queues=tuple(self._queues) if self._queues is not None else None,
        )

    def _replace(self, lost: SimWorker, after: float | None) -> None:
        """A worker was killed: another takes its place and its name, as a supervisor does it."""

        def start() -> None:
            self._replacing -= 1
            worker = self._worker(lost.name)
            self.workers[self.workers.index(lost)] = worker
            worker.start()

        if after is not None:
            self._replacing += 1
            self.world.call_after(after, start, name=f"{lost.name} restarts")

    def _store_is_used(self) -> None:
        self.world.act()
        self.store_outages.refuse()

    def _stop_workers(self) -> None:
        self.listening.disconnect()
        for worker in reversed(self.workers):
            worker.stop()

    def _where(self) -> str | None:
        fiber = self.world.fiber
        return fiber.worker.name if fiber is not None and fiber.worker is not None else None

    def _forget_an_earlier_result(self, id_: str) -> None:
        with self.looking():
            if self.app.backend.get_task_meta(id_)["status"] != states.PENDING:
                self.app.backend.forget(id_)

    def _note_clock(self) -> None:
        self.recorder.note("clock", now=self.clock.now.isoformat())

    def _now(self) -> float:
        return self.clock.us / 1_000_000

    def _wait_for_value(self, ready: Any, timeout: float | None) -> bool:
        __tracebackhide__ = True
        return self.world.block(ready, timeout)

    def _set_alarm(self, message: Stored) -> None:
        def give_back() -> None:
            message.alarm = None
            self.broker.reappear(message)

        # kombu looks every ten seconds, and takes what is older than the timeout by then
        # (`kombu/transport/redis.py`: `register_with_event_loop`, `QoS.restore_visible`).
        limit = self.clock.us + round(self._visibility * 1_000_000)
        look = round(self._look * 1_000_000)
        next_look = self._began + ((limit - self._began) // look + 1) * look
        alarm = self.world.call_at(next_look, give_back, name="visibility")
        # A message that each worker has had in vain moves no clock: it would come back for ever.
        alarm.essential = lambda: self.broker.copies_of(message) <= len(self.workers)
        message.alarm = alarm

    def _consume_too(self, queue: str) -> None:
        for worker in self.workers:
            consume_too(worker.consumer, queue, connected=worker.connected)

    def _spinning(self) -> bool:
        """Whether all that is left to happen is chords asking whether they are complete."""
        return self.recorder.only_unlocking()

    # --- work ---

    def settle(self, workflow: Workflow, timeout: float | None) -> None:
        """Work until a workflow is at rest, at most some virtual seconds."""
        restless = self._restless(MAX_EXECUTIONS)

        def done() -> bool:
            endless = self.recorder.endless is not None
            return workflow.live <= 0 or endless or self._spinning() or bool(restless())

        self._late = None
        if timeout is None:
            self.world.drive(done)
            if workflow.live > 0 and (why := restless()):
                raise WorkflowStalled(why)
            return
        deadline = self.clock.us + round(timeout * 1_000_000)
        self.world.drive_within(done, deadline)
        if self.clock.us >= deadline and workflow.live > 0:
            self._late = f"{timeout:g} s of virtual time", _LATE

    def drain(self, queue: str | None, limit: int | None) -> None:
        """Work until nothing is left."""
        begun = self.recorder.executions
        restless = self._restless(limit if limit is not None else MAX_EXECUTIONS)

        def done() -> bool:
            endless = self.recorder.endless is not None
            return endless or self._spinning() or bool(restless())

        self.broker.only = queue
        try:
            self.world.drive(done)
        finally:
            self.broker.only = None
        stopped = limit is not None and self.recorder.executions - begun >= limit  # as asked for
        if not stopped and (why := restless()):
            raise WorkflowStalled(why)
        if queue is None and limit is None and self.recorder.live > 0:
            raise WorkflowStalled(self.stalled())

    def _restless(self, executions: int) -> Callable[[], str | None]:
        """Tells, from now on, that there were so many executions or generations without rest."""
        recorder = self.recorder
        most = recorder.executions + executions
        deepest = recorder.deepest[0] + MAX_GENERATIONS

        def told() -> str | None:
            if recorder.executions >= most:
                waiting = ", ".join(message.label for message in self.messages()[:8])
                return (
                    f"no rest after {executions:,} executions: something publishes or retries "
                    f"without end\n\nStill waiting: {waiting or 'nothing'}"
                )
            if recorder.deepest[0] > deepest:
                label = recorder.label(recorder.deepest[1], None)
                return (
                    f"no rest after {MAX_GENERATIONS:,} tasks, each published by the one before\n\n"
                    f"The last of them is {label}. Whatever it waits for, it publishes itself once "
                    "more: give it an end"
                )
            return None

        return told

    def perform(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], headers: Mapping[str, Any]
    ) -> str:
        """Run one task in a greenlet of its own; what it publishes stays in its queue."""
        id_, run = one_task(self.app, task, args, kwargs, headers)
        worker = self.workers[0]
        label = self.recorder.label(id_, task.name)
        self.recorder.adopt(id_, self.recorder.workflow())
        fiber = Fiber(self.world, label, run, app=self.app, worker=worker, is_task=True)
        self.world.held += 1
        try:
            self.world.spawn(fiber)
            self.world.drive(lambda: fiber.dead)
        finally:
            self.world.held -= 1
        if not fiber.dead:
            waits = self.stalled(result=id_)
            self.world.kill(fiber)
            raise WorkflowStalled(
                f"{label} waits for something that perform() does not run\n\n{waits}"
            )
        return id_

    # --- faults ---

    def injected(self, fault: Fault) -> AbstractContextManager[None]:
        """Bring a fault about."""
        if isinstance(fault, Crash):
            return self.crashes.planned(fault)
        around = planned_around(fault, self.tampering, self.outages, self.store_outages)
        if around is not None:
            return around
        task = self.app.tasks[fault.task]
        within = partial(inside, self.world)
        return troubled(
            self.bodies, task, fault, self.recorder, inside=within, hang=self.world.hang
        )

    def explore(self, choosing: Choosing) -> None:
        """From now on, and until the end, let an oracle choose."""
        self.world.choosing = choosing
        self._stack.enter_context(self.crashes.explored(choosing))
        self.tampering.choosing = choosing
        self._stack.callback(setattr, self.world, "choosing", None)

    def looking(self) -> AbstractContextManager[None]:
        """The toolkit itself looks at results: no fault strikes it."""
        return self.store_outages.looking()

    # --- what waits ---

    def messages(self) -> list[Message]:
        """Every task that waits in a queue, for its ETA, or for a free slot."""
        waiting = {
            request.id
            for worker in self.workers
            for request in (entry.entry.args[0] for entry in worker.controller.timer.queue)
            if hasattr(request, "id")
        }
        waiting |= {job.correlation_id for w in self.workers for job in w.pool.waiting}
        return pending_messages(self.broker, self.recorder, waiting)

    def stalled(self, workflow: Workflow | None = None, result: str | None = None) -> str:
        """Say what waits for what."""
        return stall.explain(
            self.app,
            self.recorder,
            self._scene(),
            workflow=workflow,
            result=result,
        )

    def _scene(self) -> stall.Scene:
        unconsumed = {m.queue for m in self.broker.waiting() if not self.broker.consumers(m.queue)}
        crowded = {}
        for worker in self.workers:
            taken = ", ".join(job.label for job in worker.pool.running())
            slots = worker.pool.limit
            all_ = "its only one is" if slots == 1 else f"all {slots} are"
            for job in worker.pool.waiting:
                crowded[job.correlation_id] = f"{all_} taken by {taken}"
        gone = [w.gone for w in self.workers if w.gone is not None]
        return stall.Scene(
            self.messages(),
            unconsumed,
            crowded,
            [*self.outages.notes(), *self.store_outages.notes(), *gone, *self._transactions()],
            deserted=len(gone) == len(self.workers) and not self._replacing,
            late=self._late,
        )

    def _transactions(self) -> list[str]:
        return self.world.transactions() if self.world.transactions is not None else []


@contextmanager
def _world(start: Any, seed: int) -> Iterator[World]:
    """The world of this thread, which a second app in the same test joins."""
    if World.current is not None:
        if World.current.thread != threading.get_ident():
            raise CeleryflowError(
                "a simulation is open in another thread, and virtual time is one for the whole "
                "process; close it first, or run the tests in processes of their own"
            )
        yield World.current
        return
    clock = VirtualClock(start)
    world = World(clock)
    state = random.getstate()
    real = real_functions()
    uuids = SeededUuids(seed)
    with ExitStack() as stack:
        stack.enter_context(
            clock.installed({real["sleep"]: world.sleep_function(), real["uuid4"]: uuids})
        )
        stack.enter_context(default_arguments(uuids))
        stack.enter_context(code_copied_once())
        stack.enter_context(virtual_loops(world))
        clock.driven_by(world.pass_until, world.call_for_test)
        stack.callback(random.setstate, state)

        def reseed(number: int) -> None:
            random.seed(f"celeryflow-{number}")
            uuids.seed(number)

        world.seed = reseed
        World.current = world
        stack.callback(setattr, World, "current", None)
        stack.enter_context(separate_memories(world))
        stack.callback(world.close)
        yield world
