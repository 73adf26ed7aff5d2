"""`select`: which URL gives which chord logic."""

from __future__ import annotations

import pytest
from celery import Celery
from celery.app import backends

from pytest_celeryflow import simulate
from pytest_celeryflow.results import select
from pytest_celeryflow.results.memory import MemoryBackend, NoBackend, PollingBackend


def kind(values, name: str | None = None, **settings: str) -> type | None:
    """The class of the backend that an app with these settings gets; None: its own."""
    app = Celery("x", set_as_current=False, **settings)
    make = select.for_simulation(app, name, values)
    return None if make is None else type(make())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("cache+memcached://127.0.0.1", MemoryBackend),
        pytest.param("db+postgresql://h/d", PollingBackend, marks=pytest.mark.slow),
        ("mongodb://h", PollingBackend),
        ("unheard-of://h", PollingBackend),
        ("disabled://", NoBackend),
        ("rpc://", None),
        ("file:///tmp/results", None),
        ("cache+memory://", MemoryBackend),
        ("db+sqlite:///x.db", None),
    ],
)
def test_the_logic_that_a_result_backend_names(values, url: str, expected: type | None) -> None:
    """Counting, polling, none, or the app's own where it needs no server."""
    assert kind(values, backend=url, broker="amqp://h") is expected


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "sentinel://h", "redis+socket:///x"])
def test_redis_urls_run_celerys_redis_backend(values, url: str) -> None:
    """Over an in-process store."""
    pytest.importorskip("redis")
    from celery.backends.redis import RedisBackend

    assert issubclass(kind(values, backend=url), RedisBackend)


def test_an_app_with_a_broker_and_no_backend_has_none(values) -> None:
    """Chords are refused, as in production."""
    assert kind(values, broker="amqp://h") is NoBackend


def test_an_app_with_neither_is_one_to_try_things_with(values) -> None:
    """It keeps results, and counts chords."""
    assert kind(values) is MemoryBackend


@pytest.mark.parametrize(("name", "cls"), [("memory", MemoryBackend), ("polling", PollingBackend)])
def test_a_name_outranks_the_url(values, name: str, cls: type) -> None:
    """``backend=`` of the context decides."""
    assert kind(values, name, backend="rpc://", broker="amqp://h") is cls


def test_without_redis_py_the_message_says_what_to_do(values, monkeypatch) -> None:
    """It names the extra, and the way without it."""
    monkeypatch.setattr(select, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pytest-celeryflow\[redis\].*backend='memory'"):
        kind(values, backend="redis://h")


def test_an_unknown_name_is_refused() -> None:
    """The message lists the valid ones."""
    app = Celery("x", set_as_current=False)
    with (
        pytest.raises(ValueError, match=r"'memory', 'redis', 'rabbitmq', 'polling', None, nor a res"),
        simulate(app, backend="mongo"),
    ):
        raise AssertionError


@pytest.mark.parametrize("named", ["rabbitmq", "rpc://", "sqlite_results"])
def test_a_backend_that_needs_no_server_can_be_named(request, named: str) -> None:
    """It takes the place of the app's own, and is used as it is."""
    if named == "sqlite_results":
        named = request.getfixturevalue(named)
    url = "rpc://" if named == "rabbitmq" else named
    app = Celery("x", set_as_current=False, broker="redis://nowhere", backend="redis://nowhere")

    @app.task(name="x.one", shared=False)
    def one() -> int:
        return 1

    with simulate(app, backend=named) as flow:
        assert app.conf.result_backend == url
        assert type(app.backend).__module__ == backends.by_url(url)[0].__module__
        assert flow.run(one.s()).value == 1
    assert app.conf.result_backend == "redis://nowhere"
