"""Chains: one task after another, each with the result of the one before.

A chain ends at the first failure: the tasks behind it never run, and the exception is the
result of the chain. Options such as `queue` or `expires` given to `chain.apply_async` reach the
tasks in different ways; set them on each signature.
"""

from __future__ import annotations

from typing import Any

from celery import chain

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Raises, Workflow


@app.task
def fetch(url: str) -> list[str]:
    if "missing" in url:
        raise FileNotFoundError(url)
    return ["3", "1", "2"]


@app.task
def parse(lines: list[str]) -> tuple[int, ...]:
    return tuple(int(line) for line in lines)


@app.task
def describe(numbers: list[int]) -> str:
    return f"a {type(numbers).__name__} whose sum is {sum(numbers)}"


@app.task
def enrich(order: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**order, **more}


def import_numbers(url: str) -> Any:
    return chain(fetch.s(url), parse.s(), describe.s())


def checkout(order: str) -> Any:
    return enrich.s({"order": order}, total=30) | enrich.s(paid=True) | enrich.s(shipped=True)


WORKFLOWS = (
    Workflow(
        name="chain",
        about="Three steps, each with the result of the one before.",
        canvas=lambda _: import_numbers("numbers.txt"),
        shape="fetch('numbers.txt') | parse() | describe()",
        end="a list whose sum is 6",
        executions={"fetch": 1, "parse": 1, "describe": 1},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
        differs={
            "eager": Differs(
                "No result is serialised between two steps: a tuple stays a tuple.",
                end="a tuple whose sum is 6",
            )
        },
    ),
    Workflow(
        name="chain-that-fails",
        about="The first step fails, and nothing behind it runs.",
        canvas=lambda _: import_numbers("missing.txt"),
        shape="fetch('missing.txt') | parse() | describe()",
        ran="fetch('missing.txt')",
        end=Raises("FileNotFoundError", "missing.txt"),
        executions={"fetch": 1, "parse": 0, "describe": 0},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="context-through-a-chain",
        about="One dict goes through all steps, and each adds what it knows.",
        canvas=lambda _: checkout("A-1"),
        shape=(
            "enrich({'order': 'A-1'}, total=30) | enrich(paid=True) | enrich(shipped=True)"
        ),
        end={"order": "A-1", "total": 30, "paid": True, "shipped": True},
        executions={"enrich": 3},
    ),
)
