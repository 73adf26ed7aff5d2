"""A real `celery worker` with its pool of processes, beside the test.

It is Celery's own command (``celery/bin/worker.py``) in a process group of its own. What
keeps it from being reproducible and is not asked for is off: gossip, mingle and heartbeats.
It ends with this process, see `pytest_celeryflow.services.watchdog`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.services.child import Child

__all__ = ["Worker", "check_json"]

#: Real seconds that a worker may take to start, with imports.
_START = 30.0

#: Real seconds that its tasks may take to end when it is stopped.
_STOP = 15.0

#: Environment variables that outrank the configuration (`celery/app/utils.py:Settings`).
_OUTRANKING = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
)


class Worker:
    """One worker process and its pool.

    Args:
        app: Where the app is, as for ``celery -A``: ``"module:attribute"`` or a module.
        config: Settings to lay over the app's own, at least the broker's and the result
            store's; values as JSON has them.
        concurrency: How many processes its pool has.
        queues: What it consumes; ``None``: what the app says.
        name: Its node name, before the ``@``.
        node: Its whole node name; ``None``: ``name@celeryflow``.
        boot: The module that finds the app, in the worker.
        more: Told to that module, as JSON has it.
        pass_fds: File descriptors that it inherits.
        gone: Called, in a thread, when it and all its processes have ended.

    Example:
        >>> with Worker("proj:app", config={"broker_url": url}) as worker:  # doctest: +SKIP
        ...     worker.pids
        [4711, 4712]
    """

    def __init__(
        self,
        app: str,
        *,
        config: Mapping[str, Any],
        concurrency: int = 2,
        queues: Sequence[str] | None = None,
        name: str = "w1",
        node: str | None = None,
        boot: str = "pytest_celeryflow.services.boot",
        more: Mapping[str, Any] | None = None,
        pass_fds: Sequence[int] = (),
        gone: Callable[[], None] | None = None,
    ) -> None:
        self.app, self.config, self.name = app, dict(config), name
        self._told = {"app": app, "config": self.config, "more": dict(more or {})}
        check_json(self.config)
        self._node = node or f"{name}@celeryflow"
        self._boot, self._pass_fds, self._on_gone = boot, tuple(pass_fds), gone
        self._concurrency, self._queues = concurrency, queues
        self._child: Child | None = None
        self._news = threading.Condition()
        self._processes: list[int] = []
        self._ready = self._gone = False

    def __repr__(self) -> str:
        return f"<Worker {self.name} of {self.app}>"

    # --- life ---

    def start(self) -> None:
        """Start it and wait until it consumes and each process of its pool is up.

        Raises:
            CeleryflowError: It ended or did not come up in time; with its output.
        """
        if self._child is not None:
            raise CeleryflowError(f"{self!r} was started already")
        reading, writing = os.pipe()
        try:
            self._child = Child(
                repr(self),
                self._command(),
                environ=self._environ(writing),
                pass_fds=[writing, *self._pass_fds],
            )
        finally:
            os.close(writing)
        reader = threading.Thread(
            target=self._listen, args=(reading,), name=f"celeryflow-{self.name}", daemon=True
        )
        reader.start()
        with self._news:
            self._news.wait_for(self._up_or_gone, _START)
            why = "ended at once" if self._gone else f"did not start within {_START:g} s"
            up = self._up_or_gone() and not self._gone
        if not up:
            self.kill()
            raise CeleryflowError(f"{self!r} {why}; its output:\n{self.output}")

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "celery", "-A", self._boot]
        command += ["worker", "--pool", "prefork", "--concurrency", str(self._concurrency)]
        command += ["--hostname", self._node, "--loglevel", "INFO"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        if self._queues is not None:
            command += ["--queues", ",".join(self._queues)]
        return command

    def _environ(self, report: int) -> dict[str, str]:
        """Ours, with what the child is told, and the same modules in reach."""
        environ = {name: text for name, text in os.environ.items() if name not in _OUTRANKING}
        environ["CELERYFLOW_WORKER"] = json.dumps({**self._told, "report": report})
        environ["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        return environ

    def _listen(self, reading: int) -> None:
        """Take down what the worker tells; the pipe ends with its last process."""
        with open(reading, encoding="ascii") as reports:
            for line in reports:
                what, *words = line.split()
                with self._news:
                    if what == "ready":
                        self._ready = True
                    else:
                        self._processes.append(int(words[0]))
                    self._news.notify_all()
        with self._news:
            self._gone = True
            self._news.notify_all()
        if self._on_gone is not None:
            self._on_gone()

    def _up_or_gone(self) -> bool:
        return self._gone or (self._ready and len(self._processes) >= self._concurrency)

    def stop(self, timeout: float = _STOP) -> None:
        """Let it finish its tasks and end (a warm shutdown), then wait for it.

        Args:
            timeout: Real seconds.

        Raises:
            CeleryflowError: It did not end in time, and was killed; with its output.
        """
        if self._child is not None:
            self.resume()
            self._child.end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """Kill it and its pool at once, as when its machine is lost."""
        if self._child is not None:
            self._child.end(signal.SIGKILL, 0.0)

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    # --- what can be done to it ---

    def signal(self, number: int) -> None:
        """Send a signal to the worker itself, not to its pool.

        Args:
            number: Such as ``signal.SIGQUIT``, a cold shutdown.
        """
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Stop it and its pool where they are (SIGSTOP)."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it and its pool go on after `pause`."""
        self._running().send(signal.SIGCONT)

    def wait_gone(self, timeout: float) -> bool:
        """Wait until it and every process of its pool have ended.

        Args:
            timeout: Real seconds.
        """
        with self._news:
            return self._news.wait_for(lambda: self._gone, timeout)

    def wait_for_line(self, text: str, timeout: float) -> bool:
        """Wait until a line of its output contains a text.

        Args:
            text: What to look for, also in what was written already.
            timeout: Real seconds.

        Returns:
            Whether it came.
        """
        return self._running().wait_for_line(text, timeout)

    # --- what can be seen of it ---

    def _running(self) -> Child:
        if self._child is None:
            raise CeleryflowError(f"{self!r} was not started")
        return self._child

    @property
    def started(self) -> bool:
        """Whether it has been started; it may have ended since."""
        return self._child is not None

    @property
    def pid(self) -> int:
        """The worker's own process."""
        return self._running().pid

    @property
    def pids(self) -> list[int]:
        """The processes that its pool has had, in the order they began; not all live still."""
        with self._news:
            return list(self._processes)

    @property
    def output(self) -> str:
        """The last of what it wrote: its log, and what tasks printed."""
        return self._running().output


def check_json(config: Mapping[str, Any]) -> None:
    """Check that settings can be handed to another process.

    Raises:
        ValueError: One cannot; it is named.
    """
    for name, value in config.items():
        try:
            json.dumps(value)
        except TypeError as exc:
            raise ValueError(
                f"config: {name!r} is {value!r}, which cannot be handed to another process; "
                "valid are strings, numbers, booleans, None, lists and dicts of these"
            ) from exc
