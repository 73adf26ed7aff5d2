"""Fire and forget: something is published on the side, and nobody waits for it.

`ignore_result=True` keeps the result backend out of it. The audit belongs to no canvas: when it
fails, the workflow does not, so it needs retries or an alert of its own. Published inside of a
database transaction, it may run before the transaction is committed, or although it never is:
publish in `transaction.on_commit`, or by `delay_on_commit` with Django.
"""

from __future__ import annotations

from typing import Any

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task(ignore_result=True)
def audit(directory: str, line: str) -> None:
    outside.write(directory, "audit", line)


@app.task
def transfer(amount: int, directory: str) -> str:
    audit.delay(directory, f"transfer of {amount} begun")
    audit.delay(directory, f"transfer of {amount} done")
    return f"transferred {amount}"


def payment(amount: int, directory: str) -> Any:
    return transfer.s(amount, directory)


WORKFLOWS = (
    Workflow(
        name="fire-and-forget-audit",
        about="A task leaves two notes behind and goes on.",
        canvas=lambda at: payment(50, at.directory),
        shape="transfer(50, 'world')",
        ran=(
            "group(transfer(50, 'world'), audit('world', 'transfer of 50 begun'), "
            "audit('world', 'transfer of 50 done'))"
        ),
        end="transferred 50",
        executions={"transfer": 1, "audit": 2},
        claims={
            "the audit runs when the transfer has ended": lambda run: (
                run.executions[0].task.endswith("transfer")
            )
        },
    ),
)
