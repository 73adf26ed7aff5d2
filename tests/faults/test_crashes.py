"""Killed processes and workers: what Celery loses, runs again, or runs twice."""

import time
from contextlib import suppress

import celery
import pytest
from billiard.exceptions import WorkerLostError
from celery import chord

from pytest_celeryflow import CeleryflowError, CrashPoint, simulate

IN_THE_PROCESS = [point for point in CrashPoint if "process" in point.victims]
BEFORE_THE_OUTCOME = [p for p in IN_THE_PROCESS if p is not CrashPoint.AFTER_RESULT]
SINCE_57 = tuple(map(int, celery.__version__.split(".")[:2])) >= (5, 7)


def crashed(shop, task, at, *args, **how):
    """One task, crashed once at a point; options of the simulation and of the fault mixed."""
    options = {name: how.pop(name) for name in ("broker", "workers", "config") if name in how}
    with simulate(shop.app, **options) as flow:
        flow.faults.crash(task, at=at, **how)
        return flow.run(task.s(*args))


@pytest.mark.parametrize("task", ["charge", "late"])
@pytest.mark.parametrize("at", BEFORE_THE_OUTCOME)
def test_a_lost_process_is_a_failure(shop, task, at):
    """Acknowledged early or late, Celery stores WorkerLostError and forgets the task."""
    task = getattr(shop, task)
    run = crashed(shop, task, at, 1)
    assert isinstance(run.error, WorkerLostError)
    assert run[task].states == ("LOST",)
    assert len(run.verdict.lost) == 1
    assert not run.verdict.ok


@pytest.mark.parametrize("at", BEFORE_THE_OUTCOME)
def test_reject_on_worker_lost_runs_it_again(shop, at):
    """Requeued at once, with the flag, and no trace of the first attempt in its state."""
    run = crashed(shop, shop.safe, at, 7)
    assert run.value == 7
    assert run[shop.safe].states == ("LOST", "SUCCESS")
    assert [e.redelivered for e in run.executions] == [False, True]
    assert run.verdict.ok
    assert run.elapsed == 0


def test_a_process_lost_after_the_result_was_stored(shop):
    """Celery 5.7 looks whether SUCCESS was stored; before, it stores a failure over it."""
    run = crashed(shop, shop.safe, CrashPoint.AFTER_RESULT, 7)
    assert run.value == 7
    assert len(run[shop.safe]) == (1 if SINCE_57 else 2)
    assert bool(run.verdict.duplicated) is not SINCE_57


@pytest.mark.skipif(not SINCE_57, reason="retry_on_worker_lost is new in Celery 5.7")
@pytest.mark.parametrize("late", [False, True])
def test_retry_on_worker_lost(shop, late):
    """The worker's own process retries it, within max_retries."""

    @shop.app.task(name="shop.hardy", retry_on_worker_lost=True, acks_late=late, max_retries=2)
    def hardy():
        return "at last"

    with simulate(shop.app) as flow:
        flow.faults.crash(hardy, at=CrashPoint.IN_BODY, times=2)
        run = flow.run(hardy.s())
        flow.faults.crash(hardy, at=CrashPoint.IN_BODY, times=3)
        beyond = flow.run(hardy.s())
    assert run.value == "at last"
    assert [e.retries for e in run[hardy]] == [0, 1, 2]
    assert not any(e.redelivered for e in run[hardy])
    assert isinstance(beyond.error, WorkerLostError)


@pytest.mark.parametrize("at", [CrashPoint.RECEIVED, CrashPoint.BEFORE_ACK])
def test_a_worker_lost_before_the_early_ack_loses_nothing(shop, at):
    """The message is still the broker's, and its body ran once."""
    run = crashed(shop, shop.charge, at, 1, broker="rabbitmq")
    assert run.value == 1
    assert shop.ran == ["charge"]
    assert run.executions[0].redelivered
    assert run.verdict.ok


@pytest.mark.parametrize("at", BEFORE_THE_OUTCOME)
def test_a_worker_lost_after_the_early_ack_loses_the_task(shop, at):
    """Nobody reports anything: the state stays PENDING for ever."""
    run = crashed(shop, shop.charge, at, 1, kills="worker")
    assert run.state == "PENDING"
    assert run.verdict.lost == ("charge#1",)
    assert "charge#1 will never come: it was lost: w1 was killed" in run.verdict.hung


@pytest.mark.parametrize(
    ("broker", "after"), [("rabbitmq", 0), ("redis", 3610)], ids=["rabbitmq", "redis"]
)
def test_when_a_late_task_of_a_lost_worker_comes_back(shop, broker, after):
    """At once where the broker notices, after the visibility timeout where it does not."""
    run = crashed(shop, shop.late, CrashPoint.IN_BODY, 1, kills="worker", broker=broker)
    assert run.value == 1
    assert run[shop.late].attempts_at == (0, after)
    assert [e.redelivered for e in run.executions] == [False, True]


def test_a_lost_late_acknowledgement_runs_the_task_twice(shop):
    """Stored, and not acknowledged: at least once is twice."""
    run = crashed(shop, shop.late, CrashPoint.BEFORE_LATE_ACK, 1)
    assert run.verdict.duplicated == ("late#1",)
    assert shop.ran == ["late", "late"]


def test_deduplication_of_successful_tasks(shop):
    """`worker_deduplicate_successful_tasks` reads the stored state of what is redelivered."""
    config = {"worker_deduplicate_successful_tasks": True}
    run = crashed(shop, shop.late, CrashPoint.BEFORE_LATE_ACK, 1, config=config)
    assert run.value == 1
    assert shop.ran == ["late"]
    assert run.verdict.ok


def test_what_follows_a_repeated_task_is_repeated(shop):
    """Published before the crash and again after it; not so if the crash comes before."""
    for at, times in ((CrashPoint.BEFORE_CALLBACKS, 1), (CrashPoint.AFTER_CALLBACKS, 2)):
        with simulate(shop.app) as flow:
            flow.faults.crash(shop.safe, at=at)
            run = flow.run(shop.safe.s(1) | shop.ship.s())
            assert run.value == 1
        assert len(run[shop.ship]) == times, at


def test_errbacks_of_a_task_that_is_lost_before_and_after_them(shop):
    """A failure is stored first; the errbacks come after it."""
    shop.boom.acks_late = shop.boom.reject_on_worker_lost = True
    for at, times in ((CrashPoint.BEFORE_CALLBACKS, 1), (CrashPoint.AFTER_CALLBACKS, 2)):
        with simulate(shop.app) as flow:
            flow.faults.crash(shop.boom, at=at)
            run = flow.run(shop.boom.s(1).on_error(shop.ship.si("sorry")))
            assert run.state == "FAILURE"
        assert len(run[shop.boom]) == 2
        assert len(run[shop.ship]) == times, at


def test_a_header_task_lost_between_its_result_and_its_count(shop):
    """The result is stored and the chord will never know."""
    with simulate(shop.app) as flow:
        flow.faults.crash(shop.charge, at=CrashPoint.AFTER_RESULT, kills="worker")
        run = flow.run(chord([shop.charge.s(1), shop.late.s(2)], shop.ship.s()))
    assert run.verdict.lost == ()
    assert run.verdict.hung is not None
    assert not run[shop.ship]


def test_a_lost_worker_loses_what_it_runs_and_gives_back_what_it_had_taken(shop):
    """Two slots are busy, two more tasks are reserved; only the two are lost."""

    @shop.app.task(name="shop.nap")
    def nap(number):
        time.sleep(1)
        return number

    with simulate(shop.app, broker="rabbitmq", concurrency=2) as flow:
        flow.faults.crash(nap, at=CrashPoint.IN_BODY, nth=2, kills="worker")
        results = [nap.delay(n) for n in range(4)]
        flow.drain()
        assert [r.state for r in results] == ["PENDING", "PENDING", "SUCCESS", "SUCCESS"]


def test_an_eta_in_a_lost_worker_is_not_forgotten(shop):
    """It waited unacknowledged in the worker's timer."""
    with simulate(shop.app, broker="rabbitmq") as flow:
        flow.faults.crash(shop.ship, at=CrashPoint.IN_BODY, kills="worker")
        later = shop.charge.apply_async((1,), countdown=60)
        shop.ship.delay()
        flow.drain()
        assert later.get() == 1
        assert shop.ran == ["ship", "charge"]
        assert flow.clock.elapsed == 60


def test_another_worker_takes_over(shop):
    """Nobody waits for the lost one."""
    run = crashed(
        shop, shop.late, CrashPoint.IN_BODY, 1,
        kills="worker", workers=2, restart_after=None, broker="rabbitmq",
    )  # fmt: skip
    assert [e.worker for e in run.executions] == ["w1", "w2"]
    assert run.value == 1


def test_a_worker_is_replaced_after_a_while(shop):
    """A supervisor needs its time."""
    run = crashed(
        shop, shop.late, CrashPoint.IN_BODY, 1,
        kills="worker", restart_after="30s", broker="rabbitmq",
    )  # fmt: skip
    assert run[shop.late].attempts_at == (0, 30)


def test_no_task_named_kills_the_worker_at_the_first_that_is_there(shop):
    """`crash(at=…)` is a whole worker."""
    with simulate(shop.app) as flow:
        fault = flow.faults.crash(at=CrashPoint.IN_BODY)
        run = flow.run(shop.charge.s(1) | shop.ship.s())
    assert (fault.victim, fault.fired) == ("worker", 1)
    assert run.verdict.lost == ("charge#1",)


def test_the_crash_in_the_body_comes_where_it_first_waits(shop):
    """What the body did before has happened, what it would have done later has not."""
    run = crashed(shop, shop.slow, CrashPoint.IN_BODY, 5, kills="worker")
    assert shop.ran == ["begun", "begun", "done"]
    assert run.value == 5


def test_a_killed_task_has_no_last_words(shop):
    """Its `finally` runs in this process, and publishes and stores nothing."""

    @shop.app.task(name="shop.careful", bind=True)
    def careful(self):
        try:
            time.sleep(1)
        finally:
            shop.ship.delay()

    with simulate(shop.app) as flow:
        flow.faults.crash(careful, at=CrashPoint.IN_BODY)
        run = flow.run(careful.s())
    assert isinstance(run.error, WorkerLostError)
    assert run.untouched(shop.ship)


def test_a_task_that_will_not_die_is_named(shop):
    """`except BaseException` in a loop cannot be unwound: that is an error at once."""

    @shop.app.task(name="shop.undead")
    def undead():
        while True:
            with suppress(BaseException):
                time.sleep(1)

    with pytest.raises(CeleryflowError, match="undead#1 was killed but swallows BaseException"):
        crashed(shop, undead, CrashPoint.IN_BODY)


def test_a_crash_is_told_in_the_timeline(shop):
    """The fault, the loss, the redelivery: in the order in which they happened."""
    run = crashed(shop, shop.safe, CrashPoint.IN_BODY, 1)
    assert run.timeline() == (
        "0s  safe#1  ▸ started with (1)\n"
        "    safe#1  ⚡ crash(safe, at=IN_BODY)\n"
        "    safe#1  ☠ lost: its process was killed in the body\n"
        "    safe#1  ⟲ back in queue 'celery'\n"
        "    safe#1  ▸ started with (1), redelivered\n"
        "    safe#1  ✓ returned 1"
    )


def test_the_same_crash_gives_the_same_history(shop):
    """Even the number of the job in WorkerLostError's text."""
    digests = {
        crashed(shop, shop.late, CrashPoint.BEFORE_RESULT, 1).history.digest() for _ in range(3)
    }
    assert len(digests) == 1
