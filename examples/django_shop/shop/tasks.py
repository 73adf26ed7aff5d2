"""What is done for an order in the background. `shop.checkout` says in which order.

Each task is given keys and no models, and does nothing when it was done already: the broker
delivers some messages twice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.core.mail import mail_managers, send_mail
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from shop import bank
from shop.models import Line, Order, Product

__all__ = [
    "OutOfStock",
    "cancel",
    "charge",
    "fulfil",
    "give_up_stale_orders",
    "order_failed",
    "report_sales",
    "reserve",
    "send_receipt",
    "ship",
]

#: An order that is not paid by then is given up.
PATIENCE = timedelta(hours=24)

State = Order.State


class OutOfStock(Exception):
    """There is not enough of a product."""


@shared_task
def fulfil(order: int) -> None:
    """Start the workflow of an order."""
    from shop.checkout import fulfilment  # noqa: PLC0415 - it is made of these tasks

    fulfilment(Order.objects.get(pk=order)).apply_async()


@shared_task
def reserve(line: int) -> str:
    """Take what a line asks for out of the stock.

    Raises:
        OutOfStock: There is not enough.
    """
    with transaction.atomic():
        wanted = Line.objects.select_for_update().select_related("product").get(pk=line)
        if not wanted.reserved:
            stock = Product.objects.filter(pk=wanted.product_id, stock__gte=wanted.quantity)
            if not stock.update(stock=F("stock") - wanted.quantity):
                raise OutOfStock(f"not enough {wanted.product.sku}")
            wanted.reserved = True
            wanted.save(update_fields=["reserved"])
    return str(wanted)


@shared_task(
    autoretry_for=(bank.BankDown,),
    max_retries=8,
    retry_backoff=60,  # 1, 2, 4, … 128 minutes
    retry_backoff_max=3 * 3600,
    retry_jitter=False,
)
def charge(order: int) -> str:
    """Take the money, and have a receipt sent once it is sure that the payment is on record.

    The bank is asked outside of any transaction: it may take its time.
    """
    row = Order.objects.get(pk=order)
    if row.state == State.PLACED:
        row.charge = bank.take(f"order-{row.pk}", row.total)
    with transaction.atomic():
        placed = Order.objects.filter(pk=order, state=State.PLACED)
        placed.update(state=State.PAID, paid_at=timezone.now(), charge=row.charge)
        # Also when it was on record already: a process that is killed between its commit and
        # its publication leaves a payment without a receipt, and the message comes again.
        send_receipt.delay_on_commit(order)
    if Order.objects.filter(pk=order, state=State.CANCELLED).exists():  # while the bank was asked
        bank.refund(row.charge)
    return row.charge


@shared_task
def send_receipt(order: int) -> bool:
    """Tell the customer that the money was taken; whether there was need to."""
    with transaction.atomic():
        row = Order.objects.select_for_update().get(pk=order)
        if row.receipt_sent or row.state == State.CANCELLED:
            return False
        send_mail(f"Order {row.pk} is paid", f"We took {row.total} EUR.", None, [row.email])
        row.receipt_sent = True
        row.save(update_fields=["receipt_sent"])
    return True


@shared_task
def ship(order: int) -> None:
    """Hand the parcel over."""
    Order.objects.filter(pk=order, state=State.PAID).update(state=State.SHIPPED)


@shared_task
def order_failed(request: Any, exc: BaseException, traceback: Any, order: int) -> None:
    """Hand a failure on to `cancel`: the errback of every task of an order.

    Celery calls an errback with these first three arguments as a plain function, where the
    task failed. It does no work there, so that the work is routed and retried like any other.
    """
    cancel.delay(order, str(exc))


@shared_task
def cancel(order: int, reason: str) -> bool:
    """Undo what was done for an order.

    Returns:
        Whether there was anything to do: every task of the order that fails asks for it.
    """
    with transaction.atomic():
        row = Order.objects.select_for_update().get(pk=order)
        if row.state in (State.CANCELLED, State.SHIPPED):
            return False
        for line in row.lines.filter(reserved=True):
            Product.objects.filter(pk=line.product_id).update(stock=F("stock") + line.quantity)
        row.lines.update(reserved=False)
        if row.charge:
            bank.refund(row.charge)
        row.state, row.reason = State.CANCELLED, reason
        row.save()
    return True


@shared_task
def give_up_stale_orders() -> int:
    """Cancel what was not paid in time; how many that were. Beat sends it once an hour."""
    stale = Order.objects.filter(state=State.PLACED, placed_at__lt=timezone.now() - PATIENCE)
    numbers = list(stale.values_list("pk", flat=True))
    for number in numbers:
        cancel.delay(number, "not paid within a day")
    return len(numbers)


@shared_task
def report_sales() -> str:
    """Tell the managers what was sold yesterday. Beat sends it at six in the morning."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(days=1)
    paid = Order.objects.filter(paid_at__gte=yesterday, paid_at__lt=today)
    text = f"{paid.count()} orders, {sum(order.total for order in paid)} EUR"
    mail_managers(f"Sales of {yesterday:%Y-%m-%d}", text)
    return text
