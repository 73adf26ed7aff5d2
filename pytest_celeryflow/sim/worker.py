"""Celery's own worker in the world: `WorkController`, `Consumer`, its loop, all as they are.

Only the pool and the timer are ours (`pool.py`, `timer.py`). The worker's main loop runs in
a greenlet of its own: Celery's ``synloop`` (`celery/worker/loops.py`) waits in
``connection.drain_events``, which is waiting in the world, so that reconnecting, consuming
and quality of service are Celery's own code too.

`celery.worker.state` is one set of globals a process. Several workers in one process need
one each: the contents are exchanged when the turn passes from one worker to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from celery import Celery
from celery.bootsteps import CLOSE, RUN
from celery.worker import state

from pytest_celeryflow.controller import Controller, build
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.sim.crashes import Crashes
from pytest_celeryflow.sim.fiber import Fiber, Killed
from pytest_celeryflow.sim.pool import SimPool
from pytest_celeryflow.sim.worker_timer import SimTimer
from pytest_celeryflow.sim.world import World

__all__ = ["SimWorker"]


class SimWorker:
    """One simulated worker.

    Args:
        world: Where it lives.
        app: Whose tasks it runs.
        recorder: Told what its pool does.
        crashes: Where its processes are killed.
        lost: Called when it is killed, with the seconds after which another takes its place.
        name: Its node name, ``"w1"``.
        concurrency: Slots of its pool.
        prefetch_multiplier: As Celery's setting; ``None`` takes the app's.
        queues: Names of the queues to consume; ``None`` takes the app's.
    """

    def __init__(
        self,
        world: World,
        app: Celery,
        recorder: Recorder,
        crashes: Crashes,
        lost: Callable[[SimWorker, float | None], None],
        *,
        name: str,
        concurrency: int,
        prefetch_multiplier: int | None,
        queues: tuple[str, ...] | None,
    ) -> None:
        self.world, self.app, self.name = world, app, name
        self.memory = _Memory()
        self._recorder, self._lost = recorder, lost
        #: What became of it, once it is no more.
        self.gone: str | None = None
        self._started = False
        parts = {"world": world, "recorder": recorder, "crashes": crashes, "worker": self}
        pool_cls = type("SimPool", (SimPool,), {**parts, "app": app})
        timer_cls = type("SimTimer", (SimTimer,), {"world": world, "worker": self})
        world.attend(self)
        self.controller = build(
            Controller,
            app,
            name,
            queues,
            pool=pool_cls,
            timer_cls=timer_cls,
            concurrency=concurrency,
            prefetch_multiplier=prefetch_multiplier,
        )
        self.fiber = Fiber(world, name, self._run, app=app, worker=self, is_task=False)

    @property
    def pool(self) -> SimPool:
        """Its pool."""
        return self.controller.pool

    @property
    def consumer(self) -> Any:
        """Its consumer."""
        return self.controller.consumer

    def _run(self) -> None:
        try:
            self.controller.blueprint.start(self.controller)
        except (Exception, SystemExit) as exc:
            if not self._started:
                raise
            # Celery's command line would log "Unrecoverable error" and exit.
            self._recorder.note("fault", reason=f"{self.name} gave up: {exc!r}")
            self._leave_world()
            self.pool.vanish(f"{self.name} gave up")
            self.gone = f"{self.name} gave up: {exc!r}"

    def start(self) -> None:
        """Start it; it waits for messages afterwards."""
        self.world.spawn(self.fiber)
        self._started = True
        self.world.housekeeping.append(self.tidy)
        # What was delivered starts before more is delivered, as far as there is room.
        self.world.sources.insert(0, self.pool)

    def tidy(self) -> None:
        """Let its loop go round when it has more to do than to wait for messages."""
        consumer = self.consumer
        qos = consumer.qos
        while consumer._pending_operations or (qos is not None and qos.prev != qos.value):
            if not self._nudge():
                return

    @property
    def connected(self) -> bool:
        """Whether its loop waits for messages on a connection."""
        return self._waiting_in() is not None

    def _waiting_in(self) -> Any:
        connection = self.consumer.connection
        transport = connection.transport if connection is not None else None
        if transport is None or transport.broken or transport.fiber is not self.fiber:
            return None
        return transport

    def _nudge(self) -> bool:
        transport = self._waiting_in()
        if transport is None:
            return False
        transport.nudged = True
        self.world.enter(self.fiber)
        return True

    def lose(self, reason: str, restart_after: float | None) -> NoReturn:
        """Kill it where the code that runs is its own: that ends here.

        Args:
            reason: As for `kill`.
            restart_after: As for `kill`.
        """
        fiber = self.world.fiber
        self.kill(reason, restart_after)
        if fiber is not None and fiber.job is not None:
            fiber.job.die_with_worker()
        self.fiber.dying = True
        raise Killed

    def kill(self, reason: str, restart_after: float | None) -> None:
        """Kill it, as from outside, with all it was doing and all it had taken.

        What it has not acknowledged is the broker's to give back.

        Args:
            reason: What happened, in words.
            restart_after: Seconds after which another takes its place, or ``None``.
        """
        me = self.world.fiber
        self.tidy()  # Celery 5.4 and 5.5 acknowledge in the next round of the loop
        self._leave_world()
        self.pool.vanish(reason)
        self.controller.timer.clear()
        for channel in list(self.consumer.connection.transport.channels):
            channel.abandon()
        replaced = "and is not replaced" if restart_after is None else "and is being replaced"
        self.gone = f"{reason}, {replaced}"
        self._recorder.silenced.add(self.fiber.greenlet)
        if me is not self.fiber:
            self.world.kill(self.fiber)
        self._lost(self, restart_after)

    def _leave_world(self) -> None:
        if self.pool in self.world.sources:
            self.world.sources.remove(self.pool)
            self.world.housekeeping.remove(self.tidy)

    def stop(self) -> None:
        """Stop it as a warm shutdown does, except that nothing is waited for."""
        if self.gone is not None:
            return
        self.world.attend(self)
        self._leave_world()
        blueprint = self.consumer.blueprint
        # The loop ends first, as if a signal had come; then the worker is taken apart.
        blueprint.state = CLOSE
        if self._nudge():
            blueprint.state = RUN
        self.controller.stop()
        if self.fiber.parked:
            self.world.kill(self.fiber)


class _Memory:
    """What `celery.worker.state` holds for one worker."""

    def __init__(self) -> None:
        self.requests: dict[str, Any] = {}
        self.sets: list[set[Any]] = [set() for _ in _SETS]
        self.revoked = type(state.revoked)(
            maxlen=state.REVOKES_MAX, expires=state.REVOKE_EXPIRES
        ).__dict__
        self.successful = type(state.successful_requests)(
            maxlen=state.SUCCESSFUL_MAX, expires=state.SUCCESSFUL_EXPIRES
        ).__dict__
        self.total: dict[str, int] = {}
        self.all_total = [0]
        self.revoked_stamps: dict[str, Any] = {}

    def exchange(self) -> None:
        """Swap these contents with those of the globals."""
        _swap_dicts(state.requests, self.requests)
        for number, name in enumerate(_SETS):
            weak = getattr(state, name)
            weak.data, self.sets[number] = self.sets[number], weak.data
        for limited, mine in ((state.revoked, self.revoked), (state.successful_requests, self.successful)):
            _swap_dicts(limited.__dict__, mine)
        _swap_dicts(state.total_count, self.total)
        state.all_total_count[:], self.all_total = self.all_total, list(state.all_total_count)
        _swap_dicts(state.revoked_stamps, self.revoked_stamps)


#: WeakSets of `celery.worker.state`, in the versions that have them (scheduled: 5.7).
_SETS = tuple(
    name
    for name in ("reserved_requests", "active_requests", "scheduled_requests")
    if hasattr(state, name)
)


def _swap_dicts(one: dict[Any, Any], other: dict[Any, Any]) -> None:
    kept = dict(one)
    one.clear()
    one.update(other)
    other.clear()
    other.update(kept)


@contextmanager
def separate_memories(world: World) -> Iterator[None]:
    """Give each worker its own `celery.worker.state`, and put the process's own back."""
    outer, active = _Memory(), None

    def attend(worker: Any) -> None:
        nonlocal active
        if worker is active or not isinstance(worker, SimWorker):
            return
        (active.memory if active is not None else outer).exchange()
        worker.memory.exchange()
        active = worker

    world.entering.append(attend)
    try:
        yield
    finally:
        if active is not None:
            active.memory.exchange()
            outer.exchange()
        world.entering.remove(attend)
