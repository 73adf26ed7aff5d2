"""`LiveTransport`: a consumer sleeps until there is something for it, and is never late."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection, Consumer, Producer, Queue

from pytest_celeryflow import run_worker
from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import MEMORY
from pytest_celeryflow.broker.watching import Silent
from pytest_celeryflow.live.transport import live_broker

BOUND = 10.0


@pytest.fixture
def broker() -> Broker:
    """A broker for threads."""
    return Broker(MEMORY, Silent())


@pytest.fixture
def url(broker) -> Iterator[str]:
    """Where it can be reached."""
    with live_broker(broker) as url:
        yield url


def consume(connection: Connection, received: list) -> None:
    queue = Queue("q")(connection.default_channel)
    queue.declare()
    Consumer(connection.default_channel, [queue], on_message=received.append).consume()


def publish(url: str, body: object) -> None:
    with Connection(url) as connection:
        Producer(connection.default_channel).publish(body, routing_key="q")


def test_a_waiting_consumer_is_woken_by_a_publication(url) -> None:
    """From another thread; it waits without a timeout."""
    received: list = []
    with Connection(url) as connection:
        consume(connection, received)
        publisher = threading.Timer(0.01, publish, (url, "a"))
        publisher.start()
        connection.drain_events()
        publisher.join(BOUND)
    assert [m.payload for m in received] == ["a"]


def test_a_wait_ends_after_its_timeout(url) -> None:
    """With the error that kombu's callers expect."""
    with Connection(url) as connection:
        consume(connection, [])
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.001)


def test_a_wake_is_not_lost_when_nobody_waits_yet(url) -> None:
    """The next wait ends at once, and only that one."""
    with Connection(url) as connection:
        consume(connection, [])
        connection.transport.wake()
        with pytest.raises(TimeoutError, match="woken"):
            connection.drain_events(timeout=BOUND)
        with pytest.raises(TimeoutError, match="timed out"):
            connection.drain_events(timeout=0)


def test_a_message_comes_before_a_wake(url) -> None:
    """Being woken does not cost a delivery."""
    received: list = []
    with Connection(url) as connection:
        consume(connection, received)
        publish(url, "a")
        connection.transport.wake()
        connection.drain_events(timeout=BOUND)
    assert len(received) == 1


def test_a_message_is_in_its_queue_or_out_at_every_moment(broker, url) -> None:
    """Whoever holds the broker's lock never finds it in neither place."""
    seen: list[int] = []
    others: list[threading.Thread] = []
    with Connection(url) as connection:
        received: list = []
        consume(connection, received)
        publish(url, "a")
        take = broker.take

        def taken(queue: str):
            found = take(queue)
            other = threading.Thread(target=look)
            other.start()
            others.append(other)
            other.join(0.01)  # it has to wait for the lock
            seen.append(len(looked))
            return found

        looked: list[int] = []

        def look() -> None:
            with broker.lock:
                looked.append(len(broker.waiting()) + len(broker.out()))

        broker.take = taken  # type: ignore[method-assign]
        connection.drain_events(timeout=BOUND)
        others[0].join(BOUND)
    assert seen == [0]
    assert looked == [1]


def test_many_publishers_and_consumers_lose_and_double_nothing(url) -> None:
    """Every message is received once, whichever consumer it goes to."""
    per_publisher, publishers = 50, 4
    everything = threading.Event()
    received: list[str] = []

    def serve() -> None:
        with Connection(url) as connection:
            queue = Queue("q")(connection.default_channel)
            queue.declare()

            def on_message(message) -> None:
                received.append(message.payload)
                message.ack()
                if len(received) >= per_publisher * publishers:
                    everything.set()

            consumer = Consumer(connection.default_channel, [queue], on_message=on_message)
            consumer.qos(prefetch_count=1)
            consumer.consume()
            ready.wait(BOUND)
            while not everything.is_set():
                try:
                    connection.drain_events(timeout=0.1)
                except TimeoutError:
                    continue

    ready = threading.Barrier(3 + publishers)

    def send(number: int) -> None:
        ready.wait(BOUND)
        for at in range(per_publisher):
            publish(url, f"{number}-{at}")

    threads = [threading.Thread(target=serve) for _ in range(3)]
    threads += [threading.Thread(target=send, args=(n,)) for n in range(publishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert sorted(received) == sorted(
        f"{n}-{at}" for n in range(publishers) for at in range(per_publisher)
    )


def test_an_idle_worker_does_not_wake(monkeypatch) -> None:
    """Its threads wait for their condition without a timeout: whatever wakes them is news."""
    waits: list[tuple[str, float | None]] = []
    wait = threading.Condition.wait

    def noted(condition: threading.Condition, timeout: float | None = None) -> bool:
        waits.append((threading.current_thread().name, timeout))
        return wait(condition, timeout)

    monkeypatch.setattr(threading.Condition, "wait", noted)
    app = Celery("idle", set_as_current=False)

    @app.task(shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    with run_worker(app):
        for _ in range(3):
            assert add.delay(1, 2).get(timeout=BOUND) == 3
    mine = [timeout for name, timeout in waits if name == "celeryflow-w1"]
    assert mine
    assert set(mine) == {None}
