"""Who publishes and waits while the result store is away, on two servers and in the simulation.

With Redis a publisher that could wait for the result subscribes to it first
(`celery/backends/redis.py:RedisBackend.on_task_call`), and whoever waits loses the subscription; both
connect again as ``retry_policy`` of the result backend says, by default for 19 seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import celery
import pytest

pytest.importorskip("redis")
from celery import Celery, chord, group

from pytest_celeryflow.results.waited import deprecations_not_raised
from tests.real.bench import Bench
from tests.real.simulated import SimulatedBench
from tests.services import private_redis

VERSION = tuple(map(int, celery.__version__.split(".")[:2]))

#: Gives up after 0.4 seconds.
POLICY = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}
CONFIG = {"result_backend_transport_options": {"retry_policy": POLICY}}

#: What became of it: what it raised, or what it gave.
PUBLISHED = {
    "a task": "RuntimeError",
    "a task whose result is ignored": "published",
    "a group": "RuntimeError",
    "a chord": "RuntimeError",
    "state": "ConnectionError",
    "a task, afterwards": "published",
    "messages": 2,
}
WAITED = {"half a wait": "slept", "too long": "RuntimeError"}
#: Before 5.7 it is the error of the connection, which kombu makes its own where the broker is a Redis, too.
PUBLISHED_BEFORE = {
    **PUBLISHED,
    "a task": "OperationalError",
    "a group": "OperationalError",
    "a chord": "ConnectionError",
}
#: In the simulation it does not: the broker is not a Redis there.
SIMULATED_BEFORE = {
    label: "ConnectionError" if told == "OperationalError" else told
    for label, told in PUBLISHED_BEFORE.items()
}
WAITED_BEFORE = {**WAITED, "too long": "ConnectionError"}

measured = pytest.mark.skipif(
    VERSION not in ((5, 4), (5, 7)), reason="measured on Celery 5.4 and 5.7"
)


def told(ask: Callable[[], Any]) -> Any:
    try:
        with deprecations_not_raised():
            return ask()
    except Exception as exc:  # noqa: BLE001 - that is what is compared
        return type(exc).__name__


def publishing(app: Celery, gate: Any, messages: Callable[[], int]) -> dict[str, Any]:
    """Publish while the store is away, and afterwards."""

    def task(**options: Any) -> Any:
        return app.signature("real.plain", ("return", 1), queue="nobody", **options)

    def published(canvas: Any) -> Any:
        return told(lambda: canvas.apply_async() and "published")

    gate.shut()
    seen = {
        "a task": published(task()),
        "a task whose result is ignored": published(task(ignore_result=True)),
        "a group": published(group([task(), task()], app=app)),
        "a chord": published(chord([task(), task()], task(), app=app)),
        "state": told(lambda: app.AsyncResult(str(uuid4())).state),
    }
    gate.open()
    return {**seen, "a task, afterwards": published(task()), "messages": messages()}


def waiting(app: Celery, gate: Any, later: Callable[[float, Callable[[], Any]], Any]) -> Any:
    """Wait for a task while the store is away for a shorter and for a longer time."""
    seen = {}
    for label, back in (("half a wait", 0.4), ("too long", 1.0)):
        result = app.signature("real.plain", ("sleep", 1.2)).apply_async()
        later(0.2, gate.shut)
        later(back, gate.open)
        seen[label] = told(partial(result.get, timeout=5))
    return seen


@pytest.fixture
def simulated(monkeypatch):
    with closing(SimulatedBench(monkeypatch, CONFIG, 1)) as bench:
        yield bench


@pytest.fixture
def real(tmp_path):
    """A bench on two servers, and an app that asks like anybody's, through the gate."""
    with closing(Bench(private_redis(), tmp_path, CONFIG, private_redis("store"))) as bench:
        bench.client_app = Celery("client", set_as_current=False)
        bench.client_app.conf.update(bench.config)
        # A result that is let go of unsubscribes, where nobody hears that the store is away.
        bench.client_app.backend.remove_pending_result = lambda result: result
        yield bench
        bench.client_app.backend.result_consumer.stop()
        bench.client_app.backend.client.connection_pool.disconnect()
        bench.client_app.pool.force_close_all()
        bench.client_app.close()


@pytest.mark.slow
@measured
def test_publishing_for_real(real) -> None:
    """What could be waited for is not published."""
    seen = publishing(real.client_app, real.gate, lambda: real.client.llen(f"{real.prefix}nobody"))
    assert seen == (PUBLISHED if VERSION >= (5, 7) else PUBLISHED_BEFORE)


@measured
def test_publishing_simulated(simulated) -> None:
    """The same."""
    seen = publishing(simulated.app, simulated.gate, lambda: len(simulated.flow.pending()))
    assert seen == (PUBLISHED if VERSION >= (5, 7) else SIMULATED_BEFORE)


@pytest.mark.slow
@measured
def test_waiting_for_real(real) -> None:
    """A subscription that is lost is made again, and the result is looked up then; or never."""
    real.start(concurrency=1)
    timers: list[threading.Timer] = []

    def later(seconds: float, act: Callable[[], Any]) -> None:
        timers.append(threading.Timer(seconds, act))
        timers[-1].start()

    seen = waiting(real.client_app, real.gate, later)
    for timer in timers:
        timer.join()
    assert seen == (WAITED if VERSION >= (5, 7) else WAITED_BEFORE)


@measured
def test_waiting_simulated(simulated) -> None:
    """The same."""
    seen = waiting(simulated.app, simulated.gate, simulated.flow.clock.at)
    assert seen == (WAITED if VERSION >= (5, 7) else WAITED_BEFORE)
