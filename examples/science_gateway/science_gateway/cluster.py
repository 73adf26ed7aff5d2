"""The cluster that runs the simulations, reduced to what the gateway needs of one.

This one is a directory: a run is a file that says when it will have ended, and what ends it
is the passing of time. Behind the same three functions a real gateway asks Slurm or HTCondor.

A simulation iterates the logistic map, ``x → r·x·(1 - x)``, which is well-behaved for
``r <= 4`` and diverges beyond.
"""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path

from science_gateway.storage import root, write

__all__ = ["State", "cancel", "poll", "submit"]


class State(StrEnum):
    """What the cluster says of a run."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


def submit(run: str, input_: Path, output: Path, wall_time: float) -> None:
    """Submit a run. Submitting the same one again changes nothing.

    Args:
        run: Its name, chosen by the caller.
        input_: JSON with ``r``, ``x`` and ``steps``.
        output: Where the run writes its trajectory, as CSV.
        wall_time: How long it takes, in seconds.
    """
    ticket = _ticket(run)
    if not ticket.exists():
        told = {"input": str(input_), "output": str(output), "ends": time.time() + wall_time}
        write(ticket, json.dumps(told))


def poll(run: str) -> State:
    """What has become of a run."""
    told = json.loads(_ticket(run).read_text())
    if time.time() < told["ends"]:
        return State.RUNNING
    try:
        write(Path(told["output"]), _simulate(**json.loads(Path(told["input"]).read_text())))
    except OverflowError:
        return State.FAILED
    return State.DONE


def cancel(run: str) -> None:
    """Give up a run, if there is one."""
    _ticket(run).unlink(missing_ok=True)


def _ticket(run: str) -> Path:
    return root() / "cluster" / f"{run}.json"


def _simulate(r: float, x: float, steps: int) -> str:
    lines = ["step,x"]
    for step in range(steps):
        lines.append(f"{step},{x:.9f}")
        x = r * x * (1 - x)
        if not 0 <= x <= 1:
            raise OverflowError(f"diverged at step {step}")
    return "\n".join(lines) + "\n"
