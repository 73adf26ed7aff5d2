"""Kills processes at points of an execution's life.

A point is reached in code of Celery's; where that code can be seen from outside is here:

* RECEIVED: the signal ``task_received`` (`celery/worker/strategy.py:default`).
* BEFORE_ACK, BEFORE_LATE_ACK: before what the pool tells the request
  (`celery/worker/request.py:Request.on_accepted`, ``on_success``, ``on_failure``).
* AFTER_ACK, IN_BODY, BEFORE_CALLBACKS: the body itself, wrapped. An execution counts as begun
  at AFTER_ACK: Celery has sent its event ``task-started``.
* AFTER_CALLBACKS, BEFORE_RESULT, AFTER_RESULT: around the backend's ``mark_as_done``,
  ``mark_as_failure`` and ``store_result``, on the instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from celery import Celery, signals

from pytest_celeryflow.faults import Crash, CrashPoint
from pytest_celeryflow.injection.bodies import Bodies
from pytest_celeryflow.injection.outages import laid_around
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.sim.choosing import Choosing
from pytest_celeryflow.sim.fiber import Killed
from pytest_celeryflow.sim.world import World

__all__ = ["Crashes", "inside"]

_UNLOCK = "celery.chord_unlock"
_AT_THE_BODY = (CrashPoint.AFTER_ACK, CrashPoint.IN_BODY, CrashPoint.BEFORE_CALLBACKS)


class Crashes:
    """Which executions are cut off, and where."""

    def __init__(self, app: Celery, world: World, recorder: Recorder, bodies: Bodies) -> None:
        self._app, self._world, self._recorder, self._bodies = app, world, recorder, bodies
        self._planned: tuple[Crash, ...] = ()
        #: What is laid around the backend and the bodies while anybody is interested.
        self._watching = ExitStack()
        self._interested = 0
        self._bodied: set[str] = set()
        self._choosing: Choosing | None = None

    @contextmanager
    def planned(self, fault: Crash) -> Iterator[None]:
        """Let a crash strike meanwhile."""
        self._planned = (*self._planned, fault)
        with self._watched():
            if fault.at in _AT_THE_BODY and fault.task is not None:
                self._wrap(fault.task)
            try:
                yield
            finally:
                self._planned = tuple(f for f in self._planned if f is not fault)

    @contextmanager
    def explored(self, choosing: Choosing) -> Iterator[None]:
        """Let an oracle choose at each point, meanwhile."""
        if not {"crash", "delay"} & choosing.faults:
            yield
            return
        self._choosing = choosing
        with self._watched():
            try:
                yield
            finally:
                self._choosing = None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """See the points reached, as long as anybody is interested."""
        if not self._interested:
            self._watch(self._watching)
        self._interested += 1
        try:
            yield
        finally:
            self._interested -= 1
            if not self._interested:
                self._watching.close()
                self._bodied.clear()

    def _wrap(self, name: str) -> None:
        if name not in self._bodied and name != _UNLOCK:
            self._bodied.add(name)
            task = self._app.tasks[name]
            wrapped = self._bodies.wrapped(task, self._around_body(task))
            self._watching.enter_context(wrapped)

    def _concerns_any_body(self) -> bool:
        if self._choosing is not None:
            return True
        return any(f.task is None and f.at in _AT_THE_BODY for f in self._planned)

    # --- what is reached ---

    def reach(self, point: CrashPoint, job: Any) -> None:
        """A job is at a point: kill its process or its worker, if a crash is planned there."""
        if self._interested:
            if point is CrashPoint.BEFORE_ACK and self._concerns_any_body():
                self._wrap(job.args[0])
            self._reach(point, job.args[0], job.correlation_id, job, job.pool.worker)

    def _reach(self, point: CrashPoint, task: str, id_: str, job: Any, worker: Any) -> None:
        for fault in self._planned:
            if fault.at is point and fault.concerns(task) and task != _UNLOCK and fault.strikes():
                self._recorder.note(
                    "fault", task=task, id=id_, reason=str(fault), worker=worker.name
                )
                if fault.victim == "process":
                    job.lose(f"its process was killed {point.value}")
                worker.lose(f"{worker.name} was killed {point.value}", fault.restart_after)
        if self._choosing is not None and task != _UNLOCK:
            self._tempt(point, task, id_, job, worker)

    def _tempt(self, point: CrashPoint, task: str, id_: str, job: Any, worker: Any) -> None:
        """Ask the oracle whether somebody is killed here, or takes longer."""
        choosing = self._choosing
        assert choosing is not None
        label = self._recorder.label(id_, task)
        if point is CrashPoint.AFTER_ACK and "delay" in choosing.faults:
            longer = f"{label} takes {choosing.delay:g} s longer"
            if choosing.fault([longer], label):
                self._recorder.note("fault", task=task, id=id_, reason=longer)
                self._world.sleep(choosing.delay)
        if "crash" not in choosing.faults:
            return
        words = {
            "process": f"the process of {label} is killed {point.value}",
            "worker": f"{worker.name} is killed {point.value}, with {label}",
        }
        taken = choosing.fault([words[victim] for victim in point.victims], label)
        if not taken:
            return
        victim = point.victims[taken - 1]
        self._recorder.note("fault", task=task, id=id_, reason=words[victim], worker=worker.name)
        if victim == "process":
            job.lose(f"its process was killed {point.value}")
        worker.lose(f"{worker.name} was killed {point.value}", 0.0)

    # --- where it is seen ---

    def _watch(self, stack: ExitStack) -> None:
        signals.task_received.connect(self._on_received, weak=False)
        stack.callback(signals.task_received.disconnect, self._on_received)
        backend = self._app.backend
        for name, around in (
            ("mark_as_done", self._around_done),
            ("mark_as_failure", self._around_failure),
            ("store_result", self._around_store),
            ("_call_task_errbacks", self._around_errbacks),
        ):
            stack.enter_context(laid_around(backend, name, around))

    def _on_received(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        worker = self._world.fiber.worker if self._world.fiber is not None else None
        if worker is not None and getattr(sender, "app", None) is self._app:
            self._reach(CrashPoint.RECEIVED, request.name, request.id, None, worker)

    def _job(self, id_: Any) -> Any:
        """The job that the code runs in, if the task with this id is what it runs."""
        job = self._world.fiber.job if self._world.fiber is not None else None
        return job if job is not None and job.correlation_id == id_ and not job.left else None

    def _around_body(self, task: Any) -> Callable[..., Any]:
        def wrapper(body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            job = self._job(task.request.id)
            if job is None:
                return body(*args, **kwargs)
            self.reach(CrashPoint.AFTER_ACK, job)
            reach = partial(self.reach, CrashPoint.IN_BODY, job)
            result = inside(self._world, reach, partial(body, *args, **kwargs))
            self.reach(CrashPoint.BEFORE_CALLBACKS, job)
            return result

        return wrapper

    def _around_done(self, call: Any, task_id: str, value: Any, *args: Any, **more: Any) -> Any:
        job = self._job(task_id)
        if job is None:
            return call(task_id, value, *args, **more)
        self.reach(CrashPoint.AFTER_CALLBACKS, job)
        return self._stored(job, "succeeded", {"result": value}, call, value, *args, **more)

    def _around_failure(self, call: Any, task_id: str, exc: Any, *args: Any, **more: Any) -> Any:
        job = self._job(task_id)
        if job is None:
            return call(task_id, exc, *args, **more)
        return self._stored(job, "failed", {"error": exc}, call, exc, *args, **more)

    def _stored(
        self, job: Any, kind: str, told: dict[str, Any], call: Any, *args: Any, **more: Any
    ) -> Any:
        self.reach(CrashPoint.BEFORE_RESULT, job)
        job.storing = kind, told
        result = call(job.correlation_id, *args, **more)
        if job.storing:  # it ignores its result, and nothing was stored
            self._is_stored(job)
        return result

    def _around_store(self, call: Any, task_id: str, *args: Any, **kwargs: Any) -> Any:
        job = self._job(task_id)
        result = call(task_id, *args, **kwargs)
        if job is not None and job.storing:
            self._is_stored(job)
        return result

    def _is_stored(self, job: Any) -> None:
        job.outcome, job.storing = job.storing, None
        self.reach(CrashPoint.AFTER_RESULT, job)

    def _around_errbacks(self, call: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        job = self._job(request.id)
        if job is not None:
            self.reach(CrashPoint.BEFORE_CALLBACKS, job)
        result = call(request, *args, **kwargs)
        if job is not None:
            self.reach(CrashPoint.AFTER_CALLBACKS, job)
        return result


def inside(world: World, act: Callable[[], None], body: Callable[[], Any]) -> Any:
    """Run a body, and do something once in the middle of it.

    That is where it first waits, publishes or stores something, or else where it ends.
    """
    fiber = world.fiber
    if fiber is None:
        act()
        return body()
    pending = True

    def once() -> None:
        nonlocal pending
        pending = False
        act()

    fiber.interruptions.append(once)
    try:
        result = body()
    except Killed:
        raise
    except BaseException:
        if pending:
            fiber.interruptions.remove(once)
            act()
        raise
    if pending:
        fiber.interruptions.remove(once)
        act()
    return result
