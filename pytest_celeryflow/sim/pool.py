"""The worker's pool: as many slots as prefork has processes, each a greenlet.

A job is billiard's own `ApplyResult` (`billiard/pool.py`), which is what prefork hands to
Celery: when it accepts, succeeds, fails, is terminated or times out it calls the request's
callbacks in billiard's order. Ours is only where the function runs, and what a process's
death means for it.

Time limits follow `billiard.pool.Pool`: at the soft one the request is told and
`SoftTimeLimitExceeded` is raised where the task stands (``on_soft_timeout``); at the hard
one the job fails with `TimeLimitExceeded`, the request is told, and the task is unwound
(``on_hard_timeout``). A task that never waits is never interrupted: it takes no time.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NoReturn

from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from billiard.pool import ApplyResult
from billiard.pool import Pool as BilliardPool
from celery import signals
from celery.concurrency.base import BasePool

from pytest_celeryflow.borrow import as_workers_trace
from pytest_celeryflow.faults import CrashPoint
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.sim.crashes import Crashes
from pytest_celeryflow.sim.fiber import Fiber, Killed
from pytest_celeryflow.sim.timers import Timer
from pytest_celeryflow.sim.world import World

__all__ = ["Job", "SimPool"]

#: Process ids of the simulated pool begin here; one a slot.
_FIRST_PID = 100


class Job(ApplyResult):
    """One task in the pool, from its submission until its callbacks have run."""

    _job: int

    def __init__(self, pool: SimPool, target: Any, args: Any, kwargs: Any, **options: Any) -> None:
        super().__init__(pool.jobs, options.pop("callback", None), **options)
        self.pool = pool
        self.target, self.args, self.kwargs = target, args, kwargs
        self.fiber: Fiber | None = None
        self.slot = -1
        self.over = False
        #: The function has returned; what is left is the worker's own process's.
        self.left = False
        #: How its execution ends, and with what, about to be stored.
        self.storing: tuple[str, dict[str, Any]] | None = None
        #: The same once it is stored.
        self.outcome: tuple[str, dict[str, Any]] | None = None
        #: What to do when the killed process is gone.
        self._bury: Callable[[], None] | None = None
        #: What kept the worker from dealing with its outcome.
        self._trouble: Exception | None = None
        # billiard counts jobs over the life of the process, and says the number in errors.
        del pool.jobs[self._job]
        self._job = next(pool.numbers)
        pool.jobs[self._job] = self
        self._limits: list[Timer] = []

    @property
    def name(self) -> str:
        """``<label> starts in <worker>``."""
        return f"{self.label} starts in {self.pool.worker.name}"

    @property
    def actor(self) -> str:
        """Its own label."""
        return self.label

    @property
    def label(self) -> str:
        """The task's label, or its id."""
        return self.pool.recorder.label(self.correlation_id, self.args[0])

    def make(self) -> None:
        """Start it in a free slot (the move)."""
        self.pool.start_job(self)

    def run(self) -> None:
        """What the slot's process does with it (`billiard.pool.Worker.workloop`)."""
        carry = self.pool.recorder.carry
        carry(self.correlation_id)
        try:
            self._run()
        finally:
            carry(None)

    def _run(self) -> None:
        reach = self.pool.crashes.reach
        try:
            reach(CrashPoint.BEFORE_ACK, self)
            self._ack(None, time.monotonic(), self.pool.pid(self.slot), None)
            if self.ready():  # terminated on acceptance: it had been revoked
                return
            self._start_limits()
            try:
                value = (True, self.target(*self.args, **self.kwargs))
            except (Killed, KeyboardInterrupt):
                raise
            except BaseException as exc:
                if _is_for_the_test(exc):
                    raise
                value = (False, ExceptionInfo())
            if not self.ready():
                self.leave()
                if self.acks_late:
                    reach(CrashPoint.BEFORE_LATE_ACK, self)
                try:
                    self._set(None, value)
                except MemoryError as exc:  # `Request.on_failure` ends its own process with it
                    self.pool.worker.lose(f"{self.pool.worker.name} ended: {_said(exc)}", 0.0)
        except Killed:
            if self._bury is None:
                raise
            self._bury()
        finally:
            self.end()

    def safe_apply_callback(self, fun: Any, *args: Any, **kwargs: Any) -> None:
        """Call back, noting what `billiard` logs and forgets."""

        def noting(*args: Any, **kwargs: Any) -> None:
            try:
                fun(*args, **kwargs)
            except Exception as exc:
                self._trouble = exc
                raise

        super().safe_apply_callback(fun and noting, *args, **kwargs)

    @property
    def acks_late(self) -> bool:
        """Whether the worker acknowledges the task when the pool is done with it."""
        return bool(self.request.task.acks_late)

    @property
    def request(self) -> Any:
        """Celery's request (`celery/worker/request.py:Request`), whose methods are called back."""
        return self._callback.__self__

    def lose(self, reason: str) -> NoReturn:
        """Kill the process that the code runs in, as from outside: nothing more of it happens.

        The worker is told at once, as with the event loop of Celery's prefork pool
        (`celery/concurrency/asynpool.py:AsynPool.on_job_process_lost`).
        """
        self.mark_lost(reason)
        self._bury = self._report_lost
        self._die()

    def die_with_worker(self) -> NoReturn:
        """Kill the process that the code runs in, whose worker is gone."""
        self._bury = lambda: None
        self._die()

    def _die(self) -> NoReturn:
        assert self.fiber is not None
        self.fiber.dying = True
        self.pool.recorder.silenced.add(self.fiber.greenlet)
        self._stop_limits()
        raise Killed

    def mark_lost(self, reason: str) -> None:
        """Write down that what it was doing is lost; what it had stored is not."""
        assert self.fiber is not None
        name, id_ = self.args[0], self.correlation_id
        self.pool.recorder.lost(name, id_, self.fiber.greenlet, reason, self.outcome)

    def _report_lost(self) -> None:
        """The worker finds out (`billiard.pool.Pool.mark_as_worker_lost`)."""
        assert self.fiber is not None
        self.pool.recorder.silenced.discard(self.fiber.greenlet)
        self.fiber.dying = False
        self.leave()
        BilliardPool.mark_as_worker_lost(self.pool, self, -signal.SIGKILL)

    def leave(self) -> None:
        """The function has returned: from here on, the worker's own process acts."""
        self.left = True
        self._stop_limits()
        if self.fiber is not None:
            self.fiber.join_blocks = False

    def end(self) -> None:
        """Give the slot back."""
        if not self.over:
            self.over = True
            self._stop_limits()
            if self._trouble is not None:
                self.mark_lost(f"its outcome could not be stored: {_said(self._trouble)}")
            self.pool.end_job(self)

    def cut_off(self) -> None:
        """Unwind the function where it stands, as a killed process would stop there."""
        fiber, world = self.fiber, self.pool.world
        if fiber is None or fiber.dead or world.fiber is fiber:
            return
        silenced = self.pool.recorder.silenced
        silenced.add(fiber.greenlet)
        try:
            world.kill(fiber)
        finally:
            silenced.discard(fiber.greenlet)

    def terminate(self, signum: int) -> None:
        """`ApplyResult.terminate`: the worker was asked to terminate the process."""
        super().terminate(signum)
        if self.slot >= 0 and not self.ready():
            self.pool.kill_job(self, signum)

    def _start_limits(self) -> None:
        world, limits = self.pool.world, self._limits
        if self._soft_timeout:
            limits.append(world.call_after(self._soft_timeout, self._soft, name="soft limit"))
        if self._timeout:
            limits.append(world.call_after(self._timeout, self._hard, name="hard limit"))
        for timer in limits:
            timer.essential = self._interruptible

    def _interruptible(self) -> bool:
        return not self.over and self.fiber is not None

    def _stop_limits(self) -> None:
        for timer in self._limits:
            timer.cancel()

    def _soft(self) -> None:
        if self.ready() or self.fiber is None or not self.fiber.parked:
            return
        world = self.pool.world
        world.attend(self.pool.worker)
        self._note_limit("soft", self._soft_timeout)
        self.handle_timeout(soft=True)
        world.enter(self.fiber, SoftTimeLimitExceeded())  # as `billiard.pool.soft_timeout_sighandler`

    def _note_limit(self, limit: str, seconds: float) -> None:
        name, id_, worker = self.args[0], self.correlation_id, self.pool.worker.name
        about = {"task": name, "id": id_, "worker": worker}
        self.pool.recorder.note("timeout", **about, limit=limit, seconds=float(seconds))

    def _hard(self) -> None:
        if self.ready():
            return
        self.pool.world.attend(self.pool.worker)
        self._note_limit("hard", self._timeout)
        assert self.fiber is not None
        for listener in self.pool.world.killing:
            listener(self.fiber)
        try:
            raise TimeLimitExceeded(self._timeout)  # noqa: TRY301 - ExceptionInfo reads it
        except TimeLimitExceeded:
            self._set(self._job, (False, ExceptionInfo()))
        self.handle_timeout(soft=False)
        if self.pool.recorder.is_running(self.correlation_id, self.fiber.greenlet):
            # Celery 5.5 and 5.6 put it back without a word.
            self.mark_lost("its process was killed at its hard time limit")
        self.cut_off()
        self.end()


def _said(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}".rstrip(": ")


def _is_for_the_test(exc: BaseException) -> bool:
    """Whether an exception is pytest's own outcome: `pytest.fail` or `skip` in a task."""
    return not isinstance(exc, (Exception, SystemExit))


class SimPool(BasePool):
    """Slots, and jobs that wait for one."""

    world: World
    recorder: Recorder
    crashes: Crashes
    worker: Any

    def on_start(self) -> None:
        """Announce the pool's processes, as prefork does in each (`process_initializer`)."""
        self.jobs: dict[int, Job] = {}
        self.numbers = count(1)
        self.waiting: deque[Job] = deque()
        #: What Celery asks to run -> what a worker runs for it.
        self.traces: dict[Any, Any] = {}
        self.slots: list[Job | None] = [None] * self.limit
        signals.worker_process_init.send(sender=None)

    def on_stop(self) -> None:
        """Let go of what still runs: its messages go back to the broker, if unacknowledged."""
        self.waiting.clear()
        for job in self.running():
            job.cut_off()
        signals.worker_process_shutdown.send(sender=None, pid=_FIRST_PID, exitcode=0)

    on_terminate = on_stop

    def pid(self, slot: int) -> int:
        """The process id that requests are told for a slot."""
        return _FIRST_PID + slot

    def running(self) -> list[Job]:
        """The jobs that occupy a slot."""
        return [job for job in self.slots if job is not None]

    def on_apply(
        self, target: Any, args: Any = (), kwargs: Any = None, **options: Any
    ) -> Job:
        """Take a job; it starts when a slot is free."""
        options.pop("waitforslot", None)
        callbacks_propagate = options.pop("callbacks_propagate", ())
        name, task_id, request, *message = args
        job = Job(
            self,
            self.traces.get(target) or self._trace(target),
            # A process gets a copy of the request; in ours both sides share the memory.
            (name, task_id, dict(request), *message),
            kwargs or {},
            callback=options.get("callback"),
            accept_callback=options.get("accept_callback"),
            timeout_callback=options.get("timeout_callback"),
            error_callback=options.get("error_callback"),
            soft_timeout=options.get("soft_timeout") or self.options.get("soft_timeout"),
            timeout=options.get("timeout") or self.options.get("timeout"),
            correlation_id=options.get("correlation_id"),
            callbacks_propagate=callbacks_propagate,
        )
        self.recorder.job_submitted(job.correlation_id)
        self.waiting.append(job)
        return job

    def _trace(self, target: Any) -> Any:
        trace = self.traces[target] = as_workers_trace(self.app, target)
        return trace

    def moves(self) -> Iterator[Job]:
        """The next job, if a slot is free."""
        if self.waiting and None in self.slots:
            yield self.waiting[0]

    def start_job(self, job: Job) -> None:
        """Give a waiting job a slot and let it run until it first waits.

        With prefork a request waits for a slot before it is asked whether it was revoked or has
        expired (`celery/worker/worker.py:WorkController._process_task_sem`, then
        `Request.execute_using_pool`); here it was asked when it came, so it is asked again.
        """
        self.waiting.remove(job)
        self.world.attend(self.worker)
        if job.request.revoked():
            job.end()
            return
        job.slot = self.slots.index(None)
        self.slots[job.slot] = job
        job.fiber = Fiber(
            self.world, job.label, job.run, app=self.app, worker=self.worker, is_task=True
        )
        job.fiber.job = job
        self.world.spawn(job.fiber)

    def end_job(self, job: Job) -> None:
        """Free a job's slot."""
        if job.slot >= 0 and self.slots[job.slot] is job:
            self.slots[job.slot] = None
        self.jobs.pop(job._job, None)
        self.recorder.job_done(job.correlation_id)

    def vanish(self, reason: str) -> None:
        """The worker is gone: what it was doing and what it had taken is not done."""
        me = self.world.fiber
        for job in self.running():
            job.mark_lost(reason)
            if job.fiber is not me:
                job.cut_off()
                job.end()
        self.flush()

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Kill the process of a slot (``revoke(terminate=True)``)."""
        for job in self.running():
            if self.pid(job.slot) == pid:
                self.kill_job(job, int(signal or 15))

    def kill_job(self, job: Job, signum: int) -> None:
        """A signal ends the process: the job fails as `billiard` reports a lost one."""
        job._terminated = signum
        job.cut_off()
        if not job.ready():
            job._set_terminated(signum)
        job.end()

    def flush(self) -> None:
        """Forget jobs that have not started (the connection was lost)."""
        for job in list(self.waiting):
            self.waiting.remove(job)
            job.end()

    def _get_info(self) -> dict[str, Any]:
        pids = [self.pid(slot) for slot in range(self.limit)]
        return {**super()._get_info(), "processes": pids}
