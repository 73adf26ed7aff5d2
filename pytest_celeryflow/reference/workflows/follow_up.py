"""A follow-up after three days: a reminder with an ETA, which a payment makes pointless.

A worker takes a message with an ETA off the queue and keeps it in memory until it is due. With
Redis, one that is not due within the visibility timeout (an hour by default) is delivered again
and runs more than once: for days, keep a table of what is due, and a periodic job. To revoke a
task needs its id and reaches only the workers that run now; the task that looks whether there
is still something to do needs neither.
"""

from __future__ import annotations

from typing import Any

from pytest_celeryflow.reference import outside
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task
def remind(invoice: str, directory: str) -> str:
    if invoice in outside.read(directory, "paid"):
        return "paid already"
    return f"please pay {invoice}"


@app.task
def bill(invoice: str, directory: str, wait: float) -> str:
    remind.apply_async((invoice, directory), countdown=wait)
    return f"{invoice} billed"


@app.task
def pay(billed: str, directory: str) -> str:
    outside.write(directory, "paid", billed.split(maxsplit=1)[0])
    return "thank you"


def invoiced(invoice: str, directory: str, wait: float) -> Any:
    return bill.s(invoice, directory, wait)


def invoiced_and_paid(invoice: str, directory: str, wait: float) -> Any:
    return bill.s(invoice, directory, wait) | pay.s(directory)


_DAYS = 3 * 86_400
_REMINDED = "remind('I-7', 'world').set(countdown=259200)"
#: Results are kept for a day by default; the caller's shall be there when the reminder is.
_CONFIG = {"result_expires": 7 * 86_400}

WORKFLOWS = (
    Workflow(
        name="scheduled-follow-up",
        about="Nobody pays: the reminder goes out after three days.",
        canvas=lambda at: invoiced("I-7", at.directory, at.seconds(_DAYS)),
        shape="bill('I-7', 'world', 259200.0)",
        ran=f"group(bill('I-7', 'world', 259200.0), {_REMINDED})",
        end="I-7 billed",
        executions={"bill": 1, "remind": 1, "pay": 0},
        claims={
            "the reminder asks for the money": lambda run: (
                run[remind].results == ("please pay I-7",)
            )
        },
        takes=_DAYS,
        longest=_DAYS,
        config=_CONFIG,
        sim={"broker": "rabbitmq"},
    ),
    Workflow(
        name="follow-up-not-needed",
        about="The invoice is paid at once: three days later there is nothing to remind of.",
        canvas=lambda at: invoiced_and_paid("I-7", at.directory, at.seconds(_DAYS)),
        shape="bill('I-7', 'world', 259200.0) | pay('world')",
        ran=f"group(bill('I-7', 'world', 259200.0) | pay('world'), {_REMINDED})",
        end="thank you",
        executions={"bill": 1, "remind": 1, "pay": 1},
        claims={
            "nobody is asked for money that was paid": lambda run: (
                run[remind].results == ("paid already",)
            )
        },
        takes=_DAYS,
        longest=_DAYS,
        config=_CONFIG,
        sim={"broker": "rabbitmq"},
        differs={
            "eager": Differs(
                "A countdown has no effect: the reminder is called at once, before the payment.",
                broken=("nobody is asked for money that was paid",),
            )
        },
    ),
)
