"""What beat sends: days pass at no cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from a_bank import Bank
from pytest_celeryflow import Flow

from shop.checkout import fulfilment, place
from shop.models import Order, Product
from shop.tasks import cancel, give_up_stale_orders, report_sales


def test_an_order_that_nobody_pays_is_given_up_after_a_day(
    celeryflow: Flow, tea: Product
) -> None:
    """Beat looks every hour, and finds it at the first look after 24 hours."""
    order = place("ada@example.org", {"tea": 1})

    celeryflow.beat.run_for("25h")

    celeryflow.assert_ran(give_up_stale_orders, times=25)
    celeryflow.assert_ran(cancel, times=1)
    order.refresh_from_db()
    assert (order.state, order.reason) == (Order.State.CANCELLED, "not paid within a day")


@pytest.mark.celeryflow(start="2026-03-28T12:00:00+01:00")
def test_sales_are_reported_in_the_morning(
    celeryflow: Flow, bank: Bank, tea: Product, mailoutbox: list
) -> None:
    """At six in Berlin, also in the night in which the clocks go forward."""
    for _ in range(3):
        celeryflow.run(fulfilment(place("ada@example.org", {"tea": 1})))
    mailoutbox.clear()

    celeryflow.beat.run_for("48h")

    celeryflow.assert_ran(report_sales, times=2)
    assert [mail.subject.partition("] ")[2] for mail in mailoutbox] == [
        "Sales of 2026-03-28",
        "Sales of 2026-03-29",
    ]
    assert mailoutbox[0].body == f"3 orders, {3 * Decimal('4.50')} EUR"
    assert mailoutbox[1].body == "0 orders, 0 EUR"
