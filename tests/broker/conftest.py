"""A broker of ours under a kombu connection, and plain messages for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest
from kombu import Connection

from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import SEMANTICS
from pytest_celeryflow.broker.stored import Raw, Stored
from pytest_celeryflow.live.transport import live_broker


class Story:
    """A watcher that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def published(self, message: Stored) -> None:
        self.told.append(("published", body(message)))

    def delivered(self, message: Stored) -> None:
        self.told.append(("delivered", body(message)))

    def settled(self, message: Stored, how: str) -> None:
        self.told.append((how, body(message)))

    def returned(self, message: Stored) -> None:
        self.told.append(("returned", body(message)))

    def reappeared(self, message: Stored) -> None:
        self.told.append(("reappeared", body(message)))


def body(message: Stored) -> Any:
    """What `message` below was given."""
    return message.raw["body"]


_tags = count(1)


def message(body: Any, priority: int | None = None) -> Raw:
    """A message as kombu's virtual channel writes it."""
    return {
        "body": body,
        "headers": {},
        "properties": {
            "delivery_tag": f"t{next(_tags)}",
            "priority": priority,
            "delivery_info": {"exchange": "", "routing_key": "q"},
        },
    }


@pytest.fixture
def story() -> Story:
    """What the broker told its watcher."""
    return Story()


@pytest.fixture
def make_broker(story: Story) -> Callable[..., Broker]:
    """Make a broker with semantics by name."""

    def make(name: str = "memory", **options: Any) -> Broker:
        return Broker(SEMANTICS[name], story, **options)

    return make


@pytest.fixture
def connect(make_broker: Callable[..., Broker]) -> Iterator[Callable[..., Connection]]:
    """Open a kombu connection to a new broker with semantics by name, or to a given one."""
    with ExitStack() as stack:

        def connect(name: str = "memory") -> Connection:
            url = stack.enter_context(live_broker(make_broker(name)))
            return stack.enter_context(Connection(url))

        yield connect
