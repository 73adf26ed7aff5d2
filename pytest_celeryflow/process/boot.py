"""What a worker of mode `process` runs first: the user's app, and all that tells and asks.

``python -m celery -A pytest_celeryflow.process.boot worker`` finds the user's app here, as
`pytest_celeryflow.services.boot` points it at the broker and the result store of the test.
Imported nowhere else: it needs the environment that `services.Worker` makes.

Signals of Celery's, in the order in which they are sent: ``celeryd_after_setup``, when the
modules with tasks are imported and no tracer is built yet; ``worker_ready``, each time it
consumes.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from celery import signals

from pytest_celeryflow.controller import consume_too
from pytest_celeryflow.errbacks import errbacks_recorded
from pytest_celeryflow.process.passing import TellingLedger, settled_when_handled
from pytest_celeryflow.process.pipe import Sender
from pytest_celeryflow.process.points import Points
from pytest_celeryflow.process.questions import Questions, read_message
from pytest_celeryflow.process.telling import Telling
from pytest_celeryflow.process.transport import REDIS
from pytest_celeryflow.services import boot

__all__ = ["app"]

assert REDIS  # the transports are known to kombu now

_told = boot.told["more"]
app = boot.app

_questions = Questions(
    Sender(_told["pipe"]),
    port=_told["port"],
    secret=_told["secret"],
    worker=_told["name"],
    interest=_told["interest"],
)
_ledger = TellingLedger(_questions, prefix=_told["prefix"])
#: What lasts as long as the process.
_lasting = ExitStack()
_lasting.enter_context(_ledger.named(_told["ledger"]))
_points = Points(app, _questions)
_telling = _points.telling = Telling(app, _questions, _points.reach)
_ledger.reached = _points.within


def _set_up(**kwargs: Any) -> None:
    _telling.install()
    # First: what is laid around a backend keeps the methods that it finds.
    _lasting.enter_context(errbacks_recorded(app, _telling))
    _lasting.enter_context(settled_when_handled(_ledger))
    _points.lay_around_backend()
    _points.lay_around_bodies()


def _ready(sender: Any = None, **kwargs: Any) -> None:
    """Take the test's orders in the worker's own loop; anew after each reconnection."""
    consumer = sender
    orders = _orders()
    consumer.hub.add_reader(orders.fileno(), _obey, consumer, orders)
    _questions.tell("ready")


def _orders() -> Any:
    if _lines.get(os.getpid()) is None:
        _lines[os.getpid()] = _questions.orders()
    return _lines[os.getpid()]


_lines: dict[int, Any] = {}


def _obey(consumer: Any, orders: Any) -> None:
    try:
        queue = read_message(orders)["consume"]
    except (EOFError, OSError):
        consumer.hub.remove_reader(orders.fileno())
        return
    consume_too(consumer, queue, connected=consumer.connection is not None)


signals.celeryd_after_setup.connect(_set_up, weak=False)
signals.worker_ready.connect(_ready, weak=False)
