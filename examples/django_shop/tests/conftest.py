"""Fixtures: something to sell, and a bank."""

from __future__ import annotations

from decimal import Decimal

import pytest
from a_bank import Bank

from shop import bank as api
from shop.models import Product


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A bank that answers without a network."""
    bank = Bank()
    monkeypatch.setattr(api, "_post", bank.answer)
    return bank


@pytest.fixture
def tea(db: None) -> Product:
    """Ten packets of tea."""
    return Product.objects.create(sku="tea", price=Decimal("4.50"), stock=10)


@pytest.fixture
def cup(db: None) -> Product:
    """The last cup."""
    return Product.objects.create(sku="cup", price=Decimal("12.00"), stock=1)
