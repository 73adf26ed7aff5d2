"""In the worker: tells the test what goes over connections to the broker.

A `Ledger` of the worker's side. It has no books of its own: the test's ledger keeps them, for
all workers and for what the test itself publishes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from celery.worker.consumer import Consumer

from pytest_celeryflow.broker.stored import Raw, Stored
from pytest_celeryflow.broker.watching import Silent
from pytest_celeryflow.live.ledger import MARK, Ledger
from pytest_celeryflow.process.questions import Interest, Questions

__all__ = ["TellingLedger"]


class TellingLedger(Ledger):
    """Tells, and asks whether a message shall be lost, doubled or delivered again.

    Args:
        questions: The way to the test.
        prefix: As for `Ledger`.
    """

    def __init__(self, questions: Questions, *, prefix: str) -> None:
        super().__init__(Silent(), prefix=prefix)
        self._questions = questions
        self._marks = count(1)
        self._names_of: dict[int, str] = {}
        self._named = count(1)
        self._withheld: list[Callable[[], None]] | None = None
        #: Called before anything is published.
        self.reached: Callable[[], None] = _nothing

    def _tell(self, what: str, *args: Any, **more: Any) -> None:
        self._questions.tell("passing", what=what, args=args, more=more)

    def _name_of(self, channel: Hashable) -> str:
        """A channel's name, which no other channel of any process has."""
        known = self._names_of.get(id(channel))
        if known is None:
            known = f"{os.getpid()}-{next(self._named)}-{time.monotonic_ns()}"
            self._names_of[id(channel)] = known
        return known

    def publishing(
        self, exchange: str, key: str, raw: Raw, mark: str | None = None
    ) -> tuple[str, list[Stored]]:
        """A message is about to leave."""
        headers = raw.get("headers") or {}
        mark = f"{os.getpid()}-{time.monotonic_ns()}-{next(self._marks)}"
        if "task" not in headers and not isinstance(raw.get("body"), str | bytes):
            return mark, []
        self.reached()
        self._tell("publishing", exchange, key, raw, mark)
        return mark, [Stored(raw, key, 0)]

    def copies(self, mark: str) -> list[str]:
        """The marks under which a message leaves."""
        if not self._questions.wanted(Interest.MESSAGE):
            return [mark]
        return list(self._questions.ask("copies", mark=mark).get("marks", [mark]))

    def loses_ack(self, channel: Hashable, tag: Any) -> bool:
        """Whether an acknowledgement is lost."""
        if not self._questions.wanted(Interest.MESSAGE):
            return False
        told = self._questions.ask("ack", channel=self._name_of(channel), tag=tag)
        return bool(told.get("lost"))

    def not_sent(self, mark: str) -> None:
        """It did not leave."""
        self._tell("not_sent", mark)

    def delivered(
        self, headers: Mapping[str, Any], queue: str, channel: Hashable, tag: Any, *, no_ack: bool
    ) -> None:
        """A message came in."""
        if MARK in headers:
            marked = {MARK: headers[MARK]}
            self._tell("delivered", marked, queue, self._name_of(channel), tag, no_ack=no_ack)

    @contextmanager
    def settles(self, channel: Hashable, tag: Any, how: str) -> Iterator[None]:
        """A delivery is settled meanwhile: told before too, for the process may be killed then."""
        self._tell("settling", self._name_of(channel), tag, how)
        try:
            yield
        except BaseException:
            self._tell("not_settled", self._name_of(channel))
            raise
        self.settled(channel, tag, how)

    def settled(self, channel: Hashable, tag: Any, how: str) -> None:
        """A delivery was acknowledged, or rejected for good."""
        told = partial(self._tell, "settled", self._name_of(channel), tag, how)
        if self._withheld is None:
            told()
        else:
            self._withheld.append(told)

    @contextmanager
    def withholding(self) -> Iterator[None]:
        """Tell what is settled at the end: a worker settles a message before it is done with it.

        An unknown task is rejected before its failure is stored, one that has expired is
        acknowledged before that is told of.
        """
        withheld: list[Callable[[], None]] = []
        self._withheld = withheld
        try:
            yield
        finally:
            self._withheld = None
            for told in withheld:
                told()

    def returned(self, channel: Hashable, tag: Any) -> None:
        """A delivery is about to be given back."""
        self._tell("returned", self._name_of(channel), tag)

    def gone(self, channel: Hashable) -> None:
        """A channel is closed."""
        self._tell("gone", self._name_of(channel))
        self._names_of.pop(id(channel), None)

    def consumes(self, queue: str, channel: Hashable) -> None:
        """A channel consumes a queue."""
        self._tell("consumes", queue, self._name_of(channel))

    def cancelled(self, queue: str, channel: Hashable) -> None:
        """Undo `consumes`."""
        self._tell("cancelled", queue, self._name_of(channel))

    def queue_declared(self, queue: str) -> None:
        """A queue is there."""
        self._tell("queue_declared", queue)

    def exchange_declared(self, exchange: str, kind: str) -> None:
        """An exchange is there."""
        self._tell("exchange_declared", exchange, kind)

    def bound(self, queue: str, exchange: str, key: str) -> None:
        """An exchange gives messages to a queue."""
        self._tell("bound", queue, exchange, key)

    def unbound(self, queue: str, exchange: str, key: str) -> None:
        """It does not any more."""
        self._tell("unbound", queue, exchange, key)

    def purged(self, queue: str) -> None:
        """What waited in a queue was thrown away."""
        self._tell("purged", queue)

    @contextmanager
    def named(self, name: str) -> Any:
        """Let channels find it by the test's name for its ledger."""
        self.open[name] = self
        try:
            yield
        finally:
            del self.open[name]


@contextmanager
def settled_when_handled(ledger: TellingLedger) -> Iterator[None]:
    """Let the main process be done with a message before it tells that it was settled.

    Relies on `celery/worker/consumer/consumer.py:Consumer.create_task_handler`.
    """
    create = Consumer.create_task_handler

    def create_task_handler(self: Any, *args: Any, **kwargs: Any) -> Any:
        handle = create(self, *args, **kwargs)

        def on_task_received(message: Any) -> Any:
            with ledger.withholding():
                return handle(message)

        return on_task_received

    Consumer.create_task_handler = create_task_handler
    try:
        yield
    finally:
        Consumer.create_task_handler = create


def _nothing() -> None:
    """The default of `TellingLedger.reached`."""
