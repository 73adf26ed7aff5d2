"""The worker's timer thread, which waits for its next entry or for the end, and no longer.

Celery's `timer2.Timer` sleeps until an entry is due and cannot be woken by an earlier one
or by `stop` (`celery/utils/timer2.py:Timer.run`).
"""

from __future__ import annotations

from typing import Any

from celery.utils.timer2 import Timer

__all__ = ["LiveTimer"]


class LiveTimer(Timer):
    """`timer2.Timer` on a condition variable."""

    _ending = False

    def run(self) -> None:
        """Call entries when they are due, until `stop`."""
        self.running = True
        schedule = iter(self.schedule)
        while True:
            with self.not_empty:
                if self._ending:
                    return
                delay, entry = next(schedule)
                if entry is None:
                    self.not_empty.wait(delay)
                    continue
            self.schedule.apply_entry(entry)

    def stop(self) -> None:
        """End the thread, whatever still waits in it."""
        with self.not_empty:
            self._ending = True
            self.not_empty.notify_all()
        if self.is_alive():
            self.join()
        self.running = False

    def _do_enter(self, meth: str, *args: Any, **kwargs: Any) -> Any:
        with self.mutex:
            if self._ending:
                return None
            if not self.is_alive() and not self.running:
                self.running = True
                self.start()
            entry = getattr(self.schedule, meth)(*args, **kwargs)
            self.not_empty.notify()
            return entry
