"""`run_worker(broker="rabbitmq")`: all that mode `worker` promises, on a server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from celery import chain
from kombu import Connection, Exchange, Queue

from pytest_celeryflow import run_worker
from pytest_celeryflow.live.ledger import Ledger
from pytest_celeryflow.live.rabbitmq import KEEPER, RabbitChannel
from tests import services, test_worker_mode
from tests.live.test_worker_redis import events, leaves_nothing, whether_it_consumes
from tests.test_worker_mode import *  # noqa: F403 - every test of it, on this server
from tests.test_worker_mode import gate, sig

# RabbitMQ orders by priority where a queue says so.
del test_priorities_order_what_waits  # noqa: F821
del test_two_hundred_contexts_leave_nothing_behind  # noqa: F821 - fewer, below

BOUND = 10.0


@pytest.fixture(autouse=True)
def url(monkeypatch):
    """A server; the tests of `tests.test_worker_mode` run on it."""
    url = services.rabbitmq_url()
    there = partial(run_worker, broker=url)
    monkeypatch.setattr(test_worker_mode, "run_worker", there)
    return url


def test_the_history_is_that_of_memory(app, url) -> None:
    """The same events, with the app's own names of queues."""
    seen = []
    for where in ("memory", url):
        with run_worker(app, broker=where) as flow:
            flow.run(chain(sig(app, "flaky", 1), sig(app, "add", 1, queue="other")))
            seen.append(events(flow))
    assert seen[0] == seen[1]


def test_priorities_need_a_queue_that_has_them(app, url) -> None:
    """``x-max-priority``: the largest first."""
    app.conf.task_queues = [Queue("celery", queue_arguments={"x-max-priority": 9})]
    config = {
        "worker_prefetch_multiplier": 1,
        # Or the server could have the acknowledgement before the messages.
        "broker_transport_options": {"confirm_publish": True},
    }
    with run_worker(app, concurrency=1, broker=url, config=config) as flow:
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        for priority in (1, 9, 5):
            sig(app, "add", priority, 0, priority=priority).delay()
        gate.opened.set()
        flow.drain()
        added = [e.args[0] for e in flow.history.executions() if e.task == "shop.add"]
    assert added == [9, 5, 1]


def test_tasks_see_the_names_that_the_app_gave(app, url) -> None:
    """The prefix on the server is nobody's business."""

    @app.task(shared=False, bind=True)
    def told(self):
        info = self.request.delivery_info
        return info["exchange"], info["routing_key"], dict(self.request.headers or {})

    topic = Exchange("orders", type="topic")
    app.conf.task_queues = [Queue("celery"), Queue("paid", topic, routing_key="order.#")]
    with run_worker(app, broker=url) as flow:
        assert flow.run(told.s()).value[:2] == ["", "celery"]
        options = {"exchange": "orders", "routing_key": "order.paid.late"}
        assert flow.run(told.s().set(**options)).value[:2] == ["orders", "order.paid.late"]
        assert "celeryflow" not in str(flow.run(told.s()).value)
        assert [e.details["queue"] for e in flow.history.only("published")] == [
            "celery",
            "paid",
            "celery",
        ]


def test_nothing_is_left(app, url, monkeypatch) -> None:
    """Neither the queues that the app names nor exchanges."""
    ledgers = []
    opened = Ledger.opened
    monkeypatch.setattr(Ledger, "opened", lambda self: ledgers.append(self) or opened(self))
    with run_worker(app, broker=url, queues=["one"]) as flow:
        assert flow.run(sig(app, "add", 1, 1, queue="one")).value == 2
        sig(app, "add", 1, 1, queue="two").delay()
    (ledger,) = ledgers
    assert {"one", "two"} <= set(ledger.queues)
    for queue in ledger.queues:
        with Connection(url) as connection, pytest.raises(connection.channel_errors, match="NOT_FOUND"):
            connection.default_channel.queue_declare(ledger.on_server(queue), passive=True)
    for exchange, kind in ledger.exchanges.items():
        with Connection(url) as connection, pytest.raises(connection.channel_errors, match="NOT_FOUND"):
            name = ledger.on_server(exchange)
            connection.default_channel.exchange_declare(name, kind, passive=True)


KILLED = """
import signal, sys
from celery import Celery
from pytest_celeryflow import run_worker
from pytest_celeryflow.live.ledger import Ledger
from pytest_celeryflow.services import sweeper

sweeper._tell = lambda *words: None  # it ends with its machine
app = Celery("killed", set_as_current=False)
@app.task(name="add", shared=False)
def add(x, y):
    return x + y
with run_worker(app, broker=sys.argv[1]) as flow:
    assert flow.run(add.s(1, 2)).value == 3
    add.apply_async((1, 2), queue="other")
    ((name, ledger),) = Ledger.open.items()
    print(*ledger.kept, sep=",", flush=True)
    print(*map(ledger.on_server, ledger.queues), sep=",", flush=True)
    signal.pause()
"""


@pytest.mark.slow
def test_what_a_lost_machine_leaves_goes_with_its_queues(url) -> None:
    """Each queue expires, and an exchange goes with the last of them."""
    killed = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, url], stdout=subprocess.PIPE, text=True
    )
    with killed, Connection(url) as connection:
        try:
            exchanges, queues = (killed.stdout.readline().strip().split(",") for _ in range(2))
        finally:
            killed.kill()
        assert len(exchanges) >= 2
        assert any(name.endswith(KEEPER) for name in queues)
        for name in queues:
            # The same arguments as it was made with, or the server refuses.
            channel = connection.channel()
            length = {"x-max-length": 0} if name.endswith(KEEPER) else {}
            arguments = {"x-expires": 3_600_000, **length}
            durable = not name.endswith(KEEPER)
            channel.queue_declare(name, durable=durable, auto_delete=False, arguments=arguments)
            channel.queue_delete(name)  # as its expiry does
        for name in exchanges:
            assert goes(connection, name), f"exchange {name} is still there"


def goes(connection: Connection, exchange: str) -> bool:
    """Whether an exchange goes: its last queue may be one of a connection that dies just now."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        channel = connection.channel()
        try:
            channel.exchange_declare(exchange, "direct", passive=True)
        except connection.channel_errors as error:
            return "NOT_FOUND" in str(error)
        channel.close()
    return False


@pytest.mark.slow
def test_contexts_leave_neither_threads_nor_descriptors(app, url) -> None:
    """Nor requests that Celery still holds."""
    leaves_nothing(app, broker=url)


def cut(connection):
    """As a network does."""
    connection.transport.sock.shutdown(2)


def offend(connection):
    """Let the server close it: a channel may be opened only once."""
    connection.channels[1].send_method((20, 10), "s", ("",))


@pytest.mark.parametrize("breaks", [cut, offend])
def test_a_message_comes_back_when_its_connection_breaks(app, url, breaks) -> None:
    """The worker connects again; the history tells of the second delivery."""
    with run_worker(app, broker=url, config={"task_acks_late": True}) as flow:
        consuming = whether_it_consumes(flow)
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        breaks(flow._mode.worker.consumer.connection.connection)
        # Or the acknowledgement could be on its way to a server that reads no more.
        assert flow._mode._until(lambda: len(flow.history.only("redelivered")) == 1, BOUND)
        gate.opened.set()
        flow.drain()
        held = [e for e in flow.history.executions() if e.task == "shop.hold"]
    assert [e.redelivered for e in held] == [False, True]
    assert len(flow.history.only("redelivered")) == 1
    assert consuming == [False]  # or a wait could end because nobody consumes


def test_a_loss_that_an_acknowledgement_finds_is_noticed(app, url) -> None:
    """A connection on which a write failed is not replaced by one that nothing consumes from."""
    with run_worker(app, broker=url) as flow:
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        wire = flow._mode.worker.consumer.connection.connection.transport

        def broken(_):
            wire.sock.shutdown(2)
            raise ConnectionResetError

        wire._write = broken
        gate.opened.set()
        flow.drain()
        assert [e.redelivered for e in flow.history.executions()] == [False, True]


def test_only_the_loop_uses_the_connection_of_a_worker(app, url, monkeypatch) -> None:
    """Neither acknowledgements nor the prefetch count after a loss come from the pool's threads."""
    seen = []

    def noted(name):
        call = getattr(RabbitChannel, name)

        def in_thread(self, *args, **kwargs):
            seen.append((name, threading.current_thread().name))
            return call(self, *args, **kwargs)

        monkeypatch.setattr(RabbitChannel, name, in_thread)

    for name in ("basic_ack", "basic_reject", "basic_qos"):
        noted(name)
    with run_worker(app, broker=url) as flow:
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        flow._mode.worker.consumer.connection.connection.transport.sock.shutdown(2)
        assert flow._mode._until(lambda: len(flow.history.only("redelivered")) == 1, BOUND)
        seen.clear()
        gate.opened.set()
        flow.drain()
    assert {name for name, _ in seen} == {"basic_ack", "basic_qos"}
    # What is left to do when the loop has ended, the thread that stops the worker does.
    assert not [thread for _, thread in seen if thread.startswith("celeryflow-task")]
