"""A job as a canvas, and how it is submitted.

```
stage_input ─ start_run ─ await_run ─┐                  ┌─ compress ─┐
stage_input ─ start_run ─ await_run ─┼─ check_outputs ──┼─ compress ─┼─ write_manifest ─ …
stage_input ─ start_run ─ await_run ─┘                  └─ compress ─┘

… write_manifest ─ publish ─ notify_owner            whatever fails: job_failed ─ clean_up
```
"""

from __future__ import annotations

from celery import chain, chord, group
from celery.canvas import Signature
from celery.result import AsyncResult

from science_gateway.storage import JobFiles, Request
from science_gateway.tasks import (
    await_run,
    check_outputs,
    compress,
    job_failed,
    notify_owner,
    publish,
    stage_input,
    start_run,
    write_manifest,
)

__all__ = ["process", "submit"]


def process(job: str, inputs: list[str]) -> Signature:
    """The canvas of a job over some inputs.

    Raises:
        ValueError: There are no inputs, or one is named twice.
    """
    if not inputs:
        raise ValueError(f"job {job} has no inputs")
    if len(set(inputs)) < len(inputs):
        raise ValueError(f"job {job} names an input twice: {', '.join(inputs)}")
    runs = [chain(stage_input.si(job, n), start_run.s(job), await_run.s(job)) for n in inputs]
    return chain(
        chord(runs, check_outputs.s(job)),
        chord(group(compress.si(job, n) for n in inputs), write_manifest.s(job)),
        publish.s(job),
        notify_owner.s(job),
    ).on_error(job_failed.s(job))


def submit(request: Request) -> AsyncResult:
    """Accept a job; its result is the path of the published archive."""
    canvas = process(request.job, list(request.inputs))
    JobFiles.of(request.job).accept(request)
    return canvas.apply_async()
