"""Order, concurrency, and what is published meanwhile."""

import time
from contextvars import ContextVar

from celery import Celery, chain, chord, group

from tests.eager_lies.lie import lie


@lie(
    title="A task that is published has ended before the publisher goes on",
    eager="The index is made before the line after `delay()`.",
    worker="It is made later: here after the task that asked for it.",
    why="`celery/app/task.py:Task.apply_async` calls `apply()`",
    differs=("value",),
    options={"concurrency": 1},
)
def published(app: Celery):
    done = []

    @app.task
    def make_index():
        done.append("index made")

    @app.task
    def save():
        make_index.delay()
        done.append("saved")
        return list(done)

    return save.s()


@lie(
    title="A task sees what is not committed yet",
    eager="It runs inside the caller's transaction, and finds the row.",
    worker="It runs elsewhere. Whether the row is there depends on who is faster; here it is not.",
    why="`celery/app/task.py:Task.apply_async` calls `apply()`, in the same thread",
    differs=("value",),
    against="sim",
)
def transaction(app: Celery):
    committed = []
    transaction = ContextVar("transaction", default=())  # as a connection, one a caller

    @app.task
    def mail():
        return [*committed, *transaction.get()]

    @app.task
    def sign_up():
        transaction.set(("user 7",))
        result = mail.delay()
        time.sleep(0.001)  # a worker that is free takes it now
        committed.extend(transaction.get())
        return result.get(disable_sync_subtasks=False)

    return sign_up.s()


@lie(
    title="Nothing runs at the same time",
    eager="The members of a group run one after the other, and no update is lost.",
    worker="Both read 0, and both write 1.",
    why="`celery/canvas.py:group.apply` applies one member after the other",
    differs=("value",),
    against="sim",
)
def lost_update(app: Celery):
    counter = {"hits": 0}

    @app.task
    def hit():
        hits = counter["hits"]
        time.sleep(0.01)  # a query
        counter["hits"] = hits + 1

    @app.task
    def read():
        return counter["hits"]

    return chord([hit.s(), hit.s()], read.si())


@lie(
    title="One member that fails keeps the others from running",
    eager="The exception leaves the group at once; `bill` is never called.",
    worker="Members are messages of their own, and each is executed.",
    why="`celery/canvas.py:_chain.apply` raises, and `celery/canvas.py:group.apply` ends",
    differs=("executions of bill",),
)
def others(app: Celery):
    @app.task
    def pack(item):
        raise ValueError("sold out")

    @app.task
    def ship(parcel):
        return parcel

    @app.task
    def bill(item):
        return f"bill for {item}"

    return group(chain(pack.s("hat"), ship.s()), bill.s("hat"))


@lie(
    title="An errback runs before the rest of the group",
    eager="Depth first: the errback of the first member, then the second member.",
    worker="The second member was published with the first, and runs before the errback.",
    why="`celery/canvas.py:group.apply` ends with one member before it begins with the next",
    differs=("order of alert and work",),
    options={"concurrency": 1},
)
def errback_first(app: Celery):
    @app.task
    def fail():
        raise ValueError("no")

    @app.task
    def work():
        return "done"

    @app.task
    def alert(task_id):
        return f"{task_id} failed"

    return group(fail.s().on_error(alert.s()), work.s())


@lie(
    title="What is called by name is only published",
    eager="`send_task` has no eager form: the message stays where it is, and nobody runs it.",
    worker="It runs.",
    why="`celery/app/base.py:Celery.send_task` publishes, whatever `task_always_eager` says",
    differs=("executions of notify",),
)
def by_name(app: Celery):
    @app.task(name="shop.notify")
    def notify():
        return "told"

    @app.task
    def order():
        app.send_task("shop.notify")
        return "ordered"

    return order.s()


@lie(
    title="A queue that nobody consumes is consumed",
    eager="`queue` has no effect.",
    worker="The message waits for ever.",
    why="`celery/app/task.py:Task.apply` asks no router",
    differs=("value", "raised", "executions of render"),
    against="sim",
    options={"queues": ["celery"]},
)
def nobody(app: Celery):
    @app.task
    def render():
        return "rendered"

    return render.s().set(queue="vidoes")  # a slip of the pen


@lie(
    title="A call cannot be revoked",
    eager="It has been executed when `revoke()` is called.",
    worker="It still waits, and never runs.",
    why="`celery/result.py:EagerResult.revoke` sets the state of what has already ended",
    differs=("executions of remind",),
    against="sim",
)
def revoked(app: Celery):
    @app.task
    def remind():
        return "reminded"

    @app.task
    def pay():
        reminder = remind.apply_async(countdown=3600)
        reminder.revoke()
        return "paid"

    return pay.s()
