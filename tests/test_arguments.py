"""Bad arguments raise at once, name the argument, and say what is valid."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from pytest_celeryflow import ANY, run_eager, run_worker, simulate

CONTEXTS = pytest.mark.parametrize("context", [run_eager, run_worker, simulate])

WHOLE = "must be a whole number, "
QUEUES = "must be a list of names of queues, such as ['celery'], or None"


@pytest.mark.parametrize(
    ("context", "argument", "value", "said"),
    [
        (simulate, "workers", 0, WHOLE + "1 or more"),
        (simulate, "concurrency", True, WHOLE + "1 or more"),
        (simulate, "prefetch_multiplier", "x", WHOLE + "0 or more, or None"),
        (simulate, "prefetch_multiplier", -1, WHOLE + "0 or more, or None"),
        (simulate, "seed", "x", "must be a whole number"),
        (simulate, "seed", None, "must be a whole number"),
        (simulate, "queues", "celery", QUEUES),
        (simulate, "queues", [], QUEUES),
        (simulate, "config", 3, "must be a dict of Celery's settings, or None"),
        (simulate, "start", 5, "is not a moment: give a datetime or ISO 8601 text such as"),
        (run_worker, "queues", ["a", 3], QUEUES),
        (run_worker, "pool", "prefork", "is not one of 'threads', 'solo'"),
        (run_worker, "timeout", "soon", "is not a length of time"),
        (run_eager, "propagate", "yes", "is not one of True, False"),
    ],
)
def test_contexts(app, context, argument, value, said):
    """Before anything is borrowed."""
    with (
        pytest.raises(ValueError, match=re.escape(f"{argument}={value!r} {said}")),
        context(app, **{argument: value}),
    ):
        pass


@CONTEXTS
def test_a_bad_timeout_publishes_nothing(app, add, context):
    """It is checked first."""
    with context(app) as flow:
        with pytest.raises(ValueError, match="timeout=-1 is not a length of time"):
            flow.run(add.s(1, 2), timeout=-1)
        assert not flow.history


@CONTEXTS
@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("retries", -1, WHOLE + "0 or more"),
        ("retries", "1", WHOLE + "0 or more"),
        ("headers", "tenant", "must be a dict of the request's attributes"),
    ],
)
def test_perform(app, add, context, argument, value, said):
    """What makes no request."""
    with context(app) as flow:
        with pytest.raises(ValueError, match=re.escape(f"{argument}={value!r} {said}")):
            flow.perform(add, 1, 2, **{argument: value})
        assert not flow.history


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("times", -1, WHOLE + "0 or more, or None: at least once"),
        ("times", "twice", WHOLE + "0 or more, or None: at least once"),
        ("args", 3, "must be a list or tuple, or a matcher such as ANY"),
        ("kwargs", ["x"], "must be a dict, or a matcher such as ANY"),
        ("queue", 3, "must be the name of a queue, or a matcher such as ANY"),
        ("priority", "high", "must be a whole number, or a matcher such as ANY"),
        ("countdown", "soon", "is not a length of time"),
        ("eta", "tomorrow", "is not a moment: give a datetime, ISO 8601 text or a matcher"),
        ("eta", 3, "is not a moment: give a datetime, ISO 8601 text or a matcher"),
    ],
)
def test_assert_enqueued(app, add, argument, value, said):
    """A value that could match nothing is an error of the test, not of the app."""
    with simulate(app) as flow:
        add.delay(1, 2)
        with pytest.raises(ValueError, match=re.escape(f"{argument}={value!r} {said}")):
            flow.assert_enqueued(add, **{argument: value})
        flow.drain()


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("times", -1, WHOLE + "0 or more"),
        ("state", "SUCESS", "is not one of RETRY, SUCCESS, FAILURE, REJECTED, IGNORED, REVOKED"),
    ],
)
def test_assert_ran(app, add, argument, value, said):
    """A state that no execution ever has would pass for "it did not"."""
    with (
        simulate(app) as flow,
        pytest.raises(ValueError, match=re.escape(f"{argument}={value!r} {said}")),
    ):
        flow.assert_ran(add, **{argument: value})


def test_assert_not_enqueued_counts_nothing(app, add):
    """`times` would say two things at once."""
    with simulate(app) as flow, pytest.raises(ValueError, match="times= has no place here"):
        flow.assert_not_enqueued(add, times=2)


@pytest.mark.parametrize("name", ["fail", "delay", "hang", "duplicate", "drop", "redeliver"])
def test_a_fault_concerns_a_task(app, name):
    """Only `crash` can strike whatever task is there."""
    with simulate(app) as flow, pytest.raises(ValueError, match="task=None is not a task"):
        getattr(flow.faults, name)(None, *(["5s"] if name == "delay" else []))


@pytest.mark.parametrize(
    "when",
    [
        {"countdown": 7200},
        {"countdown": "2h"},
        {"countdown": timedelta(hours=2)},
        {"countdown": pytest.approx(7201, abs=2)},
        {"eta": datetime(2026, 1, 1, 2, tzinfo=UTC)},
        {"eta": datetime(2026, 1, 1, 2)},  # noqa: DTZ001 - read as UTC, as everywhere
        {"eta": "2026-01-01T02:00:00Z"},
        pytest.param(
            {"eta": pytest.approx(datetime(2026, 1, 1, 2, 1, tzinfo=UTC), abs=timedelta(minutes=2))},
            marks=pytest.mark.skipif(
                pytest.version_tuple < (9,), reason="approx knows moments since pytest 9"
            ),
        ),
        {"eta": ANY},
    ],
    ids=repr,
)
def test_moments_of_assert_enqueued(app, add, when):
    """However one says it."""
    with simulate(app) as flow:
        add.apply_async((1, 2), countdown=7200)
        flow.assert_enqueued(add, **when)
        flow.drain()
