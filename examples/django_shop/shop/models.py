"""What the shop remembers."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils import timezone


class Product(models.Model):
    """Something to buy, and how many of it are left."""

    sku = models.SlugField(unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.PositiveIntegerField()

    def __str__(self) -> str:
        """Its article number."""
        return self.sku


class Order(models.Model):
    """What somebody wants to have."""

    class State(models.TextChoices):
        """How far it has come."""

        PLACED = "placed"
        PAID = "paid"
        SHIPPED = "shipped"
        CANCELLED = "cancelled"

    email = models.EmailField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.PLACED)
    placed_at = models.DateTimeField(default=timezone.now)
    paid_at = models.DateTimeField(null=True, blank=True)
    charge = models.CharField(max_length=64, blank=True)
    receipt_sent = models.BooleanField(default=False)
    reason = models.TextField(blank=True)

    def __str__(self) -> str:
        """``order 7``."""
        return f"order {self.pk}"

    @property
    def total(self) -> Decimal:
        """What it costs."""
        lines = self.lines.select_related("product")
        return sum((line.quantity * line.product.price for line in lines), Decimal(0))


class Line(models.Model):
    """So many of one product, in an order."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.PROTECT)
    quantity = models.PositiveIntegerField()
    reserved = models.BooleanField(default=False)

    def __str__(self) -> str:
        """``2 × tea``."""
        return f"{self.quantity} × {self.product.sku}"
