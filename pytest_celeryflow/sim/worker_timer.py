"""The worker's timer on virtual time: ETAs, rate limits, anything a worker does later.

kombu's `Timer` is kept; only the place of its heap is new, because its entries are ordered
by memory address when their moments are equal (`Entry.__lt__`), and because kombu bound
``time.monotonic`` as a default argument of ``enter_at`` and ``enter_after``.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

from kombu.asynchronous.timer import Timer as KombuTimer
from kombu.asynchronous.timer import scheduled

from pytest_celeryflow.sim.timers import microseconds
from pytest_celeryflow.sim.world import World

__all__ = ["SimTimer"]


class SimTimer(KombuTimer):
    """A worker's timer whose entries the world calls."""

    world: World
    worker: Any

    def enter_after(self, secs: float, entry: Any, priority: int = 0, **_: Any) -> Any:
        """Call an entry after some seconds."""
        return self.enter_at(entry, time.monotonic() + float(secs), priority)

    def enter_at(self, entry: Any, eta: Any = None, priority: int = 0, **_: Any) -> Any:
        """Call an entry at a moment of the virtual monotonic clock."""
        return super().enter_at(entry, time.monotonic() if eta is None else eta, priority)

    def call_repeatedly(
        self, secs: float, fun: Any, args: Any = (), kwargs: Any = None, priority: int = 0
    ) -> Any:
        """Call again and again. It goes on for as long as time passes for other reasons."""
        entry = self.Entry(fun, args, kwargs or {})

        def again() -> None:
            if not entry.canceled:
                self.world.call_after(secs, again, name="periodic").essential = _no
                self.apply_entry(entry)

        self.world.call_after(secs, again, name="periodic").essential = _no
        return entry

    def _enter(self, eta: float, priority: int, entry: Any, **_: Any) -> Any:
        def fire() -> None:
            if self._waiting.pop(entry, None) is not None and not entry.canceled:
                self.world.attend(self.worker)
                self.apply_entry(entry)

        self._waiting[entry] = scheduled(eta, priority, entry)
        # From the difference, so that an ETA just ahead never rounds to the present.
        wait = eta - time.monotonic()
        timer = self.world.call_at(self.world.clock.us + microseconds(wait), fire, name="eta")
        timer.essential = lambda: not entry.canceled and entry in self._waiting
        return entry

    @cached_property
    def _waiting(self) -> dict[Any, Any]:
        return {}

    def clear(self) -> None:
        """Forget everything that waits."""
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def queue(self) -> list[Any]:
        """What waits, soonest first (``inspect scheduled`` reads it)."""
        return sorted(self._waiting.values(), key=lambda w: (w.eta, w.priority))


def _no() -> bool:
    return False
