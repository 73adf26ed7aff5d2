"""Random interleavings: nothing is lost, nothing is there twice, order holds."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pytest_celeryflow.broker.queues import Broker
from pytest_celeryflow.broker.semantics import SEMANTICS, Semantics
from pytest_celeryflow.broker.watching import Silent

from .conftest import body, message

pytestmark = pytest.mark.slow


class Books(Silent):
    """Counts what came in and what went for good."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}

    def published(self, message) -> None:
        self.open[body(message)] = 1

    def reappeared(self, message) -> None:
        self.open[body(message)] += 1

    def settled(self, message, how: str) -> None:
        self.open[body(message)] -= 1


class BrokerMachine(RuleBasedStateMachine):
    """Publishing, delivering, settling, returning and reappearing in any order."""

    semantics: Semantics
    deliveries = Bundle("deliveries")

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.broker = Broker(self.semantics, self.books)
        self.broker.declare("one")
        self.broker.declare("two", {"x-max-priority": 9})
        self.names = iter(range(10_000))
        self.delivered: set[str] = set()

    queues = st.sampled_from(["one", "two"])
    channels = st.sampled_from(["a", "b"])

    @rule(queue=queues, priority=st.one_of(st.none(), st.integers(0, 9)))
    def publish(self, queue, priority) -> None:
        """A message comes in, and nothing of equal rank passes it."""
        stored = self.broker.publish(queue, message(f"m{next(self.names)}", priority))
        rank = [m for m in self.broker.waiting() if m.queue == queue and m.level <= stored.level]
        assert rank[-1] is stored

    @rule(target=deliveries, queue=queues, channel=channels, no_ack=st.booleans())
    def deliver(self, queue, channel, no_ack):
        """The head of the queue goes out, redelivered or not as it must be."""
        head = next((m for m in self.broker.waiting() if m.queue == queue), None)
        taken = self.broker.take(queue)
        assert taken is head
        if taken is None:
            return None
        raw = self.broker.hand_out(taken, channel, no_ack=no_ack)
        flag = raw["properties"]["delivery_info"]["redelivered"]
        assert flag == (body(taken) in self.delivered)
        self.delivered.add(body(taken))
        return None if no_ack else (channel, raw["properties"]["delivery_tag"])

    @rule(delivery=consumes(deliveries), how=st.sampled_from(["acked", "rejected"]))
    def settle(self, delivery, how) -> None:
        """A delivery is over, for good."""
        if delivery is not None:
            self.broker.settle(*delivery, how)

    @rule(delivery=consumes(deliveries), place=st.sampled_from(["first", "last", "own"]))
    def give_back(self, delivery, place) -> None:
        """A delivery comes back to its queue."""
        if delivery is None:
            return
        back = self.broker.take_back(*delivery)
        if back is not None:
            self.broker.put_back(back, place)

    @rule(data=st.data())
    def reappear(self, data) -> None:
        """A message that is out becomes visible again."""
        out = self.broker.out()
        if self.semantics.visibility and out:
            self.broker.reappear(data.draw(st.sampled_from(out)))

    @rule(queue=queues)
    def purge(self, queue) -> None:
        """A queue is emptied."""
        size = self.broker.size(queue)
        assert self.broker.purge(queue) == size
        assert self.broker.size(queue) == 0

    @invariant()
    def everything_is_somewhere(self) -> None:
        """What is neither settled nor purged is in a queue or out, exactly so often."""
        there: dict[str, int] = {}
        for stored in [*self.broker.waiting(), *self.broker.out()]:
            there[body(stored)] = there.get(body(stored), 0) + 1
        assert there == {name: times for name, times in self.books.open.items() if times}

    @invariant()
    def queues_are_in_order(self) -> None:
        """Ranks never decrease from the head of a queue to its end."""
        for queue in ("one", "two"):
            levels = [m.level for m in self.broker.waiting() if m.queue == queue]
            assert levels == sorted(levels)


def _test_case(name: str) -> type:
    machine = type(f"{name.title()}Machine", (BrokerMachine,), {"semantics": SEMANTICS[name]})
    case = machine.TestCase
    case.settings = settings(max_examples=30, stateful_step_count=30)
    return case


TestMemory = _test_case("memory")
TestRedis = _test_case("redis")
TestRabbitMQ = _test_case("rabbitmq")
