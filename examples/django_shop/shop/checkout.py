"""What happens to an order, as a canvas.

```
reserve ─┐
reserve ─┼─ charge ─ ship            whatever fails: order_failed ─ cancel
reserve ─┘     └─ send_receipt, when the payment is committed
```
"""

from __future__ import annotations

from celery import chain, chord
from celery.canvas import Signature
from django.db import transaction

from shop import tasks
from shop.models import Line, Order, Product

__all__ = ["fulfilment", "place"]


def place(email: str, items: dict[str, int]) -> Order:
    """Write an order down, and have it fulfilled as soon as it is committed.

    Raises:
        ValueError: It is empty, a quantity is not positive, or there is no such product.
    """
    if not items:
        raise ValueError("an order needs items")
    with transaction.atomic():
        order = Order.objects.create(email=email)
        for sku, quantity in items.items():
            product = Product.objects.filter(sku=sku).first()
            if product is None:
                raise ValueError(f"there is no {sku!r}")
            if quantity < 1:
                raise ValueError(f"{quantity} × {sku} cannot be ordered")
            Line.objects.create(order=order, product=product, quantity=quantity)
        # A worker is faster than a commit: published here and now, the task would often look
        # for an order that nobody but this transaction can see.
        tasks.fulfil.delay_on_commit(order.pk)
    return order


def fulfilment(order: Order) -> Signature:
    """The canvas of an order."""
    reservations = [tasks.reserve.si(line.pk) for line in order.lines.order_by("pk")]
    return chain(
        chord(reservations, tasks.charge.si(order.pk)),
        tasks.ship.si(order.pk),
    ).on_error(tasks.order_failed.s(order.pk))
