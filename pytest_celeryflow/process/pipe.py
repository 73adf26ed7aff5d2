"""One pipe from all processes of all workers to the test: whole messages, in order, none lost.

A pipe takes up to ``PIPE_BUF`` bytes in one piece, whoever writes (POSIX, ``write``). A longer
message goes in several pieces, each with the number of its process and thread, and is put
together at the other end; the rest of a message whose writer was killed never comes, and its
beginning is dropped. What one process wrote before another acted on it is read first.

A signal must not break off a message: Celery raises in the handlers of SIGUSR1 (the soft time
limit) and SIGTERM. They are held back meanwhile.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Sender", "held_back", "received"]

#: Process, thread, flags, length of the piece.
_HEAD = struct.Struct("!IQBH")

_FIRST, _LAST = 1, 2

_PIECE = min(select.PIPE_BUF, 4096) - _HEAD.size

_HELD = {signal.SIGUSR1, signal.SIGTERM}


@contextmanager
def held_back() -> Iterator[None]:
    """Let no signal of Celery's interrupt what must be whole."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Sender:
    """The end that processes write to.

    Args:
        fd: The pipe.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def send(self, message: Any) -> None:
        """Write a message, which pickle must take.

        Nobody reads any more when the test is over: then nothing happens.
        """
        data = pickle.dumps(message)
        who = os.getpid(), threading.get_ident()
        with held_back():
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                flags = (_FIRST if start == 0 else 0) | (
                    _LAST if start + _PIECE >= len(data) else 0
                )
                try:
                    os.write(self.fd, _HEAD.pack(*who, flags, len(piece)) + piece)
                except BrokenPipeError:
                    return


def received(read: Callable[[int], bytes]) -> Iterator[Any]:
    """Messages, in the order in which their last pieces came, until the pipe ends.

    Args:
        read: Returns up to so many bytes of the pipe, and none at its end.
    """
    parts: dict[tuple[int, int], bytearray] = {}
    buffer = bytearray()
    while data := read(1 << 16):
        buffer += data
        start = 0
        while len(buffer) - start >= _HEAD.size:
            process, thread, flags, length = _HEAD.unpack_from(buffer, start)
            if len(buffer) - start < _HEAD.size + length:
                break
            piece = buffer[start + _HEAD.size : start + _HEAD.size + length]
            start += _HEAD.size + length
            who = process, thread
            if flags & _FIRST:
                parts[who] = bytearray()
            parts[who] += piece
            if flags & _LAST:
                yield pickle.loads(parts.pop(who))  # noqa: S301 - from a process of ours
        del buffer[:start]
