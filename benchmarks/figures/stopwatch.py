"""Real time, whatever clock is installed, and processes to measure in.

A simulation replaces `time.perf_counter` wherever a module holds it under a name; a default
argument keeps the real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["HERE", "median_of", "now", "python", "timed"]

#: The directory `benchmarks`.
HERE = Path(__file__).resolve().parent.parent

#: Modules are compiled once, as on a user's machine, and not into the source tree.
_BYTE_CODE = tempfile.TemporaryDirectory(prefix="celeryflow-benchmarks-")


def now(_clock: Callable[[], float] = time.perf_counter) -> float:
    """Real seconds."""
    return _clock()


def timed(function: Callable[[], object]) -> float:
    """The real seconds that a call takes."""
    began = now()
    function()
    return now() - began


def median_of(times: int, function: Callable[[], object], *, warm_up: int = 1) -> float:
    """The median of the real seconds that a call takes."""
    for _ in range(warm_up):
        function()
    return median(timed(function) for _ in range(times))


def python(arguments: Sequence[str], **environment: str) -> Any:
    """Run Python in a process of its own; what it writes, read as JSON.

    Raises:
        RuntimeError: It failed, or wrote something else.
    """
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([str(HERE), *filter(None, [inherited.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=HERE,
        env={
            **inherited,
            "PYTHONPATH": path,
            "PYTHONPYCACHEPREFIX": _BYTE_CODE.name,
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"{arguments} failed\n{done.stdout}\n{done.stderr}") from None
