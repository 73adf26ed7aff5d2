"""A program that runs beside the test: in its own group, its output kept, its end certain."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.services.watchdog import Watchdog

__all__ = ["Child"]

#: Lines of output that are kept for errors and for `Child.output`.
_KEPT = 2000

#: Real seconds that the kernel may take to end what was killed.
_PATIENCE = 10.0


class Child:
    """One program in a process group of its own, ended at the latest when this process ends.

    Its standard output and error are read by a thread, so that a full pipe never blocks it.

    Args:
        name: What to call it in errors.
        command: The program and its arguments.
        environ: Its whole environment; ``None``: ours.
        pass_fds: File descriptors that it inherits.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603 - a program of ours, no shell
            list(command),
            env=None if environ is None else dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(pass_fds),
            process_group=0,
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid
        self._owner = os.getpid()
        self._watchdog = Watchdog(self.pid)
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._news = threading.Condition()
        self._silent = False
        self._ended = False
        self._ending = threading.Lock()
        self._reader = threading.Thread(
            target=self._read, name=f"celeryflow-output-of-{name}", daemon=True
        )
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        """The last of what it wrote, standard output and error together."""
        with self._news:
            return "\n".join(self._lines)

    def wait_for_line(self, text: str, timeout: float) -> bool:
        """Wait until a line of the output contains a text.

        Args:
            text: What to look for, also in what was written already.
            timeout: Real seconds.

        Returns:
            Whether it came; ``False`` too when the output ended without it.
        """
        with self._news:
            self._news.wait_for(
                lambda: self._silent or any(text in line for line in self._lines), timeout
            )
            return any(text in line for line in self._lines)

    def send(self, number: int) -> None:
        """Send a signal to every process of the group; nothing happens if none is left.

        Nor in a process forked from the one that started it: the program is not its own.
        """
        if not self._ended and self._owner == os.getpid():
            with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for zombies
                os.killpg(self.pid, number)

    def end(self, number: int, timeout: float) -> None:
        """Send a signal to the program, wait for it, then kill what is left of its group.

        Args:
            number: The signal, such as ``signal.SIGTERM``.
            timeout: Real seconds until SIGKILL.

        Raises:
            CeleryflowError: It did not end in that time, and was killed.
        """
        if self._owner != os.getpid():
            return
        with self._ending:  # whoever sees its end and whoever asks for it may come together
            late = self._end(number, timeout)
        if late:
            raise CeleryflowError(
                f"{self.name} did not end within {timeout:g} s of {signal.Signals(number).name} "
                f"and was killed; its output:\n{self.output}"
            )

    def _end(self, number: int, timeout: float) -> bool:
        """End it; whether it had to be killed because it was late."""
        if self._ended:
            return False
        late = False
        if number != signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            late = not self._exited(timeout)
        self.send(signal.SIGKILL)
        # The number of the group is taken until the leader was waited for: the watchdog
        # goes first, or it could kill a stranger.
        self._watchdog.dismiss()
        self._process.wait(_PATIENCE)
        self._ended = True
        self._reader.join(_PATIENCE)
        return late

    def _exited(self, timeout: float) -> bool:
        """Wait for the end of its output, which its end closes, without reaping it."""
        with self._news:
            return self._news.wait_for(lambda: self._silent, timeout)
