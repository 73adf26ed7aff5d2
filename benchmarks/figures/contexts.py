"""Contexts that are opened and closed again and again: what they leave behind."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path

from figures.row import Row
from figures.stopwatch import python

__all__ = ["MODES", "rows"]

MODES = {"eager": "run_eager", "worker": "run_worker", "sim": "simulate"}

#: What is loaded, cached and interned meanwhile is not a leak.
_WARM_UP = 50


def rows(count: int) -> list[Row]:
    """Threads, greenlets, descriptors and memory, for each mode."""
    said = []
    for mode in MODES:
        left = python(["-m", "figures.contexts", mode, str(count)])
        name = f"{count:,} contexts in mode {mode}"
        said += [
            Row(f"{name}: {what} left", left[what], "", at_most=0)
            for what in ("threads", "greenlets", "descriptors")
        ]
        said.append(Row(f"{name}: memory", left["memory"], "MiB", at_most=20))
    return said


def leave(mode: str, count: int) -> dict[str, float]:
    """Open and close contexts with some work in each; what is there that was not before."""
    import pytest_celeryflow
    from figures.workload import add, app, total

    opened = getattr(pytest_celeryflow, MODES[mode])

    def once() -> None:
        with opened(app) as flow:
            run = flow.run(add.s(1, 2) | add.s(3))
            if run.value != 6:
                raise RuntimeError(f"it was {run!r}")
            if mode != "eager":
                total.apply_async(([1, 2],), countdown=3600)

    for _ in range(_WARM_UP):
        once()
    before = _there()
    for _ in range(count):
        once()
    after = _there()
    return {what: after[what] - before[what] for what in before}


def _there() -> dict[str, float]:
    gc.collect()
    greenlets = sum(type(thing).__name__ == "greenlet" for thing in gc.get_objects())
    descriptors = Path("/proc/self/fd")
    return {
        "threads": threading.active_count(),
        "greenlets": greenlets,
        "descriptors": len(list(descriptors.iterdir())) if descriptors.exists() else 0,
        "memory": _resident() / 2**20,
    }


def _resident() -> float:
    """Bytes of memory that the process occupies."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


if __name__ == "__main__":
    print(json.dumps(leave(sys.argv[1], int(sys.argv[2]))))
