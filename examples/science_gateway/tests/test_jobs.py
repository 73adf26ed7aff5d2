"""Whole jobs, over real files, in every mode: eagerly, on a real worker, in the simulation."""

from __future__ import annotations

import gzip
import json
import tarfile

import pytest
from pytest_celeryflow import Flow
from uploads import INPUTS, Accept

from science_gateway.storage import checksum
from science_gateway.tasks import (
    RunFailed,
    await_run,
    check_outputs,
    clean_up,
    compress,
    notify_owner,
    publish,
    stage_input,
    start_run,
    write_manifest,
)
from science_gateway.workflow import process, submit

JOB = "job-1"


def test_a_job_is_published_and_its_owner_notified(celeryflow: Flow, accept: Accept) -> None:
    """The result is an archive with a manifest that tells the truth about it."""
    files = accept(JOB)

    run = celeryflow.run(process(JOB, list(INPUTS)))

    assert run.value == "archive/job-1.tar"
    with tarfile.open(files.archive) as archive:
        assert archive.getnames() == [
            "manifest.json",
            "calm.csv.gz",
            "chaos.csv.gz",
            "cycle.csv.gz",
        ]
    listed = json.loads(files.manifest.read_text())["files"]
    assert listed == [
        {"name": f"{name}.csv.gz", "sha256": checksum(files.compressed(name))}
        for name in sorted(INPUTS)
    ]
    assert gzip.decompress(files.compressed("calm").read_bytes()) == (
        files.output("calm").read_bytes()
    )
    assert files.message.read_text() == (
        "To: ada@example.org\n\nJob job-1 is published: archive/job-1.tar\n"
    )


def test_every_input_takes_every_step_once(celeryflow: Flow, accept: Accept) -> None:
    """Nothing is lost, nothing runs twice, and the barriers between the steps hold."""
    accept(JOB)

    run = celeryflow.run(process(JOB, list(INPUTS)))

    assert run.verdict.ok
    for step in (stage_input, start_run, await_run, compress):
        assert run[step].attempts == len(INPUTS)
    for step in (check_outputs, write_manifest, publish, notify_owner):
        assert run[step].attempts == 1
    assert run.happened_before(await_run, check_outputs)
    assert run.happened_before(compress, write_manifest)
    assert run.happened_before(publish, notify_owner)
    assert run.untouched(clean_up)


def test_the_manifest_does_not_depend_on_the_order_of_the_inputs(
    celeryflow: Flow, accept: Accept
) -> None:
    """Whoever compares two archives should not see how the jobs were written down."""
    files, again = accept("job-1"), accept("job-2")

    celeryflow.run(process("job-1", list(INPUTS)))
    celeryflow.run(process("job-2", list(reversed(INPUTS))))

    def items(text: str) -> object:
        return json.loads(text)["files"]

    assert items(files.manifest.read_text()) == items(again.manifest.read_text())


def test_a_job_over_one_input(celeryflow: Flow, accept: Accept) -> None:
    """A chord with one header task, which Celery treats in ways of its own."""
    files = accept(JOB, alone=3.0)

    assert celeryflow.run(process(JOB, ["alone"])).value == "archive/job-1.tar"
    assert files.archive.exists()


def test_submitting_returns_celerys_own_result(celeryflow: Flow, accept: Accept) -> None:
    """What the web application calls; it gets an `AsyncResult` whatever the mode."""
    request = accept(JOB).request()

    result = submit(request)

    assert result.get(timeout=10) == "archive/job-1.tar"


def test_an_upload_that_never_comes_is_told_to_whoever_asks(celeryflow: Flow) -> None:
    """One task by itself: `perform` runs it as a worker would, and publishes nothing.

    It is the last of its seven attempts: six retries came before.
    """
    execution = celeryflow.perform(stage_input, JOB, "nowhere", retries=6)

    assert execution.state == "FAILURE"
    assert str(execution.error) == "nowhere of job job-1 is not uploaded"


@pytest.mark.celeryflow(modes=["worker", "sim"])
def test_a_job_that_cannot_be_published_is_cleaned_up(celeryflow: Flow, accept: Accept) -> None:
    """A stub takes the place of a task's body; everything around it stays.

    `publish` follows the chords, and its errback is lost eagerly just as those of the chords.
    """
    files = accept(JOB)
    celeryflow.stub(publish).raises(ValueError("the archive is read-only"))

    run = celeryflow.run(process(JOB, list(INPUTS)))

    assert isinstance(run.error, ValueError)
    assert run[clean_up].results == (True,)
    assert run.untouched(notify_owner)
    assert not files.work.exists()
    assert "failed: the archive is read-only" in files.message.read_text()


def test_cleaning_up_twice_is_cleaning_up_once(celeryflow: Flow, accept: Accept) -> None:
    """Every failing task of a job may ask for it, and so may a second delivery."""
    files = accept(JOB)

    first = celeryflow.perform(clean_up, JOB, "the cluster is on fire")
    second = celeryflow.perform(clean_up, JOB, "the cluster is on fire")

    assert (first.result, second.result) == (True, False)
    assert "on fire" in files.message.read_text()


def test_submitting_a_run_twice_starts_it_once(celeryflow: Flow, accept: Accept) -> None:
    """A worker that is lost after `start_run` did its work costs no second run."""
    files = accept(JOB, wall_time=3600)
    staged = {"name": "calm", "sha256": "…"}
    ticket = files.root / "cluster" / "job-1.calm.json"

    celeryflow.perform(start_run, staged, JOB)
    first = ticket.read_text()
    celeryflow.perform(start_run, staged, JOB)

    assert ticket.read_text() == first


@pytest.mark.celeryflow(modes=["worker", "sim"])
@pytest.mark.parametrize(
    "inputs",
    [{"fine": 3.0, "wild": 4.5}, {"wild": 4.5, "fine": 3.0}, {"wild": 4.5, "wilder": 5.0}],
    ids=["last", "first", "both"],
)
def test_a_diverging_run_cleans_up_the_job(
    celeryflow: Flow, accept: Accept, inputs: dict[str, float]
) -> None:
    """The run fails in the header of a chord, and the errback of its body is called: once.

    See `test_eager_does_not_call_the_errback_of_a_chord` for why not in mode eager.
    """
    files = accept(JOB, **inputs)

    run = celeryflow.run(process(JOB, list(inputs)))

    assert isinstance(run.error, RunFailed)
    assert run[clean_up].results == (True,)
    assert run.untouched(compress)
    assert not files.work.exists()
    assert not files.archive.exists()
    assert all(files.upload(name).exists() for name in inputs)
    assert "diverged" in files.message.read_text()


def test_eager_does_not_call_the_errback_of_a_chord(celeryflow_eager: Flow, accept: Accept) -> None:
    """A known limit of `task_always_eager`: the header's failure escapes from the chord.

    `chord.apply` (celery/canvas.py) waits for the header, lets its exception through, and
    drops the errbacks that were linked to it, so that nothing is cleaned up. Tests that are
    eager alone would have to leave this half of the workflow out.
    """
    files = accept(JOB, wild=4.5)

    run = celeryflow_eager.run(process(JOB, ["wild"]))

    assert isinstance(run.error, RunFailed)
    assert run.untouched(clean_up)
    assert files.work.exists()


@pytest.mark.celeryflow(modes=["worker", "sim"])
def test_work_on_files_and_work_on_runs_wait_in_queues_of_their_own(
    celeryflow: Flow, accept: Accept
) -> None:
    """Eagerly, nothing is published, and there is no queue to look at."""
    accept(JOB)

    celeryflow.run(process(JOB, list(INPUTS)))

    for task in (stage_input, publish, notify_owner):
        celeryflow.assert_enqueued(task, queue="transfer")
    for task in (start_run, await_run, check_outputs, compress, write_manifest):
        celeryflow.assert_enqueued(task, queue="compute")
        celeryflow.assert_not_enqueued(task, queue="transfer")


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [([], "has no inputs"), (["a", "b", "a"], "names an input twice: a, b, a")],
)
def test_a_senseless_job_is_refused_before_anything_is_published(
    inputs: list[str], complaint: str
) -> None:
    """No flow is needed for what does not get as far as Celery."""
    with pytest.raises(ValueError, match=complaint):
        process(JOB, inputs)
