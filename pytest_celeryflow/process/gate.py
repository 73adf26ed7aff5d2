"""The only way from app and workers to the broker, so that it can be shut.

Bytes pass as they are, in both directions, a thread each. The server behind it, which others
may use too, notices only that connections end.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Gate", "passable"]

#: Real seconds that the server may take to accept.
_PATIENCE = 5.0

_DEFAULT_PORTS = {"redis": 6379, "amqp": 5672, "pyamqp": 5672}


def passable(url: str) -> bool:
    """Whether a URL can lead through a gate: not TLS, whose names it would break, no socket."""
    parts = urlsplit(url)
    return parts.scheme in _DEFAULT_PORTS and parts.hostname is not None


class Gate:
    """A loopback port that leads to a server.

    Args:
        url: Of the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._threads: set[threading.Thread] = set()
        self._listener: socket.socket | None = None
        self._port = 0
        self.open()
        account = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        #: The server's URL, by way of the gate.
        self.url = urlunsplit(parts._replace(netloc=f"{account}127.0.0.1:{self._port}"))

    def open(self) -> None:
        """Let everybody through, on the same port as before."""
        with self._lock:
            if self._listener is not None:
                return
            listener = self._listener = socket.create_server(("127.0.0.1", self._port), backlog=64)
            self._port = int(listener.getsockname()[1])
        self._begin(self._listen, listener)

    def shut(self) -> int:
        """Cut every connection and refuse new ones; how many were cut."""
        with self._lock:
            listener, self._listener = self._listener, None
            pairs, self._pairs = self._pairs, set()
        if listener is not None:
            _end(listener)
        for pair in pairs:
            for each in pair:
                _end(each)
        return len(pairs)

    def close(self) -> None:
        """Shut for good."""
        self.shut()
        for thread in list(self._threads):
            thread.join(_PATIENCE)

    def _begin(self, target: object, *args: object) -> None:
        thread = threading.Thread(
            target=self._ending, args=(target, *args), name="celeryflow-gate", daemon=True
        )
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _ending(self, target: object, *args: object) -> None:
        try:
            target(*args)  # type: ignore[operator]
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                inner, _ = listener.accept()
            except OSError:
                return
            try:
                outer = socket.create_connection(self._target, timeout=_PATIENCE)
            except OSError:
                inner.close()
                continue
            outer.settimeout(None)
            for each in (inner, outer):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = inner, outer
            with self._lock:
                shut = self._listener is not listener
                if not shut:
                    self._pairs.add(pair)
            if shut:
                inner.close()
                outer.close()
                return
            self._begin(self._relay, pair, inner, outer)
            self._begin(self._relay, pair, outer, inner)

    def _relay(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket
    ) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for each in pair:
            _end(each)
        with self._lock:
            self._pairs.discard(pair)


def _end(sock: socket.socket) -> None:
    """Close a socket that another thread waits for."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
