"""Users: they upload inputs, and their jobs are accepted."""

from __future__ import annotations

import json
from typing import Protocol

from science_gateway.storage import JobFiles, Request

#: Inputs of a well-behaved job: a population that settles, one that cycles, a chaotic one.
INPUTS = {"calm": 2.8, "cycle": 3.2, "chaos": 3.9}


class Accept(Protocol):
    """The fixture `accept`."""

    def __call__(self, job: str, *, wall_time: float = 0.0, **rates: float) -> JobFiles:
        """Upload an input for each growth rate (`INPUTS`, if none), and accept the job."""


def accept_job(job: str, *, wall_time: float = 0.0, **rates: float) -> JobFiles:
    """See `Accept`. The job is not started."""
    inputs = rates or INPUTS
    files = JobFiles.of(job)
    for name, rate in inputs.items():
        path = files.upload(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"r": rate, "x": 0.25, "steps": 200}))
    files.accept(Request(job, "ada@example.org", list(inputs), wall_time))
    return files
