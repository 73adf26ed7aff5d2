"""The step loop: one thread, one virtual clock, one move at a time.

Everything that could happen next is a *move*: a message delivered to a worker, a task that
starts or goes on, a timer that is due. `World.step` lets an oracle choose one and carries
it out; when there is none, the clock jumps to the next timer. Whoever waits (the test, a
task in ``time.sleep``, a worker without messages) waits in `World.block`: the test by
driving the loop, a task by leaving its greenlet.

Prior art: trio's `MockClock` and FoundationDB's simulator. Tasks run in greenlets of the
test's own thread, so that database connections, transactions, `monkeypatch` and debuggers
work; Celery's `LocalStack` keys on the greenlet (`celery/utils/threads.py`), so that
``current_task`` is right by itself.

Invariants:
* Only the greenlet in `drive` picks moves; a fiber never switches to another fiber.
* Time moves only in `drive`, and only when no move is enabled.
"""

from __future__ import annotations

import threading
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol

from celery import _state
from greenlet import getcurrent, greenlet

from pytest_celeryflow.clock import VirtualClock
from pytest_celeryflow.errors import CeleryflowError, WorkflowStalled
from pytest_celeryflow.replacing import real_sleep
from pytest_celeryflow.sim.choosing import Choosing
from pytest_celeryflow.sim.fiber import MAX_ESCAPES, SWALLOWS, Fiber, Killed
from pytest_celeryflow.sim.timers import SECOND, Timer, Timers, microseconds, yes

__all__ = ["Move", "Source", "World"]

#: More timers in a row than this, without anybody being given anything to do, is a livelock: a
#: task that sleeps and looks without end. One that sleeps a second at a time lasts for hours.
MAX_IDLE_TIMERS = 20_000

#: A test that sleeps so often in a row while nothing happens waits in vain.
MAX_IDLE_WAITS = 10_000


class Move(Protocol):
    """One thing that can happen next."""

    @property
    def name(self) -> str:
        """What it is, in words that are the same from run to run."""

    @property
    def actor(self) -> str:
        """Whose step it is: a task's label, or a worker's name."""

    def make(self) -> None:
        """Let it happen."""


class Source(Protocol):
    """Whoever has moves to offer: a broker, a pool."""

    def moves(self) -> Iterator[Move]:
        """The moves that are enabled now, the most natural first."""


class World:
    """Everything that is simulated together, on one thread.

    Args:
        clock: The virtual clock, already installed.
    """

    #: The world of this thread; two apps in one test share it.
    current: ClassVar[World | None] = None

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.thread = threading.get_ident()
        #: Who is asked what comes next; by itself, what became possible first happens first.
        self.choosing: Choosing | None = None
        self.sources: list[Source] = []
        #: Things to bring in order after each move, before anything is chosen.
        self.housekeeping: list[Callable[[], None]] = []
        #: Called with the worker whose code is about to run.
        self.entering: list[Callable[[Any], None]] = []
        #: Called when the clock has moved.
        self.jumped: list[Callable[[], None]] = []
        #: Counts what happened, so that those who poll know whether to look again.
        self.activity = 0
        #: The fiber whose code runs now, or ``None`` for the test's own.
        self.fiber: Fiber | None = None
        #: Why the test's wait for a result can never end, if it waits for one.
        self.hopeless: Callable[[], str | None] = lambda: None
        #: How many waits for a result the test is in.
        self.waits = 0
        #: It waits for one without a timeout, and may pause for as long as nothing happens.
        self.patient = False
        #: Ask each app whether all that is left to happen leads nowhere.
        self.spinning: list[Callable[[], bool]] = []
        #: Seeds `random` and the identifiers anew.
        self.seed: Callable[[int], None] = _no_seed
        #: Fibers that wait for real input, and how to wait for it a bounded time.
        self.outside: dict[Fiber, Callable[[], bool]] = {}
        #: Above zero, only what already runs goes on: no message is delivered.
        self.held = 0
        #: Called with a fiber that is killed from outside, before others act upon it.
        self.killing: list[Callable[[Fiber], None]] = []
        #: Who waits for whose transaction, in words.
        self.transactions: Callable[[], list[str]] | None = None
        self._vain_look = -1
        self._idle_at, self._idle_waits = -1, 0
        self._idle_timers = 0
        self.timers = Timers()
        self._runnable: dict[Fiber, None] = {}
        self._blocked: dict[Fiber, None] = {}
        self._fibers: dict[greenlet, Fiber] = {}

    # --- waiting ---

    @property
    def current_fiber(self) -> Fiber | None:
        """The fiber whose code asks; ``None`` for the test's own code and for other threads."""
        return self._fibers.get(getcurrent())

    def block(self, ready: Callable[[], bool] | None, timeout: float | None) -> bool:
        """Wait until something is so, or for a while; whether it became so.

        Args:
            ready: What to wait for, or ``None`` to wait for the time alone.
            timeout: Virtual seconds, or ``None``.

        Raises:
            WorkflowStalled: It is the test that waits for a result, and nothing can come.
        """
        __tracebackhide__ = True
        if ready is not None and ready():
            return True
        fiber = self._fibers.get(getcurrent())
        if fiber is not None:
            fiber.act()
        deadline = None if timeout is None else self.clock.us + microseconds(timeout)
        if fiber is None:
            return self._block_test(ready, deadline)
        if deadline is not None:
            fiber.looked()
            # Celery 5.4 pauses once before it first looks whether the result is there
            # (`celery/backends/asynchronous.py:Drainer.drain_events_until`).
            essential = fiber.news if fiber.polls and not fiber.fresh else yes
            fiber.fresh = False
            fiber.timer = self.call_at(
                deadline, fiber.wake, essential=essential, name=f"{fiber.actor} wakes"
            )
        fiber.ready = ready
        self._blocked[fiber] = None
        try:
            fiber.greenlet.parent.switch()
        finally:
            if fiber.timer is not None:
                fiber.timer.cancel()
                fiber.timer = None
            fiber.ready = None
            self._blocked.pop(fiber, None)
        return ready is not None and ready()

    def _block_test(self, ready: Callable[[], bool] | None, deadline: int | None) -> bool:
        __tracebackhide__ = True
        if threading.get_ident() != self.thread:
            raise CeleryflowError(
                "the simulation belongs to the thread that opened it; no other can wait for it\n\n"
                "Next: use mode 'worker' for tests with threads of their own."
            )
        if ready is None and deadline is not None and self.patient:
            deadline = self._next_look(deadline)
        if self.drive(ready or _no, deadline):
            return True
        self._count_idle_waits()
        if self.waits and (deadline is None or self._looked_in_vain()):
            why = self.hopeless()
            if why is not None:
                raise WorkflowStalled(why)
        return False

    def _next_look(self, deadline: int) -> int:
        """When a reader who sleeps and looks again, in turn, will see something new.

        Celery's polling backends look twice a second (`celery/backends/base.py:Backend.wait_for`),
        7,200 times for an ETA in an hour. Between two timers nothing changes: the looks in
        between are left out, and the rhythm is kept.
        """
        now, timer = self.clock.us, self.timers.next()
        if timer is None or timer.due <= deadline or next(self.moves(), None) is not None:
            return deadline
        pause = max(deadline - now, 1)
        return now + -(-(timer.due - now) // pause) * pause

    def _count_idle_waits(self) -> None:
        """Bound a loop of the test's own that sleeps until something is so that never will be."""
        self._idle_waits = self._idle_waits + 1 if self._idle_at == self.activity else 0
        self._idle_at = self.activity
        if self._idle_waits > MAX_IDLE_WAITS:
            raise WorkflowStalled(
                f"the test keeps sleeping, {MAX_IDLE_WAITS:,} times by now, and nothing can happen\n"
                "What it waits for will never be so: nothing is left to run."
            )

    def _looked_in_vain(self) -> bool:
        """Whether this is the second look in a row at a world in which nothing happens.

        The first may be one too early: Celery 5.4 waits once before it looks whether the
        result is there (`celery/backends/asynchronous.py:Drainer.drain_events_until`).
        """
        if not (self.at_rest() or self._going_nowhere()):
            return False
        again = self._vain_look == self.activity or self._going_nowhere()
        self._vain_look = self.activity
        return again

    def _going_nowhere(self) -> bool:
        return any(spins() for spins in self.spinning)

    def sleep_function(self) -> Callable[[float], None]:
        """A plain function to stand in for ``time.sleep``."""

        def sleep(seconds: float, /) -> None:
            __tracebackhide__ = True
            self.sleep(seconds)

        return sleep

    def sleep(self, seconds: float) -> None:
        """What ``time.sleep`` does while the world exists."""
        __tracebackhide__ = True
        if threading.get_ident() != self.thread:
            real_sleep(seconds)
            return
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if seconds > 0:
            self.block(None, float(seconds))

    def hang(self) -> None:
        """Never go on, unless something is thrown in."""
        self.block(None, None)

    # --- timers ---

    def call_at(
        self,
        due: int,
        call: Callable[[], Any],
        *,
        essential: Callable[[], bool] = yes,
        name: str = "timer",
    ) -> Timer:
        """Call something at a moment, given in the clock's microseconds."""
        return self.timers.add(Timer(due, call, essential, name))

    def call_after(
        self, seconds: float, call: Callable[[], Any], *, name: str = "timer"
    ) -> Timer:
        """Call something after some virtual seconds."""
        return self.call_at(self.clock.us + microseconds(seconds), call, name=name)

    # --- moves ---

    def moves(self) -> Iterator[Move]:
        """Everything that could happen now: due timers, fibers that can go on, sources."""
        due = self.timers.next()
        if due is not None and due.due <= self.clock.us:
            yield due
        yield from list(self._runnable)
        if not self.held:
            for source in self.sources:
                yield from source.moves()

    def step(self) -> bool:
        """Make one move; whether there was one."""
        move = self._next_move()
        if move is None:
            return False
        if isinstance(move, Timer):
            self.timers.pop()
            self._idle_timers += 1
        elif not isinstance(move, Fiber):
            self._idle_timers = 0
        self.make(move)
        return True

    def _next_move(self) -> Move | None:
        if self.choosing is None:
            return next(self.moves(), None)
        moves = list(self.moves())
        if len(moves) > 1:
            return self.choosing.move(moves)
        return moves[0] if moves else None

    def make(self, move: Move) -> None:
        """Make a move, and bring everything in order after it."""
        if not (isinstance(move, Fiber) and move.polls and not move.news()):
            self.activity += 1
        move.make()
        self.settle()

    def settle(self) -> None:
        """Housekeeping, and waking of those whose wait is over."""
        for chore in self.housekeeping:
            chore()
        for fiber in list(self._blocked):
            if fiber.ready is not None and fiber.ready():
                self.wake(fiber)

    def wake(self, fiber: Fiber) -> None:
        """Let a fiber go on at the next step."""
        if not fiber.dead:
            self._runnable.setdefault(fiber)

    def spawn(self, fiber: Fiber) -> Fiber:
        """Let a new fiber start at once, until it first waits."""
        self.enter(fiber)
        return fiber

    def enter(self, fiber: Fiber, throw: BaseException | None = None) -> None:
        """Run a fiber until it waits or ends.

        Raises:
            BaseException: What escaped from it, such as a failing assertion of pytest.
        """
        self._runnable.pop(fiber, None)
        if fiber.dead:
            return
        glet = fiber.greenlet
        self._fibers[glet] = fiber
        outer, tls = self.fiber, _state._tls
        app, blocks = tls.current_app, _state._task_join_will_block
        loop = _get_running_loop()
        glet.parent = getcurrent()
        self.attend(fiber.worker)
        self.fiber = fiber
        tls.current_app = fiber.app
        _state._task_join_will_block = fiber.join_blocks
        _set_running_loop(fiber.loop)
        try:
            if throw is None:
                glet.switch()
            else:
                glet.throw(throw)
        finally:
            fiber.join_blocks = _state._task_join_will_block
            fiber.loop = _get_running_loop()
            _set_running_loop(loop)
            tls.current_app, _state._task_join_will_block = app, blocks
            self.fiber = outer
            if fiber.dead:
                del self._fibers[glet]
                self._runnable.pop(fiber, None)
        if fiber.error is not None:
            error, fiber.error = fiber.error, None
            raise error

    def act(self) -> None:
        """The code that runs is about to publish or to use the store."""
        fiber = self._fibers.get(getcurrent())
        if fiber is None:
            return
        fiber.act()
        if self.choosing is not None and fiber.job is not None and not fiber.job.left:
            # Another may come first: this is where two tasks race for a counter.
            self.wake(fiber)
            fiber.greenlet.parent.switch()

    def attend(self, worker: Any) -> None:
        """Let the code that runs next be this worker's."""
        for listener in self.entering:
            listener(worker)

    def kill(self, fiber: Fiber) -> None:
        """Unwind a fiber where it stands.

        Raises:
            CeleryflowError: It caught `Killed` and went on waiting, three times.
        """
        if not fiber.greenlet:  # never started, or ended
            self._runnable.pop(fiber, None)
            return
        fiber.dying = True
        for _ in range(MAX_ESCAPES):
            self.enter(fiber, Killed())
            if fiber.dead:
                return
        raise CeleryflowError(SWALLOWS.format(fiber.actor))

    # --- driving ---

    def drive(self, until: Callable[[], bool], deadline: int | None = None) -> bool:
        """Make moves until something is so; whether it became so.

        Without a deadline it ends when nothing essential is left to happen; with one, the
        clock stands at the deadline afterwards.
        """
        __tracebackhide__ = True
        while True:
            if until():
                return True
            if self.step():
                if self._idle_timers > MAX_IDLE_TIMERS:
                    self._idle_timers = 0
                    asleep = ", ".join(fiber.actor for fiber in self._blocked if fiber.is_task)
                    raise WorkflowStalled(
                        f"no rest: {asleep or 'something'} went on sleeping "
                        f"{MAX_IDLE_TIMERS:,} times in a row, until {self.clock.now.isoformat()}, "
                        "while nothing else happened: what it waits for will never be so"
                    )
                continue
            timer = self.timers.next()
            if deadline is None:
                if timer is None or not self.timers.any_essential():
                    if self._heard_from_outside():
                        continue
                    return False
            elif timer is None or timer.due > deadline:
                if deadline > self.clock.us:
                    self._jump(deadline)
                return until()
            if deadline is None and self.waits and self._going_nowhere():
                return False
            assert timer is not None
            if timer.due > self.clock.us:
                self._jump(timer.due)

    def _heard_from_outside(self) -> bool:
        """Whether a fiber that waits for the real world has got what it waits for."""
        for fiber, look in list(self.outside.items()):
            if look():
                self.wake(fiber)
                return True
        return False

    def _jump(self, us: int) -> None:
        self.clock.set_us(us)
        for listener in self.jumped:
            listener()

    def at_rest(self) -> bool:
        """Whether nothing is enabled and nothing essential is to come."""
        return next(self.moves(), None) is None and not self.timers.any_essential()

    def drive_within(self, until: Callable[[], bool], deadline: int) -> bool:
        """`drive`, but not past a deadline, and no further than something is left to happen."""
        late = self.call_at(deadline, _nothing, name="timeout")
        late.essential = _no
        try:
            return self.drive(lambda: until() or self.clock.us >= deadline)
        finally:
            late.cancel()

    def pass_until(self, us: int) -> None:
        """Let time pass (`VirtualClock.advance`)."""
        fiber = self._fibers.get(getcurrent())
        if fiber is not None:
            self.block(None, (us - self.clock.us) / SECOND)
        else:
            self.drive(_no, us)

    def call_for_test(self, due: int, call: Callable[[], Any]) -> None:
        """`VirtualClock.at`."""
        self.call_at(due, call, name="clock.at")

    def close(self) -> None:
        """Kill every fiber that is left."""
        for fiber in list(self._fibers.values()):
            self.kill(fiber)


def _no() -> bool:
    return False


def _nothing() -> None:
    """A moment that only has to come."""


def _no_seed(_: int) -> None:
    """The default of `World.seed`."""
