"""In the test: the connections on which workers are answered and given orders."""

from __future__ import annotations

import secrets
import socket
import threading
from contextlib import suppress
from typing import Any

from pytest_celeryflow.process.questions import read_message, write_message

__all__ = ["Answering"]

#: Real seconds that a line may take to carry a message.
_PATIENCE = 10.0


class Answering:
    """Listens on a loopback port. Whoever asks has connected before the question is read."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._lines: dict[tuple[str, str, int], socket.socket] = {}
        self._lock = threading.Lock()

    def answer(self, worker: str, process: int, message: dict[str, Any]) -> None:
        """Answer a process; nothing happens if it is gone."""
        self._write(("answers", worker, process), message)

    def order(self, worker: str, process: int, message: dict[str, Any]) -> None:
        """Tell a worker's main process what to do; nothing happens if it is gone."""
        self._write(("orders", worker, process), message)

    def _write(self, name: tuple[str, str, int], message: dict[str, Any]) -> None:
        with self._lock, suppress(OSError):
            while name not in self._lines:
                self._accept()  # BlockingIOError: it is gone, and its line was forgotten
            write_message(self._lines[name], message)

    def _accept(self) -> None:
        line, _ = self._listener.accept()
        line.settimeout(_PATIENCE)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            secret, kind, worker, process = read_message(line)
        except (EOFError, OSError, ValueError):
            line.close()
            return
        if secret != self.secret:
            line.close()
            return
        self._lines[kind, worker, process] = line

    def forget(self, worker: str) -> None:
        """A worker is gone, with all its processes."""
        with self._lock:
            for name in [name for name in self._lines if name[1] == worker]:
                self._lines.pop(name).close()

    def close(self) -> None:
        """Answer nobody any more."""
        with self._lock:
            for line in self._lines.values():
                line.close()
            self._lines.clear()
            self._listener.close()
