"""What rules say of Celery is so: the simulation runs it.

The examples of the rules' own docstrings where they can be run as they are; other workflows where
something has to fail first. A rule that is not here rests on Celery's source alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from celery import VERSION, chain, chord, group
from celery.exceptions import (
    ChordError,
    NotRegistered,
    SoftTimeLimitExceeded,
    TaskRevokedError,
)
from celery.local import Proxy
from kombu.exceptions import EncodeError

from pytest_celeryflow import CrashPoint, Run, simulate
from pytest_celeryflow.lint import lint
from pytest_celeryflow.lint.rules import rule_of

from .examples import linted

pytestmark = [
    # What Celery 5.4 warns of when an errback fails.
    pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]


@dataclass(frozen=True)
class Shown:
    """What comes of a rule's two examples.

    Attributes:
        code: The rule.
        bad: What comes of the bad example: its value, an exception, or a question to its run.
        good: What comes of the good one.
        sim: Arguments of `simulate`.
    """

    code: str
    bad: Any
    good: Any
    sim: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.code


def hung(run: Run) -> None:
    assert run.verdict.hung


def lost(run: Run) -> None:
    assert run.verdict.lost or run.verdict.hung


def ran(task: str, times: int) -> Callable[[Run], None]:
    def check(run: Run) -> None:
        assert run[task].attempts == times

    return check


def took(seconds: float) -> Callable[[Run], None]:
    def check(run: Run) -> None:
        assert run.elapsed == pytest.approx(seconds, abs=1)

    return check


IMAGE = "the image at a"
SHOWN = [
    Shown("CF101", ChordError, 2),
    Shown("CF102", NotImplementedError, [IMAGE, "the image at b"]),
    Shown("CF103", ran("fetch", 0), 2),
    Shown("CF104", TypeError, f"{IMAGE} in 100"),
    Shown("CF105", TypeError, None),
    Shown("CF106", "the image at None", IMAGE),
    Shown("CF107", EncodeError, [IMAGE, "the image at b"]),
    Shown("CF108", "the image at {'1': 'a', '2': 'b'}", "the image at [[1, 'a'], [2, 'b']]"),
    Shown("CF110", EncodeError, "the image at 1"),
    Shown("CF111", NotRegistered, f"{IMAGE} in 100"),
    Shown("CF112", hung, 2, {"concurrency": 1}),
    Shown("CF113", EncodeError, 2),
    # `fetch` takes no timeout: it is dropped, or it would fail.
    Shown("CF114", [IMAGE, "the image at b"], [IMAGE, "the image at b"]),
    Shown("CF117", took(60 if VERSION[:2] >= (5, 7) else 120), took(60)),
    Shown("CF122", TaskRevokedError, IMAGE),
    Shown("CF123", ran("fetch", 2), ran("fetch", 1), {"workers": 2}),
    Shown("CF124", lost, 2),
    Shown("CF126", hung, IMAGE),
]


@pytest.mark.parametrize("shown", SHOWN, ids=str)
@pytest.mark.parametrize("which", ["Bad", "Good"])
def test_what_comes_of_the_examples(shown, which, tmp_path):
    pytest.importorskip("redis")  # the results of the examples' app are there
    canvas = linted(rule_of(shown.code).sections[which], tmp_path)
    expected = shown.bad if which == "Bad" else shown.good
    app = canvas.app
    if isinstance(app, Proxy):  # a map that was made without an app
        app = app._get_current_object()
    with simulate(app, **shown.sim) as flow:
        if isinstance(expected, type):
            with pytest.raises(expected):
                _ = flow.run(canvas).value
            return
        run = flow.run(canvas)
        if callable(expected):
            expected(run)
        else:
            assert run.value == expected


# -- where something has to fail first -----------------------------------------------------


@pytest.fixture
def t(app):
    """Tasks that fail, and some that tell how they were called."""

    @app.task(name="shop.ident")
    def ident(x=None):
        return x

    @app.task(name="shop.fail")
    def fail(*_args):
        raise ValueError("no")

    @app.task(name="shop.again", autoretry_for=(ValueError,), default_retry_delay=1)
    def again(*_args):
        raise ValueError("no")

    @app.task(name="shop.note")
    def note(*_args):
        return "noted"

    @app.task(name="shop.told", bind=True)
    def told(self, *_args):
        return self.request.delivery_info["routing_key"]

    return SimpleNamespace(ident=ident, fail=fail, again=again, note=note, told=told)


def codes(subject):
    return {each.code for each in lint(subject)}


def test_a_mapped_task_is_not_retried(app, t):
    """CF115"""
    mapped = t.again.map([1, 2])
    assert "CF115" in codes(mapped)
    with simulate(app) as flow:
        assert flow.run(mapped).executions[0].state == "FAILURE"
        assert flow.run(t.again.s(1))["shop.again"].retries == 3


def test_a_queue_of_a_chain_is_that_of_its_first_task(app, t):
    """CF116"""
    canvas = chain(t.note.s(), t.told.s()).set(queue="slow")
    assert codes(canvas) == {"CF116"}
    with simulate(app, queues=["celery", "slow"]) as flow:
        assert flow.run(canvas).value == "celery"
        each = chain(t.note.s().set(queue="slow"), t.told.s().set(queue="slow"))
        assert flow.run(each).value == "slow"


def test_an_errback_of_two_arguments_cannot_be_called(app, t):
    """CF118"""

    @app.task(name="shop.failed")
    def failed(exc, traceback):
        t.note.delay()

    canvas = t.fail.s().on_error(failed.s())
    assert codes(canvas) == {"CF118"}
    with simulate(app) as flow:
        assert flow.run(canvas)["shop.note"].attempts == 0


def test_arguments_that_an_errback_brings_are_counted_before_5_7(app, t):
    """CF118"""

    @app.task(name="shop.failed")
    def failed(task_id, what):
        t.note.delay()

    canvas = t.fail.s().on_error(failed.s("x"))
    with simulate(app) as flow:
        called = flow.run(canvas)["shop.note"].attempts
    assert (codes(canvas), called) == ((set(), 1) if VERSION[:2] >= (5, 7) else ({"CF118"}, 0))


def test_an_errback_that_takes_nothing_hides_the_error(app, t):
    """CF118"""

    @app.task(name="shop.failed")
    def failed():
        pass

    canvas = t.fail.s().on_error(failed.s())
    assert codes(canvas) == {"CF118"}
    with simulate(app) as flow:
        assert isinstance(flow.run(canvas).error, TypeError)
        assert isinstance(flow.run(t.fail.s().on_error(failed.si())).error, ValueError)


def test_an_errback_that_is_called_in_place_is_not_routed(app, t):
    """CF119"""

    @app.task(name="shop.failed")
    def failed(request, exc, traceback):
        t.note.delay()

    canvas = t.fail.s().on_error(failed.s().set(queue="alerts", countdown=60))
    assert codes(canvas) == {"CF119"}
    with simulate(app, queues=["celery"]) as flow:
        run = flow.run(canvas)
        assert (run["shop.note"].attempts, run.elapsed) == (1, pytest.approx(0))


def test_an_errback_of_a_group_is_called_for_each_member(app, t):
    """CF120"""

    @app.task(name="shop.failed")
    def failed(request, exc, traceback):
        t.note.delay()

    canvas = group(t.fail.s(), t.fail.s(), t.fail.s())
    canvas.link_error(failed.s())
    assert codes(canvas) == {"CF120"}
    with simulate(app) as flow:
        assert flow.run(canvas)["shop.note"].attempts == 3
        gathered = chord([t.fail.s(), t.fail.s()], t.ident.s().on_error(failed.s()))
        assert codes(gathered) <= {"CF102"}
        assert flow.run(gathered)["shop.note"].attempts == 1


def test_a_callback_of_a_group_is_that_of_its_first_member(app, t):
    """CF121"""
    canvas = group(t.ident.s(1), t.fail.s())
    canvas.link(t.note.s())
    assert codes(canvas) == {"CF121"}
    with simulate(app) as flow:
        run = flow.run(canvas)
        assert (run["shop.note"].attempts, run.state) == (1, "FAILURE")


def test_a_time_without_zone_is_in_utc(app, t):
    """CF125"""
    app.conf.timezone = "America/New_York"
    canvas = t.ident.s(1).set(eta=datetime(2026, 1, 1, 5))  # noqa: DTZ001 - the point
    assert codes(canvas) == {"CF125"}
    with simulate(app, start="2026-01-01T00:00:00Z") as flow:
        assert flow.run(canvas).elapsed == pytest.approx(5 * 3600, abs=1)


@pytest.mark.parametrize("rejects", [False, True])
def test_a_task_whose_process_is_killed(app, rejects):
    """CF201"""

    @app.task(name="shop.charge", acks_late=True, reject_on_worker_lost=rejects)
    def charge():
        return "charged"

    assert ("CF201" in codes(app)) is not rejects
    with simulate(app) as flow:
        flow.faults.crash("shop.charge", at=CrashPoint.IN_BODY)
        run = flow.run(charge.s())
        ended = (run.state, run["shop.charge"].attempts)
    assert ended == (("SUCCESS", 2) if rejects else ("FAILURE", 1))


def test_three_retries_of_three_minutes(app):
    """CF203"""

    @app.task(name="shop.down", autoretry_for=(OSError,))
    def down():
        raise OSError

    assert "CF203" in codes(app)
    with simulate(app) as flow:
        assert flow.run(down.s())["shop.down"].attempts_at == pytest.approx(
            [0, 180, 360, 540], abs=1
        )


def test_none_is_the_task_s_own_limit(app):
    """CF204"""

    @app.task(name="shop.down", autoretry_for=(OSError,), retry_kwargs={"max_retries": None})
    def down():
        raise OSError

    assert "CF204" in codes(app)
    with simulate(app) as flow:
        assert flow.run(down.s())["shop.down"].retries == 3


def test_the_soft_limit_is_retried(app):
    """CF205"""

    @app.task(name="shop.slow", autoretry_for=(Exception,), retry_backoff=True, soft_time_limit=60)
    def slow():
        time.sleep(3600)

    assert "CF205" in codes(app)
    with simulate(app) as flow:
        run = flow.run(slow.s())
        assert (run["shop.slow"].retries, type(run.error)) == (3, SoftTimeLimitExceeded)


@pytest.mark.skipif(VERSION[:2] < (5, 5), reason="Celery 5.4 publishes it")
def test_a_programming_error_is_retried(app):
    """CF219"""

    @app.task(name="shop.typo", autoretry_for=(Exception,), retry_backoff=True, retry_jitter=False)
    def typo():
        return 1 + "1"

    (finding,) = [each for each in lint(app) if each.code == "CF219"]
    with simulate(app) as flow:
        run = flow.run(typo.s())
    assert isinstance(run.error, TypeError)
    assert (run[typo].attempts, run.elapsed) == (4, 7)
    assert "a TypeError is raised 4 times" in finding.message


def test_retry_kwargs_outrank_the_limit_of_the_task(app):
    """CF202 is silent, since Celery heeds it."""

    @app.task(
        name="shop.down", autoretry_for=(OSError,), max_retries=None, retry_kwargs={"max_retries": 1}
    )
    def down():
        raise OSError("down")

    assert "CF202" not in {each.code for each in lint(app)}
    with simulate(app) as flow:
        assert flow.run(down.s())[down].attempts == 2


@pytest.mark.skipif(VERSION[:2] < (5, 5), reason="Celery refuses it since 5.5")
def test_a_soft_limit_above_the_hard_one_cannot_be_published(app):
    """CF206"""

    @app.task(name="shop.odd", soft_time_limit=60, time_limit=30)
    def odd():
        pass

    assert "CF206" in codes(app)
    with simulate(app) as flow, pytest.raises(ValueError, match="soft_time_limit must be"):
        flow.run(odd.s())


def test_a_late_retry_runs_twice_on_redis(redis_app):
    """CF208"""

    @redis_app.task(name="shop.late", autoretry_for=(OSError,), default_retry_delay=7200)
    def late():
        raise OSError

    assert "CF208" in codes(redis_app)
    with simulate(redis_app, workers=2) as flow:
        assert flow.run(late.s())["shop.late"].attempts > 4


def test_a_long_task_that_is_acknowledged_late_runs_twice_on_redis(redis_app):
    """CF209"""

    @redis_app.task(name="shop.long", acks_late=True, time_limit=9000)
    def long():
        time.sleep(8000)

    assert "CF209" in codes(redis_app)
    with simulate(redis_app, workers=2) as flow:
        assert flow.run(long.s())["shop.long"].attempts > 1


def test_waiting_in_a_task_is_refused(app, t):
    """CF210"""

    @app.task(name="shop.waits")
    def waits():
        result = t.ident.delay(1)
        return result.get()

    assert "CF210" in codes(app)
    with simulate(app) as flow, pytest.raises(RuntimeError, match=r"Never call result\.get"):
        _ = flow.run(waits.s()).value


def test_setting_task_queues_replaces_the_default_queue(app, t):
    """CF213"""
    from kombu import Queue

    app.conf.task_queues = [Queue("images")]
    assert "CF213" in codes(app)
    with simulate(app) as flow:
        hung(flow.run(t.ident.s(1)))


def test_a_schedule_of_an_unknown_task_or_with_wrong_arguments_runs_nothing(app, t):
    """CF214 and CF215"""
    app.conf.beat_schedule = {
        "unknown": {"task": "shop.nope", "schedule": 60},
        "wrong": {"task": "shop.ident", "schedule": 60, "args": [1, 2]},
    }
    assert {"CF214", "CF215"} <= codes(app)
    with simulate(app) as flow:
        flow.beat.run_for("5m")
        assert [each.task for each in flow.history.executions()] == []


def test_what_is_not_accepted_is_thrown_away(app):
    """CF218"""

    @app.task(name="shop.pickled", serializer="pickle")
    def pickled():
        pass

    assert "CF218" in codes(app)
    with simulate(app) as flow:
        hung(flow.run(pickled.s()))
