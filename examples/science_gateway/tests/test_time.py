"""What takes hours or days: only the simulation can show it, and shows it at once.

Eagerly, a retry follows at once, whatever its countdown; on a real worker it comes in real
time. `celeryflow_sim` is always the simulation, whatever modes are asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pytest_celeryflow import Flow, simulate
from uploads import INPUTS, Accept

from science_gateway.app import POLL_INTERVAL, app
from science_gateway.storage import InputMissing
from science_gateway.tasks import (
    RunFailed,
    await_run,
    clean_up,
    notify_owner,
    stage_input,
    start_run,
)
from science_gateway.workflow import process, submit

JOB = "job-1"
HOUR = 3600


def test_a_run_is_polled_once_an_hour_until_it_is_done(
    celeryflow_sim: Flow, accept: Accept
) -> None:
    """Five retries an hour apart take five virtual hours and a few real milliseconds."""
    accept(JOB, wall_time=4.5 * HOUR, calm=2.8)

    run = celeryflow_sim.run(process(JOB, ["calm"]))

    assert run.value == "archive/job-1.tar"
    assert run[await_run].attempts_at == (0, 1 * HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 5 * HOUR)
    assert run[await_run].states == ("RETRY",) * 5 + ("SUCCESS",)
    assert run.elapsed == 5 * HOUR


def test_runs_wait_side_by_side(celeryflow_sim: Flow, accept: Accept) -> None:
    """A run that is waited for occupies no slot of the worker: three take as long as one."""
    accept(JOB, wall_time=2 * HOUR)

    run = celeryflow_sim.run(process(JOB, list(INPUTS)))

    assert run.elapsed == 2 * HOUR
    assert run[await_run].attempts == 3 * len(INPUTS)
    assert len(run[await_run].ids) == len(INPUTS)


def test_a_run_that_does_not_end_is_given_up_after_two_days(
    celeryflow_sim: Flow, accept: Accept
) -> None:
    """48 retries, then the errback; the job's directory is gone and the owner knows why."""
    files = accept(JOB, wall_time=30 * 24 * HOUR, endless=2.8)

    run = celeryflow_sim.run(process(JOB, ["endless"]))

    assert isinstance(run.error, RunFailed)
    assert run[await_run].retries == 48
    assert run.elapsed == 48 * HOUR
    assert run[clean_up].attempts == 1
    assert not files.work.exists()
    assert "not done after 48 polls" in files.message.read_text()


def test_an_upload_may_come_late(celeryflow_sim: Flow, accept: Accept) -> None:
    """The user's file arrives five minutes after the job; staging tries after 1, 2, 4 minutes."""
    upload = accept(JOB, calm=2.8).upload("calm")
    away = upload.rename(upload.with_name("not yet here"))
    celeryflow_sim.clock.at("5m", lambda: away.rename(upload))

    run = celeryflow_sim.run(process(JOB, ["calm"]))

    assert run.value == "archive/job-1.tar"
    assert run[stage_input].attempts_at == (0, 60, 180, 420)
    assert [type(error) for error in run[stage_input].errors] == [InputMissing] * 3 + [type(None)]


def test_an_upload_that_never_comes_fails_the_job(celeryflow_sim: Flow, accept: Accept) -> None:
    """After an hour of waiting, and without a run having been started for it."""
    files = accept(JOB, calm=2.8)
    files.upload("calm").unlink()

    run = celeryflow_sim.run(process(JOB, ["calm"]))

    assert isinstance(run.error, InputMissing)
    assert run[stage_input].attempts == 7
    assert run.elapsed == 60 * (1 + 2 + 4 + 8 + 16 + 32)
    assert run.untouched(start_run)
    assert "calm of job job-1 is not uploaded" in files.message.read_text()


def test_what_a_user_sees_while_the_job_goes_on(celeryflow_sim: Flow, accept: Accept) -> None:
    """Submit, look in on it after a while, and come back when it should be done."""
    files = accept(JOB, wall_time=3 * HOUR)

    result = submit(files.request())
    assert [message.queue for message in celeryflow_sim.pending()] == ["transfer"] * 3

    celeryflow_sim.clock.advance("90m")
    assert not result.ready()
    waiting = celeryflow_sim.pending(await_run)
    assert {message.args[0]["name"] for message in waiting} == set(INPUTS)
    assert {message.where for message in waiting} == {"worker"}

    celeryflow_sim.clock.advance("2h")
    assert result.get() == "archive/job-1.tar"
    assert celeryflow_sim.pending() == []
    celeryflow_sim.assert_ran(notify_owner, times=1)


@pytest.mark.celeryflow(start="2026-03-28T22:30:00+01:00")
def test_time_is_what_the_code_under_test_sees(celeryflow_sim: Flow, accept: Accept) -> None:
    """Also `time.time()` in the cluster's client: its ticket says when the run ends.

    The clocks go forward in Europe in that night, which a countdown must not notice.
    """
    files = accept(JOB, wall_time=6 * HOUR, calm=2.8)

    run = celeryflow_sim.run(process(JOB, ["calm"]))

    assert run.elapsed == 6 * HOUR
    assert celeryflow_sim.clock.now == datetime(2026, 3, 29, 3, 30, tzinfo=UTC)
    assert files.archive.exists()


def test_the_whole_story(celeryflow_sim: Flow, accept: Accept) -> None:
    """The timeline, which a failing test prints by itself."""
    accept(JOB, wall_time=1.5 * HOUR, calm=2.8)

    run = celeryflow_sim.run(process(JOB, ["calm"]))

    polls = [line for line in run.timeline().splitlines() if "await_run#1" in line]
    assert [line.partition("await_run#1")[0].strip() for line in polls if "▸" in line] == [
        "",
        "1h",
        "2h",
    ]
    assert sum("↻ to be retried in 1h" in line for line in polls) == 2
    assert run.timeline().endswith("notify_owner#1    ✓ returned 'archive/job-1.tar'")


def test_two_simulations_of_a_job_are_the_same(accept: Accept) -> None:
    """Not only in their outcome: in every step and its order. The context manager does it."""
    digests = set()
    for job in (JOB, JOB):
        accept(job, wall_time=2 * HOUR)
        with simulate(app, workers=2, concurrency=2) as flow:
            digests.add(flow.run(process(job, list(INPUTS))).history.digest())
    assert len(digests) == 1


@pytest.mark.celeryflow(config={"broker_transport_options": {"visibility_timeout": HOUR // 2}})
def test_a_visibility_timeout_below_the_polling_interval_polls_twice(
    celeryflow_sim: Flow, accept: Accept
) -> None:
    """Why the app sets it: a try that waits longer than that is handed out a second time.

    Celery's documentation warns of it; production shows it at night. Here it is a test. Each
    copy of `await_run` retries for itself, so that they double with every poll.
    """
    accept(JOB, wall_time=1.5 * HOUR, calm=2.8)

    run = celeryflow_sim.run(process(JOB, ["calm"]))

    assert run[await_run].attempts > 3
    assert run.verdict.duplicated


def test_the_visibility_timeout_of_the_app_is_longer_than_every_wait() -> None:
    """So that the trap above stays closed when someone changes the interval."""
    assert app.conf.broker_transport_options["visibility_timeout"] > POLL_INTERVAL


def test_eager_does_not_wait_between_two_polls(celeryflow_eager: Flow, accept: Accept) -> None:
    """A known limit of `task_always_eager`: all 48 retries happen at once, in real time.

    The job fails there although it would be done within two hours.
    """
    accept(JOB, wall_time=2 * HOUR, calm=2.8)

    run = celeryflow_eager.run(process(JOB, ["calm"]))

    assert isinstance(run.error, RunFailed)
    assert run[await_run].attempts == 49
    assert run.elapsed < 60
