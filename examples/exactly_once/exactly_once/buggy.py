"""The four steps as they were first written. Each passes every test that runs it once.

Their repairs have the same names in `exactly_once.repaired`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from celery import Task

from exactly_once import store
from exactly_once.app import app
from exactly_once.workflow import Steps

__all__ = ["STEPS", "charge", "hand_over", "notify", "reserve", "ship"]


@app.task(bind=True)
def reserve(self: Task, key: str, number: int) -> None:
    """Take a line from the stock.

    The bug: between reading the level and writing it, another reserves from the same
    article, and his change is overwritten.
    """
    line = store.order(key).lines[number]
    if store.is_reserved(key, number):
        return
    level = store.stock(line.article)
    if level < line.quantity:
        raise store.OutOfStock(line.article)
    self.update_state(state="RESERVING", meta={"article": line.article, "level": level})
    store.set_stock_and_reserve(key, number, line.article, level - line.quantity)


@app.task
def charge(key: str) -> None:
    """Have the customer pay.

    The bug: tasks are acknowledged late, so that a worker that dies after this call has it
    made again by another. The provider cannot know that it is the same payment.
    """
    store.pay(key, store.order(key).amount)


@app.task(bind=True)
def ship(self: Task, key: str) -> None:
    """Hand the parcel over when the carrier comes for it.

    The bug: a task with an ETA is unacknowledged until then. When that is longer than the
    visibility timeout, Redis hands it out again, and both copies run.
    """
    pickup = datetime.fromtimestamp(store.order(key).pickup, UTC)
    raise self.replace(hand_over.si(key).set(eta=pickup))


@app.task
def hand_over(key: str) -> None:
    """Hand the parcel over now."""
    store.hand_over(key)


@app.task(autoretry_for=(store.Conflict,), retry_backoff=1, retry_jitter=False)
def notify(key: str, person: str) -> None:
    """Write to a person, and note it in the journal.

    The bug: when the journal was changed meanwhile, all of this is tried again: the mail, too.
    """
    version = len(store.journal(key))
    store.send_mail(person, f"Order {key} is on its way.")
    notify.update_state(state="SENT", meta={"person": person})
    store.append_to_journal(key, version, f"{person} was told")


STEPS = Steps(reserve=reserve, charge=charge, ship=ship, notify=notify)
