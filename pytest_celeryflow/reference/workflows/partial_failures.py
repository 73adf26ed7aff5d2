"""A batch of which some may fail: failures are returned, not raised.

One exception in a header and the body never runs, so a member that may fail catches what it
expects and returns it as data. What it does not expect still fails the whole, as it should. The
body tells the two apart, and the caller gets a report instead of the first exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import chord

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


class Unreachable(Exception):
    """An address that nobody can deliver to."""


def deliver(address: str) -> str:
    if "@" not in address:
        raise Unreachable(address)
    return f"sent to {address}"


@app.task
def send(address: str) -> dict[str, str]:
    try:
        return {"address": address, "sent": deliver(address)}
    except Unreachable as exc:
        return {"address": address, "failed": f"{type(exc).__name__}: {exc}"}


@app.task
def report(outcomes: list[dict[str, str]]) -> dict[str, Any]:
    failed = [outcome["address"] for outcome in outcomes if "failed" in outcome]
    return {"sent": len(outcomes) - len(failed), "failed": failed}


def newsletter(addresses: Sequence[str]) -> Any:
    return chord([send.s(address) for address in addresses], report.s())


WORKFLOWS = (
    Workflow(
        name="partial-failures",
        about="Two of three letters are sent, and the report says which was not.",
        canvas=lambda _: newsletter(["a@x", "nowhere", "b@x"]),
        shape="chord([send('a@x'), send('nowhere'), send('b@x')], report())",
        end={"sent": 2, "failed": ["nowhere"]},
        executions={"send": 3, "report": 1},
    ),
)
