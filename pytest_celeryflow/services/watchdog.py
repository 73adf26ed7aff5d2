"""Nothing outlives the process that started it, however that process ends.

A small ``sh`` reads a pipe whose other end only this process holds. The kernel closes that
end when the process is gone, also after SIGKILL, and the shell then kills the group that it
was told to watch. It sits in a session of its own, so that a signal to our group, such as a
Ctrl+C at the terminal or a CI runner's ``kill -9 -group``, does not reach it.

Rejected: ``prctl(PR_SET_PDEATHSIG)`` exists on Linux alone and follows the thread that forked;
`atexit` does not run after SIGKILL; asking now and then whether the parent lives is polling.

A process that this one *forks* without executing another program (`os.fork`,
`multiprocessing`) would inherit the pipe; it lets go of it at once. Not covered: a child that
leaves its group.
"""

from __future__ import annotations

import os
import subprocess
import weakref
from contextlib import suppress

__all__ = ["Watchdog"]

#: A line means that all is well; the end of the file, that whoever would write it is gone.
_SCRIPT = 'read -r dismissed || kill -s KILL -- "-$0"'

#: Real seconds that the shell may take to end once it was dismissed.
_PATIENCE = 5.0

_watching: weakref.WeakSet[Watchdog] = weakref.WeakSet()


class Watchdog:
    """Kills a process group when this process ends.

    Args:
        group: The group's number. It must stay taken until `dismiss`: the leader must not
            have been waited for.
    """

    def __init__(self, group: int) -> None:
        self._shell = subprocess.Popen(  # noqa: S603 - its only argument is a number
            ["/bin/sh", "-c", _SCRIPT, str(group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _watching.add(self)

    def dismiss(self) -> None:
        """End the watch; the group is left alone."""
        _watching.discard(self)
        assert self._shell.stdin is not None
        with suppress(BrokenPipeError):
            self._shell.stdin.write(b"dismissed\n")
            self._shell.stdin.close()
        self._shell.wait(_PATIENCE)

    def _let_go(self) -> None:
        """In a forked process: the watch is the parent's."""
        assert self._shell.stdin is not None
        os.close(self._shell.stdin.fileno())


def _forked() -> None:
    for watchdog in list(_watching):
        watchdog._let_go()
    _watching.clear()


os.register_at_fork(after_in_child=_forked)
