"""An order as a canvas.

```
reserve ─┐                      ┌─ notify (customer)
reserve ─┼─ charge ─ ship ──────┤                        whatever fails: order_failed ─ cancel
reserve ─┘                      └─ notify (recipient)
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery import Task, chain, chord, group
from celery.canvas import Signature

from exactly_once import store
from exactly_once.app import app

__all__ = ["Steps", "cancel", "fulfil", "order_failed"]


@dataclass(frozen=True)
class Steps:
    """The tasks that an order is made of; each is given the order's key first.

    Attributes:
        reserve: Takes one line, named by its number, from the stock.
        charge: Has the customer pay.
        ship: Gives the parcel to the carrier, when he comes for it.
        notify: Writes to one person.
    """

    reserve: Task
    charge: Task
    ship: Task
    notify: Task


def fulfil(key: str, steps: Steps) -> Signature:
    """The canvas of an order that was placed."""
    order = store.order(key)
    return chain(
        chord([steps.reserve.si(key, n) for n in range(len(order.lines))], steps.charge.si(key)),
        steps.ship.si(key),
        group(steps.notify.si(key, person) for person in order.people),
    ).on_error(order_failed.s(key))


@app.task
def order_failed(request: Any, exc: BaseException, traceback: Any, key: str) -> None:
    """Hand a failure on: the errback, which Celery calls in place, where the task failed."""
    cancel.delay(key)


@app.task
def cancel(key: str) -> None:
    """Compensate for what was done: stock and money go back."""
    store.cancel(key)
