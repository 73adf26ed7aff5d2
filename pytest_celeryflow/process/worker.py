"""In the test: one worker, and what a test can do to it."""

from __future__ import annotations

import signal as signals
import threading
from collections.abc import Callable
from typing import Any

from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.services import Worker

__all__ = ["WorkerProcess"]

#: Real seconds that the test may take to take down that a worker is gone.
_PATIENCE = 10.0


class WorkerProcess:
    """A real worker with its pool of processes: ``flow.worker``.

    Args:
        name: Its node name, before the ``@``.
        make: Makes it, once for each life; it is given what to call when it is gone.
        gone: Called, in a thread, when it and its pool have ended; it leads to `ended`.

    Attributes:
        name: Its node name, before the ``@``.
        doomed: Why it will be gone in a moment, in words, or ``None``.
        ending: Why it is down, in words.
        returning: Whether it is about to be started again.
    """

    def __init__(
        self, name: str, make: Callable[[Callable[[], None]], Worker], gone: Callable[[str], None]
    ) -> None:
        self.name = name
        self._make, self._tell_gone = make, gone
        self._worker: Worker | None = None
        self._changing = threading.RLock()
        self._over = threading.Event()
        self._over.set()
        self._outputs: list[str] = []
        self._paused = False
        self.doomed: str | None = None
        self.ending = ""
        self.returning = False

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.name}: {self.state}>"

    # --- life ---

    def start(self) -> None:
        """Start it, and wait until it consumes; also after `kill` and `stop`.

        Raises:
            CeleryflowError: It runs already, or did not come up; with its output.
        """
        with self._changing:
            if self._worker is not None:
                raise CeleryflowError(f"worker {self.name} runs already; stop() or kill() it first")
            self._over.clear()
            self.doomed, self._paused = None, False
            worker = self._worker = self._make(lambda: self._is_gone(worker))
        try:
            worker.start()
        except BaseException:
            if worker.started:
                self._wait_over()
            else:
                self.ended()
            raise
        finally:
            self.returning = False

    def stop(self, timeout: float = 45.0) -> None:
        """Let it finish its tasks and end: a warm shutdown. What it fetched goes back.

        One that is stopped while tasks run can take half a minute longer than they do
        (`billiard/pool.py:Worker._ensure_messages_consumed`).

        Args:
            timeout: Real seconds until it is killed.

        Raises:
            CeleryflowError: It does not run, or was killed after that time; with its output.
        """
        worker = self._running("stop")
        self.doomed = self.doomed or "was stopped"
        try:
            with self._changing:
                worker.stop(timeout)
        finally:
            self._wait_over()

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Kill it and its pool at once, as when its machine is lost; or send a signal to it.

        Args:
            signal: Other signals go to the worker alone, as a supervisor sends them:
                ``SIGTERM`` for a warm shutdown, ``SIGQUIT`` for a cold one. Then the call
                does not wait for the end.

        Raises:
            CeleryflowError: It does not run.
        """
        number = signals.Signals(signal)
        worker = self._running("kill")
        if number is not signals.SIGKILL:
            worker.signal(number)
            return
        self.doomed = self.doomed or "was killed"
        with self._changing:
            worker.kill()
        self._wait_over()

    def pause(self) -> None:
        """Stop it and its pool where they are (SIGSTOP), as when its machine hangs.

        Raises:
            CeleryflowError: It does not run.
        """
        self._running("pause").pause()
        self._paused = True

    def resume(self) -> None:
        """Let it go on after `pause`.

        Raises:
            CeleryflowError: It does not run.
        """
        self._running("resume").resume()
        self._paused = False

    def _running(self, to: str) -> Worker:
        if self._worker is None:
            raise CeleryflowError(f"cannot {to} worker {self.name}: it does not run; start() it")
        return self._worker

    def _is_gone(self, worker: Worker) -> None:
        """It and its pool have ended: reap it, keep what it wrote, and say so."""
        with self._changing:
            worker.kill()
            self._outputs.append(worker.output)
        self._tell_gone(self.name)

    def _wait_over(self) -> None:
        if not self._over.wait(_PATIENCE):
            raise CeleryflowError(f"worker {self.name} has not ended within {_PATIENCE:g} s")

    def ended(self) -> str:
        """All that it told was taken down; why it ended, in words."""
        self.ending = self.doomed or "ended by itself"
        self._worker = None
        self._over.set()
        return self.ending

    def end(self) -> None:
        """It is not needed any more."""
        if self._worker is not None:
            self.kill()

    # --- what can be seen of it ---

    @property
    def state(self) -> str:
        """``"running"``, ``"paused"`` or ``"down"``."""
        if self._worker is None:
            return "down"
        return "paused" if self._paused else "running"

    @property
    def pid(self) -> int:
        """Its main process.

        Raises:
            CeleryflowError: It does not run.
        """
        return self._running("name the process of").pid

    @property
    def pids(self) -> list[int]:
        """The processes that its pool has had in this life, in the order they began."""
        return [] if self._worker is None else self._worker.pids

    @property
    def output(self) -> str:
        """The last of what it wrote, over all its lives: its log, and what tasks printed."""
        worker: Any = self._worker
        now = [worker.output] if worker is not None and worker.started else []
        return "\n".join([*self._outputs, *now])
