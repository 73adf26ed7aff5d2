"""The four steps, repaired: whatever is repeated has its effect once.

What went wrong is told in `exactly_once.buggy`, at the task of the same name.
"""

from __future__ import annotations

import time

from celery import Task

from exactly_once import store
from exactly_once.app import VISIBILITY_TIMEOUT, app
from exactly_once.workflow import Steps, fulfil

__all__ = ["STEPS", "charge", "notify", "reserve", "ship", "sweep"]

#: Seconds that a task waits at most, well below the visibility timeout.
_HOP = VISIBILITY_TIMEOUT / 2

#: Seconds after which an order that should have been picked up is looked after.
_PATIENCE = 3600


@app.task
def reserve(key: str, number: int) -> None:
    """Take a line from the stock: the database looks and writes in one transaction."""
    store.reserve(key, number)


@app.task
def charge(key: str) -> None:
    """Have the customer pay, once for this order: its key is the idempotency key.

    The task's id would do for a message that comes twice, not for an order that is
    submitted twice.
    """
    store.pay(key, store.order(key).amount, idempotency=key)


@app.task(bind=True, max_retries=None)
def ship(self: Task, key: str) -> None:
    """Hand the parcel over when the carrier comes for it, waiting in hops until then.

    Each hop is a message of its own, and acknowledged before Redis gets impatient.
    """
    wait = store.order(key).pickup - time.time()
    if wait > 0:
        raise self.retry(countdown=min(wait, _HOP))
    store.hand_over(key, idempotency=key)


@app.task(autoretry_for=(store.Conflict,), retry_backoff=1, retry_jitter=False)
def notify(key: str, person: str) -> None:
    """Write to a person and note it in the journal, each once for this order.

    What the journal says already was done. Between the mail and the entry the worker may die:
    that is what the mail's idempotency key is for.
    """
    entry = f"{person} was told"
    journal = store.journal(key)
    if entry in journal:
        return
    store.send_mail(person, f"Order {key} is on its way.", idempotency=f"{key} {person}")
    notify.update_state(state="SENT", meta={"person": person})
    store.append_to_journal(key, len(journal), entry)


STEPS = Steps(reserve=reserve, charge=charge, ship=ship, notify=notify)


@app.task
def sweep() -> None:
    """Begin orders anew that were left lying; beat calls it every hour.

    This repair is for no step's bug. Celery stores the result of a header task first and counts
    it for its chord afterwards. A process that dies between the two leaves a chord that waits
    for ever: Celery 5.7 does not run the task again, because its result says that it succeeded.
    To begin anew is safe, since each step knows what was done.
    """
    for key in store.overdue(time.time() - _PATIENCE):
        fulfil(key, STEPS).delay()
