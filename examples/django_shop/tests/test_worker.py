"""On a real worker, whose threads have connections of their own: what is written is committed.

`transaction=True` (or the fixture `transactional_db`) commits, and empties the tables afterwards.
It takes longer than `db`; a few tests of this kind are enough.
"""

from __future__ import annotations

import pytest
from a_bank import Bank
from django.test import Client
from pytest_celeryflow import Flow
from test_views import ask

from shop.checkout import place
from shop.models import Product
from shop.tasks import cancel

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_order_is_fulfilled(
    celeryflow_worker: Flow, client: Client, bank: Bank, tea: Product, mailoutbox: list
) -> None:
    """The view commits, on_commit publishes, the worker works: nothing is called by hand."""
    number = ask(client, tea=2)["order"]

    celeryflow_worker.drain()

    assert client.get(f"/orders/{number}/").json()["state"] == "shipped"
    assert bank.charges == {f"order-{number}": "9.00"}
    assert len(mailoutbox) == 1


def test_the_last_cup_is_sold_once(celeryflow_worker: Flow, bank: Bank, cup: Product) -> None:
    """Two orders for it, fulfilled at the same time by threads of one worker."""
    orders = [place("ada@example.org", {"cup": 1}), place("bob@example.org", {"cup": 1})]

    celeryflow_worker.drain()

    for order in orders:
        order.refresh_from_db()
    assert sorted(order.state for order in orders) == ["cancelled", "shipped"]
    celeryflow_worker.assert_ran(cancel, times=1)
    cup.refresh_from_db()
    assert cup.stock == 0
