"""In the worker: asks the test whether something shall go wrong here, and takes its orders.

A question goes down the pipe, in its place among what is told; the answer comes on a
connection of the process's own. Nobody asks while nothing is planned: what stands is a byte
of memory that the test and all processes share (`interest`).

The test decides and counts. A fault that killed whoever asked has struck all the same.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import struct
import sys
import threading
from collections.abc import Callable
from enum import IntFlag
from typing import Any

from pytest_celeryflow.process.pipe import Sender, held_back

__all__ = ["Interest", "Questions", "connected", "read_message", "write_message"]

#: Real seconds that an answer may take; then nothing goes wrong, and the worker's output says so.
_PATIENCE = 30.0

_LENGTH = struct.Struct("!I")


class Interest(IntFlag):
    """What the test wants to be asked about."""

    NOTHING = 0
    #: Bodies: `Fail`, `Delay`, `Hang`, stubs.
    BODY = 1
    #: The points of `CrashPoint`.
    POINT = 2
    #: Operations of the result store.
    STORE = 4
    #: Messages that are published, and acknowledgements.
    MESSAGE = 8


def read_message(sock: socket.socket) -> Any:
    """One message from a connection.

    Raises:
        EOFError: The connection ended.
    """
    (length,) = _LENGTH.unpack(_read(sock, _LENGTH.size))
    return pickle.loads(_read(sock, length))  # noqa: S301 - from a process of ours


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError("the connection ended")
        data += more
    return data


def write_message(sock: socket.socket, message: Any) -> None:
    """One message to a connection."""
    data = pickle.dumps(message)
    sock.sendall(_LENGTH.pack(len(data)) + data)


def connected(port: int, *hello: Any) -> socket.socket:
    """A connection to the test, which is told who it is."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    write_message(sock, hello)
    return sock


class Questions:
    """How the processes of one worker ask.

    Args:
        sender: The pipe.
        port: Where the test answers.
        secret: Proves to it that it is asked by its own.
        worker: Name of the worker.
        interest: Descriptor of the shared byte.
    """

    def __init__(
        self, sender: Sender, *, port: int, secret: str, worker: str, interest: int
    ) -> None:
        self._sender, self._port, self._secret, self._worker = sender, port, secret, worker
        self._shared = mmap.mmap(interest, 1, access=mmap.ACCESS_READ)
        #: The connection, and the process that made it: a forked one makes its own.
        self._line: tuple[int, socket.socket] | None = None
        self._turn = threading.Lock()
        #: Gives the id of the task whose job is being carried out.
        self.carried: Callable[[], str | None] = _nothing

    def wanted(self, interest: Interest) -> bool:
        """Whether the test wants to be asked about this."""
        return bool(self._shared[0] & interest)

    def tell(self, what: str, /, **fields: Any) -> None:
        """Tell the test something."""
        self._sender.send((what, self._worker, os.getpid(), self.carried(), fields))

    def ask(self, topic: str, /, **fields: Any) -> dict[str, Any]:
        """What the test orders here; nothing if it does not answer in time."""
        with self._turn, held_back():
            line = self._connected()
            self.tell("ask", topic=topic, **fields)
            try:
                return dict(read_message(line))
            except (EOFError, OSError) as exc:
                sys.stderr.write(f"celeryflow: nobody answered {topic} {fields}: {exc!r}\n")
                return {}

    def _connected(self) -> socket.socket:
        pid = os.getpid()
        if self._line is None or self._line[0] != pid:
            if self._line is not None:
                self._line[1].close()  # the descriptor; the parent's connection stays open
            self._line = pid, connected(self._port, self._secret, "answers", self._worker, pid)
        return self._line[1]

    def orders(self) -> socket.socket:
        """A connection on which the test tells the worker what to do."""
        return connected(self._port, self._secret, "orders", self._worker, os.getpid())


def _nothing() -> None:
    """The default of `Questions.carried`."""
