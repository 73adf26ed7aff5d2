"""Time limits: soft and hard, on the task, the call and the app."""

import time

import celery
import pytest
from billiard.exceptions import TimeLimitExceeded
from celery.exceptions import SoftTimeLimitExceeded

from pytest_celeryflow import simulate

SINCE_55 = tuple(map(int, celery.__version__.split(".")[:2])) >= (5, 5)


@pytest.fixture
def nap(app):
    """A task that sleeps, made with any options."""

    def make(**options):
        @app.task(name="shop.nap", **options)
        def nap(seconds):
            time.sleep(seconds)
            return "woke up"

        return nap

    return make


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("where", ["task", "call", "app"])
def test_where_a_limit_can_be_set(app, nap, kind, where):
    """On the task, on the call, in the app's settings: each ends it at its instant."""
    name = "soft_time_limit" if kind == "soft" else "time_limit"
    task = nap(**({name: 5} if where == "task" else {}))
    config = {f"task_{name}": 5} if where == "app" else {}
    with simulate(app, config=config) as flow:
        run = flow.run(task.s(60).set(**({name: 5} if where == "call" else {})))
        assert flow.run(task.s(1)).value == "woke up"
    expected = SoftTimeLimitExceeded if kind == "soft" else TimeLimitExceeded
    assert isinstance(run.error, expected)
    assert run.elapsed == 5


def test_the_call_outranks_the_task(app, nap):
    """Also with a longer limit."""
    task = nap(time_limit=5)
    with simulate(app) as flow:
        assert flow.run(task.s(10).set(time_limit=20)).value == "woke up"


def test_a_task_that_cleans_up_at_the_soft_limit(app):
    """It has until the hard limit to do so."""
    done = []

    @app.task(name="shop.tidy", soft_time_limit=10, time_limit=15)
    def tidy(cleaning):
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            time.sleep(cleaning)
            done.append("tidied")
            return "in part"

    with simulate(app) as flow:
        quick, slow = flow.run(tidy.s(3)), flow.run(tidy.s(30))
    assert (quick.value, quick.elapsed) == ("in part", 13)
    assert isinstance(slow.error, TimeLimitExceeded)
    assert slow.elapsed == 15
    assert done == ["tidied"]


def test_a_body_that_burns_time_in_small_sleeps(app):
    """The limit falls between two of them, or in one, at its exact instant."""
    steps = []

    @app.task(name="shop.burn", time_limit=1.05)
    def burn():
        for step in range(100):
            time.sleep(0.1)
            steps.append(step)

    with simulate(app) as flow:
        run = flow.run(burn.s())
    assert isinstance(run.error, TimeLimitExceeded)
    assert run.elapsed == 1.05
    assert len(steps) == 10


def test_a_soft_limit_can_be_retried(app):
    """`autoretry_for` takes it for an error like any other."""

    @app.task(
        name="shop.again",
        soft_time_limit=5,
        autoretry_for=(SoftTimeLimitExceeded,),
        max_retries=1,
        default_retry_delay=60,
        bind=True,
    )
    def again(self):
        if not self.request.retries:
            time.sleep(60)
        return "second time"

    with simulate(app) as flow:
        run = flow.run(again.s())
    assert run.value == "second time"
    assert run[again].attempts_at == (0, 65)


@pytest.mark.parametrize("acks", [True, False])
def test_a_hard_limit_of_a_task_that_acknowledges_late(app, acks):
    """`acks_on_failure_or_timeout`: acknowledged, or put back (thrown away before Celery 5.5)."""
    first = []

    @app.task(
        name="shop.late", acks_late=True, acks_on_failure_or_timeout=acks, time_limit=5
    )
    def late():
        if not first:
            first.append(True)
            time.sleep(60)
        return "second time"

    with simulate(app) as flow:
        run = flow.run(late.s())
        flow.drain()
    if acks or not SINCE_55:
        assert isinstance(run.error, TimeLimitExceeded)
        assert len(run[late]) == 1
    else:
        assert run.value == "second time"
        assert [e.redelivered for e in run[late]] == [False, True]


def test_the_timeline_tells_of_limits(app):
    """When which limit was reached, and the failure once."""

    @app.task(name="shop.stubborn", soft_time_limit=5, time_limit=8)
    def stubborn():
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            time.sleep(60)

    with simulate(app) as flow:
        run = flow.run(stubborn.s())
    assert run.timeline() == (
        "0s  stubborn#1  ▸ started with ()\n"
        "5s  stubborn#1  ⏱ soft time limit of 5s reached\n"
        "8s  stubborn#1  ⏱ hard time limit of 8s reached\n"
        "    stubborn#1  ✗ failed: TimeLimitExceeded(8,) after 8s"
    )


def test_every_execution_that_reached_its_hard_limit_has_ended(app):
    """In whichever way the version at hand tells of it."""
    first = []

    @app.task(name="shop.late", acks_late=True, acks_on_failure_or_timeout=False, time_limit=5)
    def late():
        if not first:
            first.append(True)
            time.sleep(60)

    with simulate(app) as flow:
        run = flow.run(late.s())
    assert "STARTED" not in run[late].states
