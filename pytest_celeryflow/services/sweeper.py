"""What a test made in somebody else's server goes with it, also after SIGKILL of the test.

A small Python process is told through a pipe what is made, and what is removed in the ordinary
way. Its other end only this process holds, and the kernel closes it when this process is gone
(see `pytest_celeryflow.services.watchdog`, which ends programs so). What is left is removed then.
One such process serves this one for as long as it lives, and imports kombu at the end alone.

Not covered: the end of the machine. For that, queues in RabbitMQ expire (`live/rabbitmq.py`).
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pytest_celeryflow.services.removing import remove_from_rabbitmq, remove_keys

__all__ = ["Made", "sweep", "swept"]

_SCRIPT = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from pytest_celeryflow.services.sweeper import sweep; sweep(sys.stdin)"
)

#: Real seconds that the process may take to end when nothing is left.
_PATIENCE = 5.0


class Made:
    """What one test makes on one server."""

    def __init__(self, owner: str, url: str) -> None:
        self._owner, self._url = owner, url

    def __call__(self, kind: str, name: str) -> None:
        """Something is about to be made: ``"keys"`` that begin so, a ``"queue"``, an ``"exchange"``."""
        _tell(self._owner, self._url, kind, name)


@contextmanager
def swept(owner: str, url: str) -> Iterator[Made]:
    """Have removed what is told of, should this process end before this context.

    Args:
        owner: A name that nobody else has.
        url: The server's.
    """
    try:
        yield Made(owner, url)
    finally:
        _tell(owner)


# --- in the test ---

_process: subprocess.Popen[bytes] | None = None


def _tell(*words: str) -> None:
    global _process  # noqa: PLW0603 - one for the process
    if _process is None:
        path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - as `sys.path` has it
        _process = subprocess.Popen(  # noqa: S603 - a program of ours, no shell
            [sys.executable, "-c", _SCRIPT, *path],
            stdin=subprocess.PIPE,
            bufsize=0,  # no lock that a thread could hold while another forks
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # no signal to our group reaches it
        )
        atexit.register(_end)
    assert _process.stdin is not None
    with suppress(BrokenPipeError):
        _process.stdin.write(json.dumps(words).encode() + b"\n")


def _end() -> None:
    """Nothing is made any more."""
    global _process
    if _process is not None:
        ended, _process = _process, None
        assert ended.stdin is not None
        with suppress(BrokenPipeError):
            ended.stdin.close()
        ended.wait(_PATIENCE)


def _forked() -> None:
    """In a forked process: what is made is the parent's to tell of."""
    global _process  # noqa: PLW0603 - one for the process
    if _process is not None:
        assert _process.stdin is not None
        _process.stdin.close()
        _process.returncode = 0  # it is no child of this process, and is not missed
        _process = None
    atexit.unregister(_end)


os.register_at_fork(after_in_child=_forked)


# --- in the other process ---


def sweep(lines: Iterable[str]) -> None:
    """Take down what is made and what is gone, then remove the rest.

    Args:
        lines: What `swept` and `Made` tell.
    """
    left: dict[str, dict[tuple[str, ...], None]] = {}
    for line in lines:
        owner, *made = json.loads(line)
        if made:
            left.setdefault(owner, {})[tuple(made)] = None
        else:
            left.pop(owner, None)
    for things in left.values():
        for url, kind, name in things:
            # One server that is gone keeps nobody from asking the next.
            with suppress(Exception):
                _REMOVALS[kind](url, name)


_REMOVALS: dict[str, Any] = {
    "keys": remove_keys,
    "queue": lambda url, name: remove_from_rabbitmq(url, [name], []),
    "exchange": lambda url, name: remove_from_rabbitmq(url, [], [name]),
}
