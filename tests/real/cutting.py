"""The way from a worker to its result store, shut at a command of the worker's choosing.

Redis's protocol sends a command in one piece, so that the gate sees its words before the server
does. That is as exact as `faults.backend.fail`: the worker has done everything up to the command
and nothing of it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from hashlib import sha1
from typing import Any

from celery.backends import redis as celerys

from pytest_celeryflow.process.gate import Gate

__all__ = ["MOMENTS", "StoreGate"]


def _script(name: str, otherwise: bytes) -> bytes:
    """How a script of Celery's is called on the wire; before 5.7 it was commands."""
    text = getattr(celerys, name, None)
    return otherwise if text is None else sha1(text.encode()).hexdigest().encode()


def _word(name: str) -> bytes:
    """A command's name, as Redis's protocol has it."""
    return f"\r\n{name}\r\n".encode()


#: What a worker does with the store -> a word of the command that does it.
MOMENTS = {
    "a result is looked up": _word("GET"),
    "a result is stored": _word("SETEX"),
    "a chord counts": _script("CHORD_PART_RETURN_LUA", _word("ZCOUNT")),
    "a chord joins": _word("ZRANGE"),
    "a chord is cleaned up": _script("CHORD_CLEANUP_LUA", _word("DEL")),
}


class StoreGate(Gate):
    """A gate that cuts connections when a command comes.

    Args:
        url: Of the server.
        told: Called when it has done so.

    Attributes:
        cut: Whether it has, since it was told when.
    """

    def __init__(self, url: str, told: Callable[[], None]) -> None:
        self._word, self._nth, self._for_good, self._told = b"", 0, False, told
        self.cut = False
        super().__init__(url)

    def shut_before(self, moment: str, nth: int = 1) -> None:
        """Let through what comes before that moment, and nothing from there on."""
        self._word, self._nth, self._for_good = MOMENTS[moment], nth, True
        self.cut = False

    def break_before(self, moment: str, nth: int = 1) -> None:
        """Cut all connections at that moment; whoever connects again gets through."""
        self._word, self._nth, self._for_good = MOMENTS[moment], nth, False
        self.cut = False

    def _relay(self, pair: Any, source: socket.socket, sink: Any) -> None:
        super()._relay(pair, source, _Watched(self, sink) if source is pair[0] else sink)

    def _pass(self, data: bytes) -> None:
        """Cut, and raise what a closed connection raises, if this is the moment."""
        if self._nth and self._word in data:
            self._nth -= 1
            if not self._nth:
                self.shut()
                if not self._for_good:
                    self.open()
                self.cut = True
                self._told()
                raise ConnectionAbortedError


class _Watched:
    """A socket whose commands the gate reads first."""

    def __init__(self, gate: StoreGate, sink: socket.socket) -> None:
        self._gate, self._sink = gate, sink

    def sendall(self, data: bytes) -> None:
        self._gate._pass(data)
        self._sink.sendall(data)
