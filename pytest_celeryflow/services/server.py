"""A Redis to test with: somebody else's, or a private one of this process.

A private server listens on a loopback port of its own, so that Celery, redis-py and whatever
else a task uses reach it by an ordinary URL (kombu knows unix sockets, but writes them in
another way than redis-py). It keeps nothing on disk, except while it is `PrivateRedis.down`.
It ends with this process, see `pytest_celeryflow.services.watchdog`.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.services.child import Child
from pytest_celeryflow.services.reaching import where

__all__ = ["PrivateRedis", "Redis"]

#: Real seconds that a server may take to start, and to stop.
_PATIENCE = 10.0

#: What a server writes when it accepts connections; Redis 6 to 8 and Valkey.
_READY = "Ready to accept connections"

#: How often another port is tried when somebody else was faster.
_PORTS = 5

#: Never reached, but with a rule for saving, SIGTERM saves (`redis/src/server.c`,
#: ``prepareForShutdown``), and a server that was `down` comes up with what it had.
_NEVER = "2000000000 2000000000"


class Redis:
    """A Redis that somebody else runs.

    Attributes:
        url: As Celery's ``broker_url`` and ``result_backend``.
        private: Whether it is this process's own.
    """

    private = False

    def __init__(self, url: str) -> None:
        self.url = url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {where(self.url)}>"

    def _not_ours(self, what: str) -> CeleryflowError:
        return CeleryflowError(
            f"cannot {what} the Redis at {where(self.url)}: it was not started here; use a "
            f"private one, with neither a URL nor CELERYFLOW_REDIS_URL"
        )

    def stop(self) -> None:
        """Nothing: it was not started here."""

    def pause(self) -> None:
        """Raise CeleryflowError: it was not started here."""
        raise self._not_ours("pause")

    def resume(self) -> None:
        """Raise CeleryflowError: it was not started here."""
        raise self._not_ours("resume")

    def down(self) -> None:
        """Raise CeleryflowError: it was not started here."""
        raise self._not_ours("take down")

    def crash(self) -> None:
        """Raise CeleryflowError: it was not started here."""
        raise self._not_ours("crash")

    def up(self) -> None:
        """Raise CeleryflowError: it was not started here."""
        raise self._not_ours("bring up")


class PrivateRedis(Redis):
    """A server of this process's own, which tests may interrupt.

    Args:
        executable: The ``redis-server``.

    Attributes:
        ended: Whether it was stopped for good.
    """

    private = True

    def __init__(self, executable: str) -> None:
        self._executable = executable
        # Written by `down` alone, and never found by another server.
        self._saved = Path(tempfile.gettempdir(), f"celeryflow-{uuid4().hex}.rdb")
        self._owner = os.getpid()
        self._child: Child | None = None
        self.ended = False
        self._start(_free_port)
        super().__init__(f"redis://127.0.0.1:{self._port}/0")

    def _start(self, port: Callable[[], int]) -> None:
        for _ in range(_PORTS):
            self._port = port()
            child = Child(
                f"redis-server on port {self._port}",
                [
                    self._executable,
                    *("--port", str(self._port)),
                    *("--bind", "127.0.0.1"),
                    *("--dir", str(self._saved.parent)),
                    *("--dbfilename", self._saved.name),
                    *("--save", _NEVER),
                    *("--appendonly", "no"),
                    *("--daemonize", "no"),
                ],
            )
            if child.wait_for_line(_READY, _PATIENCE):
                self._child = child
                return
            child.end(signal.SIGKILL, _PATIENCE)
        raise CeleryflowError(f"{child.name} did not start; its output:\n{child.output}")

    def _running(self, to: str) -> Child:
        if self._child is None:
            raise CeleryflowError(f"cannot {to} {self!r}: it is down; bring it up() first")
        return self._child

    def pause(self) -> None:
        """Let it answer nobody; connections stay open, and new ones are not refused."""
        self._running("pause").send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._running("resume").send(signal.SIGCONT)

    def down(self) -> None:
        """Close every connection and refuse new ones. `up` brings back what it held.

        This is what clients see of a broken network, or of a restart with persistence.
        """
        child = self._running("take down")
        child.send(signal.SIGCONT)
        child.end(signal.SIGTERM, _PATIENCE)
        self._child = None

    def crash(self) -> None:
        """Like `down`, but all that it held is lost: queues, unacknowledged tasks, results."""
        self._running("crash").end(signal.SIGKILL, _PATIENCE)
        self._child = None

    def up(self) -> None:
        """Start it again on the same port, after `down` or `crash`."""
        if self._child is not None:
            raise CeleryflowError(f"{self!r} is up")
        self._start(lambda: self._port)
        # Or a later crash would bring back what is out of date.
        self._saved.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it, with all that it held; the next `find_redis` starts another."""
        self.ended = True
        if self._child is not None:
            self._child.end(signal.SIGKILL, _PATIENCE)
            self._child = None
        if self._owner == os.getpid():
            self._saved.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
