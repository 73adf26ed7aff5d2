"""The kombu channel over the broker, through a kombu connection."""

from __future__ import annotations

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import ChannelError, OperationalError

BOUND = 5.0


def bind(connection: Connection, *queues: Queue) -> list[Queue]:
    bound = [queue(connection.default_channel) for queue in queues]
    for queue in bound:
        queue.declare()
    return bound


def publish(connection: Connection, queue: Queue, *bodies: str, **options: object) -> None:
    producer = Producer(connection.default_channel)
    for body in bodies:
        key = queue.routing_key or queue.name
        producer.publish(body, exchange=queue.exchange, routing_key=key, **options)


def got(queue: Queue) -> list[str]:
    found = []
    while (message := queue.get(no_ack=True)) is not None:
        found.append(message.payload)
    return found


def test_a_message_survives_the_way(connect) -> None:
    """Body, headers and properties arrive as they were sent."""
    connection = connect()
    (queue,) = bind(connection, Queue("q", Exchange("x"), "k"))
    Producer(connection.default_channel).publish(
        {"a": [1, "ü"]}, exchange="x", routing_key="k", headers={"h": 1}, correlation_id="c"
    )
    message = queue.get()
    assert message.payload == {"a": [1, "ü"]}
    assert message.headers == {"h": 1}
    assert message.properties["correlation_id"] == "c"
    assert message.delivery_info["routing_key"] == "k"


def test_topic_and_fanout_reach_every_matching_queue(connect) -> None:
    """Bindings are kombu's own: patterns for topics, everybody for fanout."""
    connection = connect()
    topic, fan = Exchange("t", "topic"), Exchange("f", "fanout")
    some, every, one, two = bind(
        connection,
        Queue("some", topic, "order.*"),
        Queue("every", topic, "#"),
        Queue("one", fan),
        Queue("two", fan),
    )
    producer = Producer(connection.default_channel)
    for key in ("order.new", "stock.new", "stock"):
        producer.publish(key, exchange=topic, routing_key=key)
    producer.publish("news", exchange=fan)
    assert got(some) == ["order.new"]
    assert got(every) == ["order.new", "stock.new", "stock"]
    assert got(one) == got(two) == ["news"]


def test_the_copies_of_a_fanout_are_acknowledged_apart(connect) -> None:
    """One receiver's acknowledgement does not take the message from another."""
    connection = connect("redis")
    fan = Exchange("f", "fanout")
    one, two = bind(connection, Queue("one", fan), Queue("two", fan))
    Producer(connection.default_channel).publish("news", exchange=fan)
    first, second = one.get(), two.get()
    first.ack()
    second.reject(requeue=True)
    assert got(two) == ["news"]


def test_a_get_without_acknowledgement_leaves_nothing_out(connect) -> None:
    """``basic_get(no_ack=True)`` settles the message at once."""
    connection = connect()
    (queue,) = bind(connection, Queue("q"))
    publish(connection, queue, "a")
    assert queue.get(no_ack=True).payload == "a"
    assert connection.transport.broker.out() == []


def test_a_passive_declaration_of_an_unknown_queue_fails(connect) -> None:
    """As on any broker: it asks whether the queue is there."""
    connection = connect()
    queue = Queue("nowhere")(connection.default_channel)
    with pytest.raises(ChannelError):
        queue.queue_declare(passive=True)


def consume(connection: Connection, queue: Queue, *, prefetch: int = 0) -> tuple[Consumer, list]:
    received: list = []
    channel = connection.channel()
    consumer = Consumer(channel, [queue], on_message=received.append)
    consumer.qos(prefetch_count=prefetch)
    consumer.consume()
    return consumer, received


def drain(connection: Connection, times: int = 1) -> None:
    for _ in range(times):
        connection.drain_events(timeout=BOUND)


def nothing_comes(connection: Connection) -> bool:
    try:
        connection.drain_events(timeout=0)
    except TimeoutError:
        return True
    return False


def test_no_more_than_the_prefetch_limit_is_delivered(connect) -> None:
    """Two unacknowledged of three; an acknowledgement makes room for the third."""
    connection = connect()
    (queue,) = bind(connection, Queue("q"))
    publish(connection, queue, "a", "b", "c")
    _, received = consume(connection, queue, prefetch=2)
    drain(connection, 2)
    assert nothing_comes(connection)
    received[0].ack()
    drain(connection)
    assert [m.payload for m in received] == ["a", "b", "c"]


def test_consumers_of_one_queue_take_turns(connect) -> None:
    """Of two connections with room, the one that was served last has to wait."""
    connection = connect()
    (queue,) = bind(connection, Queue("q"))
    _, one = consume(connection, queue, prefetch=2)
    with Connection(connection.as_uri()) as other:
        _, two = consume(other, queue, prefetch=2)
        publish(connection, queue, *"abcd")
        offered = connection.transport.broker.consumers("q")
        drain(connection)
        assert connection.transport.broker.consumers("q") == offered[::-1]
        drain(other)
    assert [m.payload for m in (*one, *two)] == ["a", "b"]


def test_a_cancelled_consumer_receives_nothing(connect) -> None:
    """After `cancel` the queue keeps its messages."""
    connection = connect()
    (queue,) = bind(connection, Queue("q"))
    consumer, _ = consume(connection, queue)
    consumer.cancel()
    publish(connection, queue, "a")
    assert nothing_comes(connection)
    assert got(queue) == ["a"]


@pytest.mark.parametrize(
    ("semantics", "requeued", "restored"),
    [("memory", "abcd", "abcd"), ("rabbitmq", "abcd", "abcd"), ("redis", "cdab", "bacd")],
)
def test_the_place_of_what_is_given_back(connect, semantics, requeued, restored) -> None:
    """After a requeue, and after the channel closed with two unacknowledged.

    AMQP brokers put a message back where it was. On Redis a requeued message goes to the
    end; what a closed channel restores comes first, the last delivered before the others.
    """
    connection = connect(semantics)
    (queue,) = bind(connection, Queue("q"))
    publish(connection, queue, *"abcd")
    for taken in [queue.get(), queue.get()]:
        taken.requeue()
    assert "".join(got(queue)) == requeued
    publish(connection, queue, *"abcd")
    channel = connection.channel()
    on_channel = Queue("q")(channel)
    assert [on_channel.get().payload, on_channel.get().payload] == ["a", "b"]
    channel.close()
    assert "".join(got(queue)) == restored


def test_what_a_closed_channel_gives_back_is_redelivered(connect) -> None:
    """The flag that deduplication relies on is set, and only then."""
    connection = connect()
    (queue,) = bind(connection, Queue("q"))
    publish(connection, queue, "a")
    channel = connection.channel()
    assert Queue("q")(channel).get().delivery_info["redelivered"] is False
    channel.close()
    assert queue.get().delivery_info["redelivered"] is True


def test_a_rejected_message_is_gone(connect, story) -> None:
    """``reject(requeue=False)`` throws it away, and says so."""
    connection = connect()
    (queue,) = bind(connection, Queue("q"))
    publish(connection, queue, "a")
    queue.get().reject()
    assert got(queue) == []
    assert story.told[-1][0] == "rejected"


def test_an_acknowledgement_after_the_channel_closed_is_nothing(connect) -> None:
    """The message was given back; a late ack from another thread must not fail."""
    connection = connect()
    (queue,) = bind(connection, Queue("q"))
    publish(connection, queue, "a")
    channel = connection.channel()
    late = Queue("q")(channel).get()
    channel.close()
    late.channel.basic_ack(late.delivery_tag)
    assert got(queue) == ["a"]


def test_a_closed_broker_refuses_connections(connect) -> None:
    """Whoever still has the URL afterwards is told that the context has ended."""
    url = "celeryflow-live://celeryflow-live-gone//"
    connect()
    with Connection(url) as connection, pytest.raises(OperationalError, match="context has ended"):
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=BOUND)


def test_two_brokers_share_nothing(connect) -> None:
    """Queues of the same name in two contexts are two queues, bindings included."""
    one, two = connect(), connect()
    (mine,) = bind(one, Queue("q", Exchange("x"), "k"))
    (other,) = bind(two, Queue("q", Exchange("x"), "other"))
    publish(one, mine, "a")
    assert got(other) == []
    assert got(mine) == ["a"]
