"""The steps of a job. How they follow each other is told in `science_gateway.workflow`."""

from __future__ import annotations

from typing import Any, TypedDict

from celery import Task

from science_gateway import cluster
from science_gateway.app import POLL_INTERVAL, app
from science_gateway.storage import InputMissing, JobFiles, checksum, write, write_json

__all__ = [
    "Item",
    "RunFailed",
    "await_run",
    "check_outputs",
    "clean_up",
    "compress",
    "job_failed",
    "notify_owner",
    "publish",
    "stage_input",
    "start_run",
    "write_manifest",
]


class RunFailed(Exception):
    """The cluster could not complete a run."""


class Item(TypedDict):
    """A file of a job, as tasks speak of it to each other."""

    name: str
    sha256: str


@app.task(
    autoretry_for=(InputMissing,),
    max_retries=6,
    retry_backoff=60,  # 1, 2, 4, … 32 minutes: an upload may still be under way
    retry_backoff_max=3600,
    retry_jitter=False,
)
def stage_input(job: str, name: str) -> Item:
    """Copy an input to where the runs see it, and checksum it."""
    files = JobFiles.of(job)
    files.stage(name)
    return {"name": name, "sha256": checksum(files.input(name))}


@app.task
def start_run(staged: Item, job: str) -> Item:
    """Submit the run over an input.

    Its name follows from the job, so that a second delivery does not start a second run.
    """
    files, name = JobFiles.of(job), staged["name"]
    wall_time = files.request().wall_time
    cluster.submit(_run(job, name), files.input(name), files.output(name), wall_time)
    return staged


@app.task(bind=True, max_retries=48)
def await_run(self: Task, staged: Item, job: str) -> str:
    """Ask the cluster for a run until it is done, once an hour, for two days at most.

    Returns:
        The name of the input.

    Raises:
        RunFailed: The cluster gave up, or took too long.
    """
    name = staged["name"]
    match cluster.poll(_run(job, name)):
        case cluster.State.RUNNING:
            late = RunFailed(f"the run over {name} is not done after {self.max_retries} polls")
            raise self.retry(countdown=POLL_INTERVAL, exc=late)
        case cluster.State.FAILED:
            raise RunFailed(f"the run over {name} diverged")
    return name


@app.task
def check_outputs(names: list[str], job: str) -> list[str]:
    """Make sure that every run left an output. Called when all of them are done.

    Raises:
        RunFailed: One is missing.
    """
    files = JobFiles.of(job)
    missing = [name for name in names if not files.output(name).exists()]
    if missing:
        raise RunFailed(f"no output over {', '.join(missing)}")
    return names


@app.task
def compress(job: str, name: str) -> Item:
    """Compress an output."""
    files = JobFiles.of(job)
    files.compress(name)
    path = files.compressed(name)
    return {"name": path.name, "sha256": checksum(path)}


@app.task
def write_manifest(compressed: list[Item], job: str) -> list[Item]:
    """Write down what the archive will contain. Called when everything is compressed."""
    items = sorted(compressed, key=lambda item: item["name"])
    write_json(JobFiles.of(job).manifest, {"job": job, "files": items})
    return items


@app.task(autoretry_for=(OSError,), max_retries=3, retry_backoff=60, retry_jitter=False)
def publish(items: list[Item], job: str) -> str:
    """Pack the archive and put it where the public finds it.

    Returns:
        Its path below the shared directory.
    """
    files = JobFiles.of(job)
    files.publish([item["name"].removesuffix(".csv.gz") for item in items])
    return str(files.archive.relative_to(files.root))


@app.task
def notify_owner(archive: str, job: str) -> str:
    """Tell the owner where the result is."""
    files = JobFiles.of(job)
    write(files.message, f"To: {files.request().owner}\n\nJob {job} is published: {archive}\n")
    return archive


@app.task
def job_failed(request: Any, exc: BaseException, traceback: Any, job: str) -> None:
    """Hand a failure on to `clean_up`: the errback of every task of a job.

    Celery calls an errback with these first three arguments as a plain function, in the
    worker where the task failed. It does no work there, so that the work is routed, retried
    and seen like any other. (Linked directly, `clean_up` would be given the id of the failed
    task alone, and an errback of a chord is sent before the failure is stored under that id.)
    """
    clean_up.delay(job, str(exc))


@app.task
def clean_up(job: str, reason: str) -> bool:
    """Remove what a failed job left behind, give up its runs, and tell its owner why.

    Returns:
        Whether there was anything to do: it is called for every task of the job that failed.
    """
    files = JobFiles.of(job)
    if not files.work.exists():
        return False
    request = files.request()
    for name in request.inputs:
        cluster.cancel(_run(job, name))
    write(files.message, f"To: {request.owner}\n\nJob {job} failed: {reason}\n")
    files.remove()
    return True


def _run(job: str, name: str) -> str:
    return f"{job}.{name}"
