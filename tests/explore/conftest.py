"""Workflows with one bug each."""

import time
from types import SimpleNamespace

import pytest
from celery import chord, group


@pytest.fixture
def shop(app):
    """Functions of a flow, each a test's body: `race`, `pay`, `fine`."""
    stock, charged = {"n": 0}, []

    @app.task(name="shop.add")
    def add(x, y):
        return x + y

    @app.task(name="shop.total")
    def total(numbers):
        return sum(numbers)

    @app.task(name="shop.bump", bind=True)
    def bump(self, by):
        read = stock["n"]
        self.update_state(state="BUSY")
        stock["n"] = read + by
        return by

    @app.task(name="shop.charge", acks_late=True, reject_on_worker_lost=True)
    def charge(order):
        charged.append(order)
        return order

    @app.task(name="shop.safe", acks_late=True, reject_on_worker_lost=True)
    def safe(order):
        if order not in charged:
            charged.append(order)
        return order

    @app.task(name="shop.slow")
    def slow(seconds):
        time.sleep(seconds)
        return seconds

    def race(flow):
        stock["n"] = 0
        flow.run(chord([bump.s(1), bump.s(2)], total.s()))
        assert stock["n"] == 3

    def pay(flow):
        charged.clear()
        assert flow.run(charge.s(7) | add.s(1)).value == 8
        if charged != [7]:  # not an assert: what pytest adds to it differs under CI
            raise AssertionError(f"charged {charged}")

    def fine(flow):
        assert flow.run(chord([add.s(1, 2), add.s(3, 4)], total.s())).value == 10

    return SimpleNamespace(
        app=app,
        stock=stock,
        charged=charged,
        add=add,
        total=total,
        bump=bump,
        charge=charge,
        safe=safe,
        slow=slow,
        race=race,
        pay=pay,
        fine=fine,
        group=group,
    )
