"""A saga: steps that each can be undone, and what is done is undone when a later one fails.

There is no transaction around several services. Each step writes down that it is done; one
errback on the chain reads that, and undoes it backwards. The errback is set on *each*
signature: whichever fails publishes it, and the rest of the chain never runs. Undoing must be
idempotent, because with `acks_late` it may happen twice, and it must not rely on the failed
step to have done nothing.
"""

from __future__ import annotations

from typing import Any

from celery import chain

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Raises, Workflow

_UNDO = {"flight booked": "flight cancelled", "hotel booked": "hotel cancelled"}


@app.task
def book_flight(trip: dict[str, str]) -> dict[str, str]:
    outside.write(trip["directory"], "done", "flight booked")
    return trip


@app.task
def book_hotel(trip: dict[str, str]) -> dict[str, str]:
    outside.write(trip["directory"], "done", "hotel booked")
    return trip


@app.task
def charge_card(trip: dict[str, str]) -> str:
    if trip["card"] == "expired":
        raise PermissionError("the card has expired")
    return f"{trip['card']} charged"


@app.task
def compensate(directory: str) -> list[str]:
    undone = [_UNDO[step] for step in reversed(outside.read(directory, "done"))]
    for step in undone:
        outside.write(directory, "undone", step)
    return undone


def booked(card: str, directory: str) -> Any:
    steps = [book_flight.s({"card": card, "directory": directory}), book_hotel.s(), charge_card.s()]
    undo = compensate.si(directory)
    return chain(*(step.on_error(undo.clone()) for step in steps))


_SHAPE = (
    "book_flight({{'card': {!r}, 'directory': 'world'}}).on_error(compensate.si('world')) | "
    "book_hotel().on_error(compensate.si('world')) | "
    "charge_card().on_error(compensate.si('world'))"
)

WORKFLOWS = (
    Workflow(
        name="saga",
        about="All steps succeed: nothing is undone.",
        canvas=lambda at: booked("visa", at.directory),
        shape=_SHAPE.format("visa"),
        end="visa charged",
        executions={"book_flight": 1, "book_hotel": 1, "charge_card": 1, "compensate": 0},
    ),
    Workflow(
        name="saga-with-compensation",
        about="The last step fails: the others are undone, backwards, and once.",
        canvas=lambda at: booked("expired", at.directory),
        shape=_SHAPE.format("expired"),
        end=Raises("PermissionError", "the card has expired"),
        executions={"book_flight": 1, "book_hotel": 1, "charge_card": 1, "compensate": 1},
        claims={
            "the hotel is cancelled before the flight": lambda run: (
                list(run[compensate].results) == [["hotel cancelled", "flight cancelled"]]
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
