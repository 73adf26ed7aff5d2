"""A fiber: a greenlet of the world, with what belongs to it while it runs.

Of some things Python or Celery has one for a whole thread: the current app, the event loop
that runs, whether waiting for a result is refused. Each fiber has its own; the world
exchanges them when it lets a fiber go on (`World.enter`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery
from greenlet import getcurrent, greenlet

from pytest_celeryflow.errors import CeleryflowError

if TYPE_CHECKING:
    from pytest_celeryflow.sim.timers import Timer
    from pytest_celeryflow.sim.world import World

__all__ = ["MAX_ESCAPES", "SWALLOWS", "Fiber", "Killed"]

#: So often a fiber may catch `Killed` and go on.
MAX_ESCAPES = 3

SWALLOWS = (
    "{} was killed but swallows BaseException and goes on: let `except BaseException` and bare "
    "`except` raise again"
)


class Killed(BaseException):
    """Thrown into a task's greenlet where prefork would have killed the process.

    Not an `Exception`, so that a task's own handlers do not take it for an error. Its
    ``finally`` blocks do run, which a killed process's would not: see the limitations.
    """


class Fiber:
    """A greenlet of the world: a worker's main loop, or one task.

    Attributes:
        actor: ``"w1"`` or a task's label.
        app: The app that is current while it runs.
        worker: Name of the worker that it runs in.
        is_task: Whether it runs a task, where waiting for results is refused.
        polls: Whether it is waiting for a result by looking again and again.
    """

    def __init__(
        self,
        world: World,
        name: str,
        run: Callable[[], Any],
        *,
        app: Celery,
        worker: Any,
        is_task: bool,
    ) -> None:
        self.world = world
        #: Whose it is: a task's label, or a worker's name.
        self.actor = name
        self.app = app
        self.worker = worker
        self.is_task = is_task
        self.polls = 0
        #: It has just begun to wait for a result, and will look again after its first pause.
        self.fresh = False
        self.join_blocks = is_task
        #: The event loop that runs in it; asyncio allows one a thread.
        self.loop: Any = None
        #: The job of the pool that it runs, if any.
        self.job: Any = None
        #: What to do once, where it next waits, publishes or stores.
        self.interruptions: list[Callable[[], None]] = []
        #: It is being killed: what it still tries to do has no effect.
        self.dying = False
        self._escapes = 0
        self.ready: Callable[[], bool] | None = None
        self.timer: Timer | None = None
        self.order = 0
        self.error: BaseException | None = None
        self._run = run
        self._seen = -1
        self.greenlet = greenlet(self._main)

    def _main(self, *_: Any) -> None:
        try:
            self._run()
        except Killed:
            pass
        except BaseException as exc:  # noqa: BLE001 - raised again in whoever drives
            self.error = exc

    @property
    def name(self) -> str:
        """``"charge#1 goes on"``: the move."""
        return f"{self.actor} goes on"

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return bool(self.greenlet.dead)

    @property
    def parked(self) -> bool:
        """Whether it has begun and is waiting for something."""
        return bool(self.greenlet) and self.greenlet is not getcurrent()

    def act(self) -> None:
        """It is about to wait, to publish or to use the store.

        Raises:
            Killed: It has no business doing so any more.
        """
        if self.dying:
            self._escapes += 1
            if self._escapes > MAX_ESCAPES:  # stay where it is, and tell whoever drives
                self.error = CeleryflowError(SWALLOWS.format(self.actor))
                self.greenlet.parent.switch()
            raise Killed
        while self.interruptions:
            self.interruptions.pop()()

    def make(self) -> None:
        """Go on (the move)."""
        self.world.enter(self)

    def wake(self) -> None:
        """Let it go on at the next step, whatever it waits for."""
        self.world.wake(self)

    def news(self) -> bool:
        """Whether anything happened since it last looked: then it must look once more."""
        return self._seen != self.world.activity

    def looked(self) -> None:
        """Note that it has seen everything that happened until now."""
        self._seen = self.world.activity
