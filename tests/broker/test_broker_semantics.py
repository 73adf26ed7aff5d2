"""`semantics`: what priority means to each broker, and which URL names which."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport import virtual

from pytest_celeryflow.broker.semantics import MEMORY, RABBITMQ, REDIS, semantics_of

STEPS = (0, 3, 6, 9)


def order(semantics, priorities, arguments=None) -> list[int]:
    """Priorities in the order in which their messages are delivered."""
    return sorted(priorities, key=lambda p: semantics.level(p, arguments or {}, STEPS))


def test_redis_delivers_the_smaller_number_first() -> None:
    """Priority 0 is the most urgent on Redis, contrary to AMQP."""
    assert order(REDIS, [9, 0, 6, 3]) == [0, 3, 6, 9]


def test_redis_knows_only_the_steps() -> None:
    """Priorities between two steps share a list."""
    assert [REDIS.level(p, {}, STEPS) for p in range(10)] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


@given(
    st.one_of(st.none(), st.integers(-5, 15)),
    st.lists(st.integers(0, 9), min_size=1, unique=True).map(sorted).map(tuple),
)
def test_redis_levels_are_those_of_kombu(priority, steps) -> None:
    """Whatever the priority and the steps, kombu's transport picks the same list."""
    pytest.importorskip("redis")
    redis = pytest.importorskip("kombu.transport.redis")
    channel = SimpleNamespace(priority_steps=steps, min_priority=0, max_priority=9)
    channel.default_priority = 0
    raw = {"properties": {"priority": priority}}
    value = virtual.Channel._get_message_priority(channel, raw)
    assert steps[REDIS.level(priority, {}, steps)] == redis.Channel.priority(channel, value)


def test_rabbitmq_ignores_priority_unless_the_queue_has_a_maximum() -> None:
    """Without ``x-max-priority`` all messages are equal."""
    assert order(RABBITMQ, [1, 9, 5]) == [1, 9, 5]


def test_rabbitmq_delivers_the_larger_number_first_up_to_the_maximum() -> None:
    """With ``x-max-priority`` larger goes first; above the maximum is the maximum."""
    assert order(RABBITMQ, [None, 1, 9, 5, 7], {"x-max-priority": 5}) == [9, 5, 7, 1, None]


def test_memory_delivers_the_larger_number_first() -> None:
    """Priorities work as on AMQP, without an argument of the queue, from 0 to 9."""
    assert order(MEMORY, [None, 3, 12, 9, -1]) == [12, 9, 3, None, -1]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://h:1/0", "redis"),
        ("rediss://h", "redis"),
        ("sentinel://a:1;sentinel://b:2", "redis"),
        ("redis+socket:///tmp/x", "redis"),
        ("amqp://guest@h//", "rabbitmq"),
        ("pyamqp://", "rabbitmq"),
        ("AMQPS://h", "rabbitmq"),
        ("memory://", "memory"),
        ("sqs://", "memory"),
        ("", "memory"),
        (None, "memory"),
    ],
)
def test_the_semantics_that_a_url_names(url: str | None, name: str) -> None:
    """The scheme decides; one that is not modelled is ``memory``."""
    assert semantics_of(url).name == name
