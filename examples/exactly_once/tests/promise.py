"""What the shop promises, as functions of a flow: whatever happens, each effect happens once.

They look at the database and the others' systems alone. How a workflow ended is Celery's
affair, and nothing that a customer notices.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_celeryflow import Flow

from exactly_once import repaired, store
from exactly_once.workflow import Steps, fulfil

#: Seconds until the carrier comes: soon, and later than the visibility timeout.
SOON, TONIGHT = 600, 3 * 3600

_LINES = (store.Line("mug", 1, 900), store.Line("tea", 2, 450), store.Line("mug", 2, 900))
_PEOPLE = ("ada@example.org", "grace@example.org")


@dataclass(frozen=True)
class Effects:
    """All that an order has done so far."""

    mugs: int
    tea: int
    payments: list[int]
    parcels: int
    mails: list[str]


def _order(flow: Flow, steps: Steps, pickup: float) -> Effects:
    """Place an order, let it be carried out, and look after it later as beat does."""
    store.place(store.Order("A-1", _LINES, _PEOPLE, flow.clock.now.timestamp() + pickup))
    flow.run(fulfil("A-1", steps))
    flow.clock.advance(pickup + 2 * 3600)
    flow.run(repaired.sweep.si())
    flow.clock.advance("1h")
    return Effects(
        store.stock("mug"),
        store.stock("tea"),
        store.payments("A-1"),
        store.parcels("A-1"),
        sorted(store.mails()),
    )


def fulfilled_once(flow: Flow, steps: Steps, pickup: float = SOON) -> None:
    """Two articles, one of them in two lines: reserved, paid, sent and told of once."""
    store.reset(mug=10, tea=5)
    done = _order(flow, steps, pickup)
    assert done == Effects(7, 3, payments=[3600], parcels=1, mails=list(_PEOPLE))


def cancelled_without_a_trace(flow: Flow, steps: Steps) -> None:
    """There is not enough tea: nothing is sent, and what was taken goes back."""
    store.reset(mug=10, tea=1)
    done = _order(flow, steps, SOON)
    assert store.order("A-1").cancelled
    assert done == Effects(10, 1, payments=[], parcels=0, mails=[])
