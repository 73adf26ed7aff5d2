"""Our channel beside kombu's own transports: the same operations, the same deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Connection, Producer, Queue

from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import SEMANTICS
from pytest_celeryflow.broker.watching import Silent
from pytest_celeryflow.live.transport import live_broker
from tests.services import rabbitmq_url, redis_client, redis_url

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 9)),
        st.tuples(st.just("get")),
        st.tuples(st.sampled_from(["ack", "reject", "requeue"]), st.integers(0, 3)),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


class Client:
    """Carries out operations on one queue and writes down what it received."""

    def __init__(self, connection: Connection, arguments: dict[str, Any] | None) -> None:
        self.connection = connection
        self.name = f"celeryflow-test-{uuid4().hex}"
        self.arguments = arguments
        self.published = self.inside = 0
        self.held: list[Any] = []
        self.seen: list[tuple[int, bool]] = []
        self.open()
        self.queue.declare()

    def open(self) -> None:
        self.channel = self.connection.channel()
        self.queue = Queue(
            self.name, queue_arguments=self.arguments, durable=False, channel=self.channel
        )

    def publish(self, priority: int) -> None:
        self.published += 1
        self.inside += 1
        Producer(self.channel).publish(self.published, routing_key=self.name, priority=priority)

    def get(self) -> None:
        """Take one, if there should be one."""
        if not self.inside:
            assert self.queue.get() is None
            return
        message = self.queue.get()
        assert message is not None
        self.inside -= 1
        self.held.append(message)
        info = message.delivery_info
        self.seen.append((message.payload, bool(info.get("redelivered"))))

    def _settle(self, how: str, index: int) -> None:
        if self.held:
            message = self.held.pop(index % len(self.held))
            getattr(message, how)()
            self.inside += how == "requeue"

    def ack(self, index: int) -> None:
        self._settle("ack", index)

    def reject(self, index: int) -> None:
        self._settle("reject", index)

    def requeue(self, index: int) -> None:
        self._settle("requeue", index)

    def reopen(self) -> None:
        self.channel.close()
        self.inside += len(self.held)
        self.held.clear()
        self.open()
        if self.connection.transport.driver_name == "py-amqp":
            self._all_back()

    def _all_back(self) -> None:
        """RabbitMQ gives back what a closed channel held in its own time: ask until it has."""
        for _ in range(10_000):
            if self.queue.queue_declare(passive=True).message_count == self.inside:
                return
        raise AssertionError(f"{self.inside} messages did not come back")

    def finish(self) -> list[tuple[int, bool]]:
        while self.inside:
            self.get()
        for message in self.held:
            message.ack()
        self.queue.delete()
        self.channel.close()
        return self.seen


@contextmanager
def ours(name: str) -> Iterator[Connection]:
    with live_broker(Broker(SEMANTICS[name], Silent())) as url, Connection(url) as connection:
        yield connection


def deliveries(connection: Connection, operations, arguments=None) -> list[tuple[int, bool]]:
    """What the operations lead to: number and redelivered flag of each delivery."""
    client = Client(connection, arguments)
    for name, *args in operations:
        getattr(client, name)(*args)
    return client.finish()


@pytest.fixture(scope="module")
def real_redis() -> Iterator[Connection]:
    """A connection to a real Redis, with keys of its own."""
    pytest.importorskip("redis")
    prefix = f"celeryflow-test-{uuid4().hex}:"
    with Connection(redis_url(), transport_options={"global_keyprefix": prefix}) as connection:
        yield connection
    with redis_client() as client:
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


@pytest.fixture(scope="module")
def real_rabbitmq() -> Iterator[Connection]:
    """A connection to a real RabbitMQ."""
    with Connection(rabbitmq_url(), transport_options={"confirm_publish": True}) as connection:
        yield connection


compared = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@compared
@given(operations=OPERATIONS)
def test_redis_semantics_are_those_of_a_real_redis(real_redis, operations) -> None:
    """Order, priorities, places of what is given back and redelivered flags agree."""
    with ours("redis") as connection:
        assert deliveries(connection, operations) == deliveries(real_redis, operations)


@pytest.mark.slow
@compared
@given(operations=OPERATIONS, ceiling=st.sampled_from([None, 3, 9]))
def test_rabbitmq_semantics_are_those_of_a_real_rabbitmq(
    real_rabbitmq, operations, ceiling
) -> None:
    """Likewise, with and without a maximum of priority."""
    arguments = None if ceiling is None else {"x-max-priority": ceiling}
    with ours("rabbitmq") as connection:
        mine = deliveries(connection, operations, arguments)
    assert mine == deliveries(real_rabbitmq, operations, arguments)


@given(operations=st.lists(st.sampled_from([("publish", 0), ("get",), ("ack", 0)])))
@settings(max_examples=30)
def test_without_returns_the_order_is_that_of_kombus_memory_transport(operations) -> None:
    """Both are first in, first out.

    Expected differences: kombu's memory transport has no priorities, gives a rejected
    message back to the end of its queue without marking it, and restores nothing.
    """
    with ours("memory") as connection, Connection("memory://") as theirs:
        assert deliveries(connection, operations) == deliveries(theirs, operations)
