"""Chords: a group, and then one task with the list of its results.

Celery counts in the result backend which members have ended, so that a chord needs a backend
that can; `rpc://` cannot. Every member must keep its result: no `ignore_result` in a header.
When a member fails, the body never runs, and the result of the chord is that failure. A group
that a task follows in a chain is a chord, too.
"""

from __future__ import annotations

from typing import Any

from celery import chord, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Raises, Workflow


@app.task
def sales(shop: str) -> int:
    if shop == "closed":
        raise LookupError("no till in shop 'closed'")
    return len(shop) * 10


@app.task
def total(amounts: list[int]) -> int:
    return sum(amounts)


@app.task
def per_cent(amount: int, percent: int) -> float:
    return amount * percent / 100


def turnover(*shops: str) -> Any:
    return chord([sales.s(shop) for shop in shops], total.s())


def turnover_as_a_chain(*shops: str) -> Any:
    return group(sales.s(shop) for shop in shops) | total.s()


def taxes(*shops: str) -> Any:
    rates = group(per_cent.s(7), per_cent.s(19))
    return chord([sales.s(shop) for shop in shops], total.s() | rates)


WORKFLOWS = (
    Workflow(
        name="chord",
        about="Several tasks at the same time, then one with all of their results.",
        canvas=lambda _: turnover("north", "south", "east"),
        shape="chord([sales('north'), sales('south'), sales('east')], total())",
        end=140,
        executions={"sales": 3, "total": 1},
        claims={
            "the body is given all results, in the order of the header": lambda run: (
                run[total].args == (([50, 50, 40],),)
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="chord-from-a-chain",
        about="A group followed by a task: Celery makes a chord of it.",
        canvas=lambda _: turnover_as_a_chain("north", "south"),
        shape="chord([sales('north'), sales('south')], total())",
        end=100,
        executions={"sales": 2, "total": 1},
    ),
    Workflow(
        name="chord-that-fails",
        about="A member of the header fails: the body never runs.",
        canvas=lambda _: turnover("north", "closed"),
        shape="chord([sales('north'), sales('closed')], total())",
        ran="chord([sales('north'), sales('closed')])",
        end=Raises("LookupError"),
        executions={"sales": 2, "total": 0},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="fan-in-then-fan-out",
        about="A chord whose body goes on with a group.",
        canvas=lambda _: taxes("north", "south"),
        shape=(
            "chord([sales('north'), sales('south')], total()) | group(per_cent(7), per_cent(19))"
        ),
        end=[7.0, 19.0],
        executions={"sales": 2, "total": 1, "per_cent": 2},
    ),
)
