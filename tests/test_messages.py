"""The words of failures, golden: each is what a person reads first."""

from datetime import timedelta

import pytest
from celery import chord, group
from celery.exceptions import Ignore

from pytest_celeryflow import CeleryflowAssertionError, WorkflowStalled, run_worker, simulate


def _message(excinfo):
    return str(excinfo.value)


def test_nothing_was_enqueued(app, add):
    """Says that nothing was, and asks the likely question."""
    with simulate(app) as flow, pytest.raises(CeleryflowAssertionError) as failed:
        flow.assert_enqueued(add, args=(1, 2))
    assert _message(failed) == (
        "add was not enqueued\n"
        "\n"
        "Expected: add(args=(1, 2))\n"
        "Instead:  nothing was enqueued at all. Was the canvas published, with\n"
        "          delay(), apply_async() or flow.run()?"
    )


def test_enqueued_otherwise_nearest_first(app, add):
    """Lists what was, the nearest first, and what differs."""
    with simulate(app) as flow:
        add.apply_async((9, 9), queue="slow")
        add.apply_async((1, 2), queue="slow")
        with pytest.raises(CeleryflowAssertionError) as failed:
            flow.assert_enqueued(add, args=(1, 2), queue="fast")
        flow.drain()
    assert _message(failed) == (
        "add was not enqueued like this\n"
        "\n"
        "Expected: add(args=(1, 2), queue='fast')\n"
        "Instead:  add#2(args=(1, 2), queue='slow')   differs in queue\n"
        "          add#1(args=(9, 9), queue='slow')   differs in args, queue"
    )


def test_enqueued_too_often(app, add):
    """Counts in words."""
    with simulate(app) as flow:
        group(add.s(i, i) for i in range(3)).apply_async()
        with pytest.raises(CeleryflowAssertionError) as failed:
            flow.assert_enqueued(add, times=1)
        flow.drain()
    assert _message(failed).splitlines()[0] == "add was enqueued 3 times, not once"
    assert failed.value.expected.times == 1
    assert len(failed.value.actual) == 3


def test_enqueued_were_others(app, add):
    """What was enqueued instead is counted by task."""

    @app.task(name="shop.ship")
    def ship():
        return None

    with simulate(app) as flow:
        group(add.s(i, i) for i in range(12)).apply_async()
        with pytest.raises(CeleryflowAssertionError) as failed:
            flow.assert_enqueued(ship, times=2)
        flow.drain()
    assert _message(failed) == (
        "ship was not enqueued, and should have been twice\n"
        "\n"
        "Expected: ship()\n"
        "Instead:  no ship at all; enqueued were add (12 times)"
    )


def test_enqueued_for_another_moment(app, add):
    """An ETA is a moment, and is written as one."""
    with simulate(app) as flow:
        add.apply_async((1, 2), eta=flow.clock.now + timedelta(hours=2))
        with pytest.raises(CeleryflowAssertionError) as failed:
            flow.assert_enqueued(add, eta=flow.clock.now + timedelta(hours=1), countdown="1h")
        flow.drain()
    assert _message(failed) == (
        "add was not enqueued like this\n"
        "\n"
        "Expected: add(eta='2026-01-01T01:00:00+00:00', countdown=3600.0)\n"
        "Instead:  add#1(eta='2026-01-01T02:00:00+00:00', countdown=7200.0)   differs in eta, "
        "countdown"
    )


def test_did_not_run_because_nobody_let_it(app, add):
    """`delay` alone only enqueues: it says what works it off."""
    with simulate(app) as flow:
        add.delay(1, 2)
        with pytest.raises(CeleryflowAssertionError) as failed:
            flow.assert_ran(add, times=2)
        flow.drain()
    assert _message(failed) == (
        "add did not run, and should have run twice\n"
        "\n"
        "Expected: add runs twice\n"
        "Instead:  it did not run; add#1 still waits\n"
        "Next:     flow.drain() does what waits; flow.run() publishes and does it.\n"
        "\n"
        "nothing was carried out"
    )


def test_ran_too_often(app, add):
    """Counts, with the state of each."""
    with simulate(app) as flow:
        flow.run(add.s(1, 2))
        with pytest.raises(CeleryflowAssertionError) as failed:
            flow.assert_ran(add, times=0)
        with pytest.raises(CeleryflowAssertionError) as other:
            flow.assert_ran(add, state="FAILURE")
    assert _message(failed).splitlines()[:4] == [
        "add ran once, and should not have run",
        "",
        "Expected: add runs 0 times",
        "Instead:  add#1 SUCCESS",
    ]
    assert _message(other).splitlines()[0] == (
        "add did not run with state FAILURE, and should have run"
    )


def test_did_not_run(app, add):
    """Says what did."""

    @app.task(name="shop.notify")
    def notify():
        return None

    with simulate(app) as flow:
        flow.run(add.s(1, 2))
        with pytest.raises(CeleryflowAssertionError) as failed:
            flow.assert_ran(notify)
    assert _message(failed) == (
        "notify did not run, and should have run\n"
        "\n"
        "Expected: notify runs at least once\n"
        "Instead:  it did not run; add#1 did\n"
        "\n"
        "0s  add#1  ▸ started with (1, 2)\n"
        "    add#1  ✓ returned 3"
    )


def test_stalled_chord(app, add):
    """The chord, its count, who will not report and why; then what happened."""

    @app.task(name="shop.skip")
    def skip():
        raise Ignore

    @app.task(name="shop.total")
    def total(numbers):
        return sum(numbers)

    with simulate(app) as flow:
        run = flow.run(chord([add.s(1, 1), skip.s()], total.s()))
        with pytest.raises(WorkflowStalled) as stalled:
            run.value  # noqa: B018 - reading it raises
    assert _message(stalled) == (
        "the result of a chord's body will never come\n"
        "a chord waits for its header: 1 of 2 tasks have counted\n"
        "  skip#1 raised Ignore, which stores no result, publishes nothing and counts in no chord\n"
        "\n"
        "0s  add#1   ▸ started with (1, 1)\n"
        "    add#1   ✓ returned 2\n"
        "    skip#1  ▸ started with ()\n"
        "    skip#1  – ignored: Ignore()"
    )


def test_an_eta_that_real_time_cannot_reach(app, add):
    """In real time it is told at once, with the mode that can."""
    with run_worker(app) as flow:
        run = flow.run(add.signature((1, 2), countdown=3600) | add.s(1), timeout=20)
        assert run.elapsed < 10
        first, second, *rest = run.verdict.hung.splitlines()
        app.control.purge()
    assert first == "the workflow does not finish within 20 s of real time"
    assert second.startswith("add#1 waits in its worker for its ETA, 20")
    assert rest == [
        (
            "Time is real in this mode. In mode 'sim' an ETA or a retry costs nothing; or give a "
            "longer timeout=."
        )
    ]


def test_a_workflow_whose_next_step_is_lost(app, add):
    """What was never published is told apart from what was, and the cause is named."""
    with simulate(app) as flow:
        run = flow.run(add.signature((1, 2), countdown=60, expires=30) | add.s(1))
        assert run.verdict.hung is None
        assert run.state == "PENDING"
        assert type(run.error).__name__ == "TaskRevokedError"


def test_queue_without_a_consumer(app, add):
    """The queue, and what to write."""
    with simulate(app, queues=["celery"]) as flow:
        run = flow.run(add.signature((1, 2), queue="emails"))
        assert run.verdict.hung == (
            "the result of add#1 will never come: it waits in queue 'emails', which no worker "
            "consumes\n"
            "Let a worker consume 'emails': name it in task_queues, or in queues= of the context "
            "or the marker."
        )


def test_django_without_settings_is_none_of_our_business(app, add):
    """A library may have imported it: a failure is told all the same."""
    pytest.importorskip("django.db")
    with simulate(app) as flow:
        add.delay(1, 2)
        assert flow.report().endswith("still waiting: add#1 in queue")
        with pytest.raises(CeleryflowAssertionError, match="add did not run"):
            flow.assert_ran(add)
