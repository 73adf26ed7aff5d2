"""Django's own `TestCase`: a fixture of the class hands the flow over."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from a_bank import Bank
from django.test import TestCase
from pytest_celeryflow import Flow, simulate

from django_shop.celery import app
from shop.models import Order, Product


def _order(case: TestCase) -> Order:
    body = json.dumps({"email": "ada@example.org", "items": {"tea": 1}})
    with case.captureOnCommitCallbacks(execute=True):
        answer = case.client.post("/orders/", body, content_type="application/json")
    return Order.objects.get(pk=answer.json()["order"])


class OrderTest(TestCase):
    """Under pytest."""

    @classmethod
    def setUpTestData(cls) -> None:
        Product.objects.create(sku="tea", price=Decimal("4.50"), stock=10)

    @pytest.fixture(autouse=True)
    def _flow(self, celeryflow: Flow, bank: Bank) -> None:
        self.flow = celeryflow

    def test_an_order_is_shipped(self) -> None:
        order = _order(self)
        self.flow.drain()
        order.refresh_from_db()
        self.assertEqual(order.state, Order.State.SHIPPED)


@pytest.mark.usefixtures("bank")
class OrderWithoutFixtureTest(TestCase):
    """With the context manager alone, which `manage.py test` understands, too."""

    def setUp(self) -> None:
        Product.objects.create(sku="tea", price=Decimal("4.50"), stock=10)
        self.flow = self.enterContext(simulate(app))

    def test_an_order_is_shipped(self) -> None:
        order = _order(self)
        self.flow.drain()
        order.refresh_from_db()
        self.assertEqual(order.state, Order.State.SHIPPED)
