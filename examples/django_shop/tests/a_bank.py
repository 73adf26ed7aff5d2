"""A bank for tests: as idempotent as the real one, and out of order when it should be."""

from __future__ import annotations

import threading
import time

from shop.bank import BankDown, Declined

__all__ = ["Bank"]


class Bank:
    """Stands in for the HTTP request of `shop.bank`.

    Attributes:
        charges: The amount of each charge that was not given back, by its key.
        asked: How often it was asked for money.
        down_until: Seconds since the epoch until which nobody answers.
        declines: Whether the card is refused.
    """

    def __init__(self) -> None:
        self.charges: dict[str, str] = {}
        self.asked = 0
        self.down_until = 0.0
        self.declines = False
        self._lock = threading.Lock()

    def answer(self, body: dict[str, str]) -> dict[str, str]:
        """Do what a request asks for."""
        if time.time() < self.down_until:
            raise BankDown("no answer from the bank")
        with self._lock:
            if "refund" in body:
                self.charges.pop(body["refund"], None)
                return {}
            self.asked += 1
            if self.declines:
                raise Declined("the card was declined")
            self.charges.setdefault(body["key"], body["amount"])
            return {"charge": body["key"]}
