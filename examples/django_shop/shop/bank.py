"""The bank's API: money is taken and given back over HTTP.

The key makes it idempotent: to ask twice with the same one charges once, as banks' APIs
do it, so that `shop.tasks.charge` may be run again.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from decimal import Decimal

from django.conf import settings

__all__ = ["BankDown", "Declined", "refund", "take"]


class BankDown(Exception):
    """No answer, or none that helps: try again later."""


class Declined(Exception):
    """The bank says no, and will say it again."""


def take(key: str, amount: Decimal) -> str:
    """Take money; the bank's number of the charge.

    Raises:
        BankDown: It cannot be told whether it was taken.
        Declined: It was not.
    """
    return _post({"key": key, "amount": str(amount)})["charge"]


def refund(charge: str) -> None:
    """Give the money of a charge back, once however often it is asked for."""
    _post({"refund": charge})


def _post(body: dict[str, str]) -> dict[str, str]:
    request = urllib.request.Request(  # noqa: S310 - the address is the shop's own setting
        settings.SHOP_BANK,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as exc:
        if exc.code == 402:
            raise Declined("the card was declined") from exc
        raise BankDown(f"the bank answers {exc.code}") from exc
    except OSError as exc:
        raise BankDown(f"no answer from the bank: {exc}") from exc
