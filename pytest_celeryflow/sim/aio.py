"""asyncio on the virtual clock: an event loop's wait is waiting in the world.

A loop asks its selector to wait until the next timer is due. The selector is exchanged, for
as long as the loop runs, for one that looks at real input first and then lets virtual time
pass (`asyncio/base_events.py:BaseEventLoop._run_once`). A loop that waits for real input
(sockets, a thread) waits for it in real time, ten seconds at most, once nothing else is left.

Not modelled: uvloop, which is not built on selectors, and loops that ran before the
simulation began and were never entered again, unless it began inside of them.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import base_events, selector_events
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_celeryflow.errors import WorkflowStalled
from pytest_celeryflow.replacing import real_monotonic
from pytest_celeryflow.sim.world import World

__all__ = ["virtual_loops"]

#: Real seconds to wait for real input before virtual time goes on.
_PATIENCE = 1.0
#: How often in a row to wait so long for nothing.
_LOOKS = 10


#: Seconds between two moments that virtual time can tell apart. A loop's own is a nanosecond, which
#: is nothing beside a frozen ``time.monotonic()``, the seconds since 1970 as a float: a timer that
#: is due would never be later than now (`asyncio/base_events.py:BaseEventLoop._run_once`).
_RESOLUTION = 1e-6


class _VirtualSelector:
    """A selector whose timeouts are virtual."""

    def __init__(self, loop: Any, selector: Any, world: World) -> None:
        self._loop, self.real, self._world = loop, selector, world

    def select(self, timeout: float | None = None) -> Any:
        events = self.real.select(0)
        if events or timeout == 0:
            return events
        # The loop's own wake-up pipe is always registered; anything else is real input, and so
        # is what another thread may have to say.
        outside = len(self.real.get_map()) > 1 or threading.active_count() > 1
        if timeout is not None:
            if outside and (events := self.real.select(min(timeout, _PATIENCE))):
                return events
            self._world.block(None, timeout)
            return self.real.select(0)
        return self._wait_for_others(outside=outside)

    def _wait_for_others(self, *, outside: bool) -> Any:
        """Wait until somebody gives the loop something to do: another task, or the real world.

        Raises:
            WorkflowStalled: It is the test that waits, and nobody does.
        """
        world, fiber = self._world, self._world.fiber
        if fiber is not None and outside:
            world.outside[fiber] = self._look
        try:
            world.block(lambda: bool(self._loop._ready) or bool(self.real.select(0)), None)
        finally:
            if fiber is not None:
                world.outside.pop(fiber, None)
        if fiber is None and not self._loop._ready and not self._look():
            raise WorkflowStalled(
                "the test's event loop waits for something that does not come: a future that "
                "nobody sets, a socket that stays silent"
            )
        return self.real.select(0)

    def _look(self) -> bool:
        """Wait in real time for input; whether it came."""
        return any(self.real.select(_PATIENCE) for _ in range(_LOOKS))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@contextmanager
def virtual_loops(world: World) -> Iterator[None]:
    """Let every event loop that this thread runs wait in the world."""
    run_forever = base_events.BaseEventLoop.run_forever

    def run_virtually(loop: Any) -> None:
        selector = getattr(loop, "_selector", None)
        mine = threading.get_ident() == world.thread and World.current is world
        if not mine or selector is None or isinstance(selector, _VirtualSelector):
            run_forever(loop)
            return
        loop._selector = _VirtualSelector(loop, selector, world)
        resolution, loop._clock_resolution = loop._clock_resolution, _RESOLUTION
        try:
            run_forever(loop)
        finally:
            loop._selector, loop._clock_resolution = selector, resolution

    base_events.BaseEventLoop.run_forever = run_virtually  # type: ignore[method-assign, assignment]
    try:
        with _running_loop_virtual(world):
            yield
    finally:
        base_events.BaseEventLoop.run_forever = run_forever  # type: ignore[method-assign]


@contextmanager
def _running_loop_virtual(world: World) -> Iterator[None]:
    """The same for the loop that runs already: the test is a coroutine."""
    loop: Any = asyncio._get_running_loop()
    if not isinstance(loop, selector_events.BaseSelectorEventLoop):
        yield
        return
    real = loop._selector, loop._clock_resolution  # type: ignore[attr-defined]
    loop._selector = _VirtualSelector(loop, real[0], world)  # type: ignore[attr-defined]
    loop._clock_resolution = _RESOLUTION  # type: ignore[attr-defined]
    _postpone(loop, world, by=loop.time() - real_monotonic())
    try:
        yield
    finally:
        loop._selector, loop._clock_resolution = real  # type: ignore[attr-defined]
        _postpone(loop, world, by=real_monotonic() - loop.time())


def _postpone(loop: Any, world: World, *, by: float) -> None:
    """Calls that the loop was asked for by one clock stay as far away by the other."""
    if world.clock.replaces_real_time:
        for handle in loop._scheduled:  # all alike, so that its order stays
            handle._when += by
