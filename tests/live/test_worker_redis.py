"""`run_worker(broker="redis", backend="redis")`: all that mode `worker` promises, on a server."""

from __future__ import annotations

import gc
import threading
import time
from functools import partial

import pytest
from celery import chain, chord

from pytest_celeryflow import UnsupportedFault, run_worker
from tests import services, test_worker_mode
from tests.test_worker_mode import *  # noqa: F403 - every test of it, on this server
from tests.test_worker_mode import gate, sig

redis = pytest.importorskip("redis")
# Loaded before `pytester` could unload them again: kombu remembers the transports it found.
pytest.importorskip("pytest_celeryflow.live.redis")
pytest.importorskip("pytest_celeryflow.modes.remote")

# Redis orders priorities the other way round, and a subscriber hears nothing from before.
del test_priorities_order_what_waits, test_events_are_sent_to_whoever_listens  # noqa: F821
del test_two_hundred_contexts_leave_nothing_behind  # noqa: F821 - fewer, below

BOUND = 10.0


@pytest.fixture(autouse=True)
def url(monkeypatch):
    """A server; the tests of `tests.test_worker_mode` run on it."""
    url = services.private_redis().url
    there = partial(run_worker, broker=url, backend=url)
    monkeypatch.setattr(test_worker_mode, "run_worker", there)
    return url


@pytest.fixture
def client(url):
    with redis.Redis.from_url(url) as client:
        yield client


def events(flow):
    """What happened to each task, in order."""
    told = {}
    for event in flow.history:
        told.setdefault(event.label, []).append((event.kind, event.details.get("queue")))
    return {label: sorted(told[label], key=str) for label in sorted(told)}


def test_the_history_is_that_of_memory(app, url) -> None:
    """The same events, with the app's own names of queues."""
    seen = []
    for where in ("memory", url):
        with run_worker(app, broker=where, backend=where) as flow:
            flow.run(chain(sig(app, "flaky", 1), sig(app, "add", 1, queue="other")))
            flow.run(chord([sig(app, "add", i, i) for i in range(3)], sig(app, "total")))
            seen.append(events(flow))
    assert seen[0] == seen[1]


def test_priorities_are_lists_of_redis(app, url) -> None:
    """The smallest first; of those that were fetched before, nobody can say."""
    config = {"worker_prefetch_multiplier": 1, "task_acks_late": True}
    with run_worker(app, concurrency=1, broker=url, config=config) as flow:
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        for priority in (6, 0, 3):
            app.tasks["shop.add"].apply_async((priority, 0), priority=priority, acks_late=True)
        gate.opened.set()
        flow.drain()
        added = [e.args[0] for e in flow.history.executions() if e.task == "shop.add"]
    assert added == [0, 3, 6]


def test_nothing_is_left_and_nothing_else_is_touched(app, url, client) -> None:
    """Keys of our own go, also those of what was never consumed; a stranger's stay."""
    client.set("somebody-else", "1")
    before = set(client.keys())
    with run_worker(app, broker=url, backend=url, queues=["one"]) as flow:
        flow.run(sig(app, "add", 1, 1, queue="one"))
        sig(app, "add", 1, 1, queue="two").delay()
        assert set(client.keys()) - before
    assert set(client.keys()) == before
    client.delete("somebody-else")


def test_a_task_that_outlives_the_test_leaves_nothing(app, url, client) -> None:
    """Its result is refused, for its name space is gone."""
    before, ended = set(client.keys()), threading.Event()

    @app.task(shared=False)
    def late():
        gate.wait()
        ended.set()

    with (
        pytest.raises(test_worker_mode.WorkflowStalled),
        run_worker(app, broker=url, backend=url, stop_timeout=0.01),
    ):
        late.delay()
        assert gate.reached.wait(BOUND)
    gate.opened.set()
    assert ended.wait(BOUND)
    assert set(client.keys()) == before


def test_results_alone_can_be_on_the_server(app, url) -> None:
    """With the broker in the process, and the other way round."""
    for places in ({"backend": url}, {"broker": url}):
        with run_worker(app, **places) as flow:
            header = [sig(app, "add", i, i) for i in range(3)]
            assert flow.run(chord(header, sig(app, "total"))).value == 6


def test_a_rejected_message_comes_back_marked(app, url) -> None:
    """`Reject(requeue=True)`: the server gives it out again, and the history says so."""
    from celery.exceptions import Reject

    @app.task(shared=False, bind=True, acks_late=True)
    def fussy(self):
        if not self.request.delivery_info["redelivered"]:
            raise Reject("not now", requeue=True)
        return "then"

    with run_worker(app, broker=url, backend=url) as flow:
        run = flow.run(fussy.s())
    assert run.value == "then"
    assert [e.redelivered for e in run[fussy]] == [False, True]
    assert len(run.history.only("redelivered")) == 1


def test_a_message_comes_back_when_all_connections_break(app, url, client) -> None:
    """The worker connects again; the history tells of the second delivery."""
    with run_worker(app, broker=url, backend=url) as flow:
        consuming = whether_it_consumes(flow)
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        client.client_kill_filter(_type="normal", skipme=True)
        # Until it is lost, redis-py would acknowledge on another connection.
        assert flow._mode._until(lambda: len(flow.history.only("redelivered")) == 1, BOUND)
        gate.opened.set()
        flow.drain()
        held = [e for e in flow.history.executions() if e.task == "shop.hold"]
    assert [e.redelivered for e in held] == [False, True]
    assert consuming == [False]  # or a wait could end because nobody consumes


def whether_it_consumes(flow):
    """Whether the worker does when a message of it comes back, each time."""
    told, mode = [], flow._mode

    def look(event):
        if event.kind == "redelivered":
            told.append(mode.worker.consuming)

    mode.recorder.observers.append(look)
    return told


def test_a_purge_is_noticed(app, url) -> None:
    """What the server threw away does not count as under way."""
    with run_worker(app, broker=url, queues=["one"]) as flow:
        app.tasks["shop.add"].delay(1, 2)
        assert [m.queue for m in flow.pending()] == ["celery"]
        assert app.control.purge() == 0  # of the queues that are consumed
        with app.connection_for_write() as connection:
            assert connection.default_channel.queue_purge("celery") == 1
        assert flow.pending() == []
        assert flow.drain() == 0


def test_faults_of_the_server_are_refused(app, url) -> None:
    """In words; those of bodies and of the result store are not."""
    with run_worker(app, broker=url, backend=url) as flow:
        with pytest.raises(UnsupportedFault, match="the server is not the toolkit's to disturb"):
            flow.faults.drop("add")
        with flow.faults.fail("add", KeyError("k")):
            assert flow.run(sig(app, "add", 1, 1)).state == "FAILURE"
        with flow.faults.backend.fail("store_result") as fault:
            flow.run(sig(app, "add", 1, 1))
            assert fault.fired == 1


def test_a_server_that_is_not_there_is_said_at_once(app) -> None:
    """And the app is left as it was."""
    from pytest_celeryflow.services import ServiceMissing

    with (
        pytest.raises(ServiceMissing, match="does not answer"),
        run_worker(app, broker="redis://127.0.0.1:1/0"),
    ):
        raise AssertionError
    with run_worker(app) as flow:
        assert flow.run(sig(app, "add", 1, 2)).value == 3


ON_REDIS = """
import pytest

@pytest.mark.celeryflow(mode="worker", broker="redis", backend="redis")
def test_it(celeryflow):
    @celeryflow.app.task(name="add", shared=False)
    def add(x):
        return x + 1

    assert celeryflow.run(add.s(1)).value == 2
    assert celeryflow.app.conf.result_backend == {url!r}
"""


#: Other plugins of this environment stay out.
ALONE = ("-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["option", "ini"])
def test_pytest_is_told_of_a_server(pytester, url, where) -> None:
    """On the command line, or in the ini file."""
    pytester.makepyfile(ON_REDIS.format(url=url))
    told = ["--celeryflow-redis-url", url] if where == "option" else []
    ini = "" if told else f"celeryflow_redis_url = {url}"
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.runpytest_inprocess(*ALONE, *told).assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_missing_server_skips_or_fails(pytester, monkeypatch) -> None:
    """It fails where servers are required; either way with the reason."""
    monkeypatch.delenv("CELERYFLOW_REQUIRE_SERVICES", raising=False)
    pytester.makepyfile(ON_REDIS.format(url=""))
    told = [*ALONE, "-rs", "--celeryflow-redis-url", "redis://127.0.0.1:1/0"]
    result = pytester.runpytest_inprocess(*told)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no Redis: url names one that does not answer: 127.0.0.1:1*"])
    monkeypatch.setenv("CELERYFLOW_REQUIRE_SERVICES", "1")
    result = pytester.runpytest_inprocess(*told)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*CELERYFLOW_REQUIRE_SERVICES=1*"])


@pytest.mark.slow
def test_contexts_leave_neither_threads_nor_descriptors(app, url) -> None:
    """Nor requests that Celery still holds."""
    leaves_nothing(app, broker=url, backend=url)


def leaves_nothing(app, **places) -> None:
    from celery.worker import state

    def count():
        gc.collect()
        return set(threading.enumerate()), test_worker_mode.descriptors(), len(state.requests)

    seen = []
    for _ in range(10):
        with run_worker(app, **places) as flow:
            assert flow.run(sig(app, "add", 1, 2)).value == 3
        seen.append(count())
    assert seen[-1] == seen[0]


@pytest.mark.slow
def test_waiting_costs_no_polling(app, url) -> None:
    """A hundred results, one after another, in far less than one poll of kombu's each."""
    with run_worker(app, broker=url, backend=url):
        app.tasks["shop.add"].delay(0, 0).get(timeout=BOUND)
        began = time.perf_counter()
        for number in range(100):
            assert app.tasks["shop.add"].delay(number, 1).get(timeout=BOUND) == number + 1
        assert time.perf_counter() - began < 5
