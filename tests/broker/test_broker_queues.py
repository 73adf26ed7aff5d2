"""`Broker`: messages as plain data, in order, nothing lost and nothing twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_celeryflow.broker.queues import Broker

from .conftest import Story, body, message


class Client:
    """A consumer with room, or without."""

    def __init__(self, *, room: bool = True) -> None:
        self.room = room

    def can_consume(self) -> bool:
        return self.room


def bodies(broker: Broker, queue: str = "q") -> list[object]:
    """Take everything out of a queue."""
    found = []
    while (taken := broker.take(queue)) is not None:
        found.append(body(taken))
    return found


def fill(broker: Broker, *names: str) -> None:
    for name in names:
        broker.publish("q", message(name))


@pytest.mark.parametrize("semantics", ["memory", "redis", "rabbitmq"])
def test_messages_come_out_in_the_order_of_publication(make_broker, semantics: str) -> None:
    """Without priorities a queue is first in, first out, under every semantics."""
    broker = make_broker(semantics)
    fill(broker, "a", "b", "c")
    assert bodies(broker) == ["a", "b", "c"]


def test_an_unknown_queue_is_empty(make_broker) -> None:
    """Taking from, measuring and purging a queue that is not there finds nothing."""
    broker = make_broker()
    assert (broker.take("none"), broker.size("none"), broker.purge("none")) == (None, 0, 0)
    assert not broker.has("none")


def test_each_change_is_told_once(make_broker, story: Story) -> None:
    """A message's life reaches the watcher step by step."""
    broker = make_broker()
    fill(broker, "a")
    raw = broker.hand_out(broker.take("q"), "channel", no_ack=False)
    broker.settle("channel", raw["properties"]["delivery_tag"], "acked")
    assert story.told == [("published", "a"), ("delivered", "a"), ("acked", "a")]


def test_a_second_acknowledgement_is_nothing(make_broker, story: Story) -> None:
    """Settling an unknown delivery changes nothing and tells nothing."""
    broker = make_broker()
    broker.settle("channel", "t0", "acked")
    assert story.told == []


def test_without_acknowledgement_a_message_is_settled_on_delivery(make_broker, story) -> None:
    """A message for a ``no_ack`` consumer is never out."""
    broker = make_broker()
    fill(broker, "a")
    broker.hand_out(broker.take("q"), "channel", no_ack=True)
    assert broker.out() == []
    assert story.told[-1] == ("acked", "a")


def test_a_delivery_is_a_copy(make_broker) -> None:
    """What a consumer does to headers and properties does not reach the stored message."""
    broker = make_broker()
    stored = broker.publish("q", message("a"))
    raw = broker.hand_out(broker.take("q"), "channel", no_ack=False)
    for part in (raw["headers"], raw["properties"], raw["properties"]["delivery_info"]):
        part["mine"] = 1
    assert "mine" not in str(stored.raw)


def test_a_message_given_back_is_marked_as_redelivered(make_broker) -> None:
    """``delivery_info["redelivered"]`` is False at first, True after a return."""
    broker = make_broker()
    fill(broker, "a")
    flags = []
    for _ in range(2):
        raw = broker.hand_out(broker.take("q"), "channel", no_ack=False)
        flags.append(raw["properties"]["delivery_info"]["redelivered"])
        broker.put_back(broker.take_back("channel", raw["properties"]["delivery_tag"]), "first")
    assert flags == [False, True]


@pytest.mark.parametrize(
    ("place", "expected"),
    [("first", "bac"), ("last", "cab"), ("own", "abc")],
)
def test_the_place_of_a_message_given_back(make_broker, place, expected: str) -> None:
    """Before all, after all, or where it was: two come back to a queue that holds one."""
    broker = make_broker()
    fill(broker, "a", "b", "c")
    for taken in [broker.take("q"), broker.take("q")]:
        broker.put_back(taken, place)
    assert "".join(bodies(broker)) == expected


def test_a_message_given_back_keeps_its_priority(make_broker) -> None:
    """The first place is the first among its equals."""
    broker = make_broker()
    broker.publish("q", message("low", 1))
    broker.publish("q", message("high", 9))
    high, low = broker.take("q"), broker.take("q")
    broker.put_back(low, "first")
    broker.put_back(high, "last")
    assert bodies(broker) == ["high", "low"]


def test_purge_throws_away_what_waits_and_keeps_what_is_out(make_broker, story) -> None:
    """A purge settles each waiting message; an unacknowledged one can still come back."""
    broker = make_broker()
    fill(broker, "a", "b")
    raw = broker.hand_out(broker.take("q"), "channel", no_ack=False)
    assert broker.purge("q") == 1
    assert ("purged", "b") in story.told
    assert [body(m) for m in broker.out()] == ["a"]
    broker.put_back(broker.take_back("channel", raw["properties"]["delivery_tag"]), "own")
    assert bodies(broker) == ["a"]


def test_delete_forgets_the_queue(make_broker, story) -> None:
    """A deleted queue is not there, and its messages are settled."""
    broker = make_broker()
    fill(broker, "a")
    broker.delete("q")
    assert not broker.has("q")
    assert story.told[-1] == ("purged", "a")


def test_nobody_to_consume_is_told_for_tasks_alone(make_broker) -> None:
    """``unconsumed`` is called for a task message in a queue without a consumer."""
    broker, asked = make_broker(), []
    broker.unconsumed = asked.append
    task = {**message("a"), "headers": {"task": "t", "id": "1"}}
    broker.publish("control", message("a"))
    broker.publish("tasks", task)
    broker.add_consumer("tasks", Client())
    broker.publish("tasks", task)
    assert asked == ["tasks"]


def heads(broker: Broker) -> list[object]:
    return [body(head) for head, _ in broker.deliverable()]


def test_only_a_consumer_with_room_is_offered_a_message(make_broker) -> None:
    """``deliverable`` names the head of a queue and the consumers that may have it."""
    broker, able, full = make_broker(), Client(), Client(room=False)
    fill(broker, "a", "b")
    assert heads(broker) == []
    broker.add_consumer("q", full)
    assert heads(broker) == []
    broker.add_consumer("q", able)
    assert [(body(m), who) for m, who in broker.deliverable()] == [("a", [able])]
    broker.remove_consumer("q", able)
    assert heads(broker) == []


def test_only_limits_delivery_to_one_queue_and_remote_control(make_broker) -> None:
    """With ``only`` set, other queues wait; messages of remote control do not."""
    broker = make_broker()
    for queue in ("q", "other", "celery@w1.celery.pidbox"):
        broker.add_consumer(queue, Client())
        broker.publish(queue, message(queue))
    broker.only = "q"
    assert heads(broker) == ["q", "celery@w1.celery.pidbox"]


def test_paused_delivers_nothing_also_when_nested(make_broker) -> None:
    """Delivery goes on when the outermost pause ends, and those who wait are told."""
    broker, told = make_broker(), []
    broker.add_consumer("q", Client())
    fill(broker, "a")
    broker.changed = lambda: told.append(heads(broker))
    with broker.paused():
        with broker.paused():
            assert heads(broker) == []
        assert heads(broker) == []
    assert told == [[], ["a"]]


def test_rotate_lets_consumers_take_turns(make_broker) -> None:
    """The one that was served comes last."""
    broker, one, two = make_broker(), Client(), Client()
    broker.add_consumer("q", one)
    broker.add_consumer("q", two)
    broker.rotate("q", one)
    assert broker.consumers("q") == [two, one]


class Alarm:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def out_twice(broker: Broker, channels: tuple[str, str] = ("one", "two")) -> list[Alarm]:
    """Deliver a message, let it reappear, and deliver it again; the alarms of the two."""
    alarms: list[Alarm] = []

    def set_alarm(stored) -> None:
        stored.alarm = Alarm()
        alarms.append(stored.alarm)

    broker.handed_out = set_alarm
    stored = broker.publish("q", message("a"))
    broker.hand_out(broker.take("q"), channels[0], no_ack=False)
    broker.reappear(stored)
    broker.hand_out(broker.take("q"), channels[1], no_ack=False)
    return alarms


def tag_of(broker: Broker) -> str:
    return broker.out()[0].tag


def test_a_message_whose_visibility_timed_out_is_there_twice(make_broker, story) -> None:
    """The first delivery stays out, unalarmed; the second is a redelivery, first in line."""
    broker = make_broker("redis")
    first = broker.publish("q", message("a"))
    fill(broker, "b")
    broker.hand_out(broker.take("q"), "one", no_ack=False)
    broker.reappear(first)
    assert [body(m) for m in broker.out()] == ["a"]
    assert [(body(m), m.redelivered) for m in broker.waiting()] == [("a", True), ("b", False)]
    assert story.told[-1] == ("reappeared", "a")


def test_an_acknowledgement_settles_its_twin_too(make_broker, story) -> None:
    """On Redis both deliveries have one tag: after one ack nothing is given back any more."""
    broker = make_broker("redis")
    alarms, tag = out_twice(broker), tag_of(broker)
    broker.settle("one", tag, "acked")
    assert alarms[1].cancelled
    assert broker.take_back("two", tag) is None
    assert broker.out() == []
    assert story.told.count(("acked", "a")) == 2


def test_each_of_two_deliveries_to_one_channel_is_counted(make_broker, story) -> None:
    """The same tag twice on one channel: two acknowledgements settle two messages."""
    broker = make_broker("redis")
    out_twice(broker, ("one", "one"))
    tag = tag_of(broker)
    broker.settle("one", tag, "acked")
    assert len(broker.out()) == 1
    broker.settle("one", tag, "acked")
    assert broker.out() == []
    assert story.told.count(("acked", "a")) == 2


def test_a_twin_that_waits_is_delivered_after_the_first_ack(make_broker) -> None:
    """Redis forgets only what is unacknowledged; the copy in the queue stays."""
    broker = make_broker("redis")
    stored = broker.publish("q", message("a"))
    broker.hand_out(broker.take("q"), "one", no_ack=False)
    broker.reappear(stored)
    broker.settle("one", stored.tag, "acked")
    twin = broker.take("q")
    broker.hand_out(twin, "two", no_ack=False)
    assert broker.take_back("two", twin.tag) is twin


def test_settling_cancels_the_alarm(make_broker: Callable[..., Broker]) -> None:
    """An acknowledged message will not reappear."""
    broker = make_broker("redis")
    stored = broker.publish("q", message("a"))
    stored.alarm = alarm = Alarm()
    broker.hand_out(broker.take("q"), "one", no_ack=False)
    broker.settle("one", stored.tag, "acked")
    assert alarm.cancelled
