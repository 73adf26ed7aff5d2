"""Wakes a thread that waits on sockets: the one end of a pipe is among them."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress

__all__ = ["Bell"]


class Bell:
    """A pipe that is readable while somebody has rung and nobody has listened."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._lock = threading.Lock()
        self._closing = weakref.finalize(self, _close, self._reading, self._writing)

    def fileno(self) -> int:
        """What to wait for."""
        return self._reading

    def ring(self) -> None:
        """Wake whoever waits, or will wait next."""
        with self._lock:
            if self._closing.alive:
                with suppress(BlockingIOError):  # it is full: rung often enough
                    os.write(self._writing, b"!")

    def listen(self) -> None:
        """Forget that it was rung."""
        with suppress(BlockingIOError):
            os.read(self._reading, 4096)

    def close(self) -> None:
        """Ring no more."""
        with self._lock:
            self._closing()


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
