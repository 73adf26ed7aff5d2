"""Whole orders, in mode `sim`, inside the transaction that the fixture `db` rolls back.

Tasks run on the test's own connection: they see what the test wrote, the test sees what they
wrote, and nothing of it is left when the test ends.
"""

from __future__ import annotations

import pytest
from a_bank import Bank
from django.utils import timezone
from django_celery_results.models import TaskResult
from pytest_celeryflow import CrashPoint, Flow

from shop.bank import Declined
from shop.checkout import fulfilment, place
from shop.models import Order, Product
from shop.tasks import OutOfStock, cancel, charge, fulfil, reserve, send_receipt, ship


def test_an_order_is_paid_and_shipped(
    celeryflow: Flow, bank: Bank, tea: Product, cup: Product, mailoutbox: list
) -> None:
    """The way it should go."""
    order = place("ada@example.org", {"tea": 2, "cup": 1})

    run = celeryflow.run(fulfilment(order))

    assert run.verdict.ok
    assert run.happened_before(reserve, charge)
    assert run.happened_before(charge, ship)
    order.refresh_from_db()
    assert order.state == Order.State.SHIPPED
    assert bank.charges == {f"order-{order.pk}": "21.00"}
    for product, left in ((tea, 8), (cup, 0)):
        product.refresh_from_db()
        assert product.stock == left
    assert [mail.subject for mail in mailoutbox] == [f"Order {order.pk} is paid"]


def test_the_receipt_is_part_of_the_workflow(celeryflow: Flow, bank: Bank, tea: Product) -> None:
    """`charge` publishes it on commit: when its own `atomic` ends, as in a worker."""
    order = place("ada@example.org", {"tea": 1})

    run = celeryflow.run(fulfilment(order))

    assert run[send_receipt].attempts == 1
    assert run[send_receipt].args == ((order.pk,),)


def test_fulfil_starts_the_workflow(celeryflow: Flow, bank: Bank, tea: Product) -> None:
    """What the view publishes; the workflow that it publishes in turn belongs to the run."""
    order = place("ada@example.org", {"tea": 1})

    run = celeryflow.run(fulfil, order.pk)

    assert run[ship].attempts == 1
    order.refresh_from_db()
    assert order.state == Order.State.SHIPPED


def test_a_bank_that_is_down_for_an_hour(celeryflow: Flow, bank: Bank, tea: Product) -> None:
    """Six tries; the order is paid after 63 minutes, of which no test waits a second."""
    order = place("ada@example.org", {"tea": 1})
    bank.down_until = celeryflow.clock.now.timestamp() + 3600

    run = celeryflow.run(fulfilment(order))

    assert run[charge].attempts_at == (0, 60, 180, 420, 900, 1860, 3780)
    assert run[send_receipt].attempts == 1
    order.refresh_from_db()
    assert order.paid_at == celeryflow.clock.now == timezone.now()


def test_a_bank_that_never_answers(celeryflow: Flow, bank: Bank, tea: Product) -> None:
    """The order is cancelled after eight retries, and the tea is back."""
    order = place("ada@example.org", {"tea": 3})
    bank.down_until = float("inf")

    run = celeryflow.run(fulfilment(order))

    assert run[charge].retries == 8
    assert run[cancel].results == (True,)
    order.refresh_from_db()
    assert (order.state, order.reason) == (Order.State.CANCELLED, "no answer from the bank")
    tea.refresh_from_db()
    assert tea.stock == 10


def test_what_is_out_of_stock_cancels_the_order(
    celeryflow: Flow, bank: Bank, tea: Product, cup: Product, mailoutbox: list
) -> None:
    """One line cannot be reserved: what the others took is given back, nothing is charged."""
    order = place("ada@example.org", {"tea": 2, "cup": 5})

    run = celeryflow.run(fulfilment(order))

    assert isinstance(run.error, OutOfStock)
    assert run[cancel].results == (True,)
    assert run.untouched(charge)
    order.refresh_from_db()
    assert order.state == Order.State.CANCELLED
    assert "not enough cup" in order.reason
    tea.refresh_from_db()
    assert tea.stock == 10
    assert bank.asked == 0
    assert mailoutbox == []


def test_a_card_that_is_declined_is_not_tried_again(
    celeryflow: Flow, bank: Bank, tea: Product, mailoutbox: list
) -> None:
    """`Declined` is no reason for a retry."""
    order = place("ada@example.org", {"tea": 1})
    bank.declines = True

    run = celeryflow.run(fulfilment(order))

    assert isinstance(run.error, Declined)
    assert run[charge].attempts == 1
    assert mailoutbox == []
    order.refresh_from_db()
    assert order.state == Order.State.CANCELLED


@pytest.mark.parametrize("at", [CrashPoint.IN_BODY, CrashPoint.BEFORE_LATE_ACK])
def test_a_worker_dies_while_it_charges(
    celeryflow: Flow, bank: Bank, tea: Product, mailoutbox: list, at: CrashPoint
) -> None:
    """The message comes again (`CELERY_TASK_ACKS_LATE`); the customer pays once, and is told once.

    `IN_BODY` kills it where it first waits or publishes: after the commit, before the receipt
    is on its way.
    """
    order = place("ada@example.org", {"tea": 1})
    celeryflow.faults.crash(charge, at=at)

    run = celeryflow.run(fulfilment(order))

    assert run[charge].attempts == 2
    assert bank.charges == {f"order-{order.pk}": "4.50"}
    assert len(mailoutbox) == 1
    order.refresh_from_db()
    assert order.state == Order.State.SHIPPED


def test_an_order_that_is_cancelled_while_the_bank_is_asked_is_refunded(
    celeryflow: Flow, bank: Bank, tea: Product
) -> None:
    """The bank takes its time, and the customer changes their mind."""
    order = place("ada@example.org", {"tea": 1})
    answer = bank.answer

    def slow(body: dict[str, str]) -> dict[str, str]:
        if "key" in body:
            cancel.run(order.pk, "changed their mind")
        return answer(body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shop.bank._post", slow)
        run = celeryflow.run(fulfilment(order))

    assert run[send_receipt].results == (False,)
    assert bank.asked == 1
    assert bank.charges == {}


def test_results_are_rows_of_the_database(celeryflow: Flow, bank: Bank, tea: Product) -> None:
    """`django-db` is used as it is, in the transaction of the test."""
    order = place("ada@example.org", {"tea": 1})

    run = celeryflow.run(fulfilment(order))

    rows = TaskResult.objects.order_by("task_name").values_list("task_name", "status")
    names = (charge.name, reserve.name, send_receipt.name, ship.name)
    assert list(rows) == [(name, "SUCCESS") for name in names]
    assert TaskResult.objects.get(task_id=run.result.id).task_name == ship.name


def test_the_test_before_left_nothing(db: None) -> None:
    """Whichever that was: neither orders nor results."""
    assert not Order.objects.exists()
    assert not TaskResult.objects.exists()
