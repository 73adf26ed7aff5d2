"""The app's ``beat_schedule`` on virtual time.

Celery's own scheduler decides what is due (`celery/beat.py:Scheduler.tick`); only its
service loop, which sleeps in real time and keeps a file, is replaced. A scheduler class of
the user's own (``beat_scheduler``) is used as it is; Celery's default, which stores its
state in a file (`PersistentScheduler`), gives way to its parent that does not.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery.beat import PersistentScheduler, Scheduler
from celery.utils.imports import symbol_by_name

from pytest_celeryflow.durations import seconds
from pytest_celeryflow.errors import CeleryflowError

__all__ = ["Beat"]


class Beat:
    """Runs the schedule of an app. Its state lasts as long as the flow."""

    def __init__(self, mode: Any) -> None:
        if mode.name != "sim":
            raise CeleryflowError(
                f"beat needs virtual time, and mode {mode.name!r} runs in real time\n\n"
                "Next: use mode 'sim'."
            )
        self._world = mode.world
        self._app = mode.app
        cls = symbol_by_name(self._app.conf.beat_scheduler)
        if cls is PersistentScheduler:
            cls = Scheduler
        self.scheduler = cls(app=self._app)

    def run_for(self, duration: float | str | timedelta) -> int:
        """Let time pass with beat running: what is due is published, and workers run it.

        Args:
            duration: Seconds, a ``timedelta``, or text such as ``"7d"``.

        Returns:
            How many times an entry was published.

        Raises:
            ValueError: It is not a length of time.
            CeleryflowError: The app has no schedule.
        """
        left = seconds(duration)
        if not self.scheduler.schedule:
            raise CeleryflowError(
                "the app has no beat_schedule: set app.conf.beat_schedule, or call "
                "app.add_periodic_task in a handler of on_after_configure or on_after_finalize"
            )
        clock = self._world.clock
        end = clock.us + round(left * 1_000_000)
        before = done = self._runs()
        while True:
            # One tick publishes one entry at most; what is due at the very end counts.
            interval = float(self.scheduler.tick() or 0)
            if self._runs() > done:
                done = self._runs()
                self._world.block(None, 0)
            elif clock.us < end:
                self._world.block(None, min(max(interval, 0.001), (end - clock.us) / 1_000_000))
            else:
                return done - before

    def _runs(self) -> int:
        return sum(entry.total_run_count for entry in self.scheduler.schedule.values())
