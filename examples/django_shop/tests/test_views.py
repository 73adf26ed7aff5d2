"""The API: a request, its transaction, and what is published when that is committed."""

from __future__ import annotations

import json

import pytest
from a_bank import Bank
from django.test import Client
from pytest_celeryflow import CeleryflowAssertionError, Flow

from shop.models import Order, Product
from shop.tasks import fulfil, ship


def ask(client: Client, **items: int) -> dict:
    """Place an order over HTTP."""
    body = {"email": "ada@example.org", "items": items}
    return client.post("/orders/", json.dumps(body), content_type="application/json").json()


def test_an_order_is_fulfilled_when_its_transaction_is_committed(
    celeryflow: Flow,
    client: Client,
    bank: Bank,
    tea: Product,
    django_capture_on_commit_callbacks,
) -> None:
    """The fixture `db` never commits; pytest-django's fixture says when that would be."""
    with django_capture_on_commit_callbacks(execute=True):
        number = ask(client, tea=1)["order"]

    celeryflow.assert_enqueued(fulfil, args=(number,), times=1)
    celeryflow.drain()
    celeryflow.assert_ran(ship, times=1)
    assert client.get(f"/orders/{number}/").json()["state"] == "shipped"


def test_nothing_is_published_before_that(celeryflow: Flow, client: Client, tea: Product) -> None:
    """And who expects it is told what it waits for."""
    ask(client, tea=1)

    celeryflow.assert_not_enqueued(fulfil)
    with pytest.raises(CeleryflowAssertionError, match="waits for a commit"):
        celeryflow.assert_enqueued(fulfil)


def test_an_order_that_is_refused_publishes_nothing(
    celeryflow: Flow,
    client: Client,
    tea: Product,
    django_capture_on_commit_callbacks,
) -> None:
    """Its transaction is rolled back, and the publication with it."""
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        answer = ask(client, tea=1, unicorn=1)

    assert answer == {"error": "there is no 'unicorn'"}
    assert callbacks == []
    celeryflow.assert_not_enqueued(fulfil)
    assert not Order.objects.exists()
