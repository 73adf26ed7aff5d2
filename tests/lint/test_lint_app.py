"""What is known of an app from its settings alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery, chord
from celery.backends.base import KeyValueStoreBackend
from kombu import Queue

from pytest_celeryflow import run_worker, simulate
from pytest_celeryflow.lint import lint
from pytest_celeryflow.lint._app import AppView, moment


def view(**settings):
    app = Celery("shop", set_as_current=False)
    app.conf.update(settings)
    return AppView(app)


class Counter(KeyValueStoreBackend):
    """A backend of the user's own."""

    implements_incr = True


@pytest.mark.parametrize(
    ("backend", "counting"),
    [
        (None, "none"),
        ("disabled://", "none"),
        ("rpc://", "none"),
        ("redis://h", "redis"),
        ("rediss://h", "redis"),
        ("sentinel://h;sentinel://i", "redis"),
        ("redis+socket:///run/redis.sock", "redis"),
        ("cache+memory://", "counter"),
        ("cache+memcached://h", "counter"),
        ("file:///nowhere", "polling"),
        pytest.param("db+postgresql://h/db", "polling", marks=pytest.mark.slow),
        (f"{__name__}:Counter", "counter"),
        (Counter, "counter"),
        ("no.such:Backend", "unknown"),
    ],
)
def test_how_a_backend_counts_a_chord(backend, counting):
    if str(backend).startswith("db+"):
        pytest.importorskip("sqlalchemy")
    assert view(result_backend=backend).counting == counting


@pytest.mark.parametrize(
    ("settings", "timeout"),
    [
        ({}, None),
        ({"broker_url": "amqp://h"}, None),
        ({"broker_url": "redis://h"}, 3600),
        ({"broker_url": ["rediss://h", "rediss://i"]}, 3600),
        ({"broker_url": "sqs://"}, 1800),
        ({"broker_url": "amqp://h", "broker_write_url": "redis://h"}, 3600),
        (
            {"broker_url": "redis://h", "broker_transport_options": {"visibility_timeout": 60}},
            60,
        ),
    ],
)
def test_how_long_a_broker_waits(settings, timeout):
    assert view(**settings).visibility_timeout == timeout


@pytest.mark.parametrize("mode", [simulate, run_worker])
def test_a_broker_of_ours_is_none_of_the_user_s(mode):
    """So that an app of a test, which names no broker, stays one that is not configured."""
    app = Celery("shop", set_as_current=False)
    with mode(app):
        assert app.conf.broker_url
        assert not AppView(app).is_configured


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, 86_400),
        ({"result_expires": 60}, 60),
        ({"result_expires": timedelta(hours=2)}, 7200),
        ({"result_expires": None}, None),
        ({"result_expires": 0}, None),
        ({"result_expires": 60, "result_chord_expires": 120}, 120),
    ],
)
def test_how_long_results_are_kept(settings, kept):
    assert view(**settings).result_expires == kept


def test_the_queues_of_both_notations():
    assert view().queues is None
    assert view(task_queues=[Queue("a"), Queue("b")]).queues == {"a", "b"}
    assert view(task_queues={"a": {"exchange": "a"}}).queues == {"a"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        ("2026-01-01T12:00:00+00:00", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        (datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 12, tzinfo=UTC)),  # noqa: DTZ001
        ("tomorrow", None),
        (5, None),
    ],
)
def test_a_date_without_a_zone_is_in_utc(given, read):
    assert moment(given) == read


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 0),
        ({"countdown": 5}, 5),
        ({"countdown": "5"}, 0),
        ({"countdown": float("inf")}, 0),
        ({"eta": datetime(2000, 1, 1, tzinfo=UTC)}, 0),
        ({"countdown": 5, "eta": datetime(2999, 1, 1, tzinfo=UTC)}, 5),
    ],
)
def test_how_long_a_task_waits(options, seconds):
    assert view().delay(options) == seconds


def test_tasks_are_those_that_a_worker_would_import(tmp_path, monkeypatch):
    (tmp_path / "shop_included.py").write_text(
        "from celery import current_app\n\n"
        "@current_app.task(name='shop.included', shared=False)\ndef included():\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    app = Celery("shop", include=["shop_included"])
    assert AppView(app).task("shop.included") is not None
    assert not [name for name in AppView(app).tasks if name.startswith("celery.")]


def test_a_backend_that_a_test_lends_counts_chords(app):
    """On a broker with an address of its own, and with no `result_backend` named."""

    @app.task(name="shop.total")
    def total(numbers):
        return sum(numbers)

    canvas = chord([total.s([1]), total.s([2])], total.s())
    with run_worker(app):
        kept = app.conf.broker_url
        app.conf.broker_url = "amqp://broker.invalid"
        found = lint(canvas)
        app.conf.broker_url = kept
    assert found == []
    app.conf.broker_url = "amqp://broker.invalid"
    assert [each.code for each in lint(canvas)] == ["CF102"]
