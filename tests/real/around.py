"""What goes wrong around a worker: its machine, its messages, its Redis."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from tests.real.bench import Bench, Outcome
from tests.real.scenario import Scenario

__all__ = ["AROUND"]

#: Redis gives back what stays unacknowledged for a second. By default that is an hour, and
#: a worker looks 10 s after its start and then every 100 s (`kombu/transport/redis.py`).
SOON_AGAIN = {
    "broker_transport_options": {
        "visibility_timeout": 1,
        "unacked_restore_interval": 0.2,
        "unacked_restore_throttle": 1,
    }
}

DONE = Outcome("STARTED SUCCESS", 1, "on_success task_success")
UNTOUCHED = Outcome("", "PENDING", retries=(), redelivered=())
FORGOTTEN = Outcome("STARTED", "STARTED")
REDELIVERED = replace(DONE, redelivered=(True,))
SECOND_TIME = Outcome(
    "STARTED STARTED SUCCESS",
    "second time",
    "on_success task_success",
    retries=(0, 0),
    redelivered=(False, True),
)

# --- the whole worker ---


def machine_lost(bench: Bench) -> dict[str, str]:
    """Kill worker and pool while tasks are at different places; a second worker comes."""
    ids = {
        "in its body": bench.send("plain", "sleep first", 60),
        "in its body, late": bench.send("late", "sleep first", 60),
        "in its body, late, lost": bench.send("late_lost", "sleep first", 60),
        "result stored, not acknowledged": bench.send("late", "wait after the result"),
    }
    for task_id in ids.values():
        bench.started(task_id)
    held = {
        "reserved": bench.send("plain", "return", 1),
        "reserved, late": bench.send("late", "return", 1),
        "waits for its ETA": bench.send("plain", "return", 1, countdown=1),
    }
    assert bench.wait(lambda: all(bench.held(i) for i in held.values()))
    assert bench.wait(
        lambda: bool(bench.about(ids["result stored, not acknowledged"], "on_success"))
    )
    bench.workers[0].kill()
    bench.start()
    return {**ids, **held}


MACHINE = {
    "in its body": FORGOTTEN,
    "in its body, late": SECOND_TIME,
    "in its body, late, lost": SECOND_TIME,
    "result stored, not acknowledged": Outcome(
        "STARTED SUCCESS",
        "done",
        "on_success on_success task_success",
        retries=(0, 0),
        redelivered=(False, True),
    ),
    "reserved": REDELIVERED,
    "reserved, late": REDELIVERED,
    "waits for its ETA": REDELIVERED,
}

# --- messages ---

TWICE = Outcome(
    "STARTED SUCCESS",
    1,
    "on_success task_success on_success task_success",
    retries=(0, 0),
    redelivered=(False, False),
)


def published_twice(bench: Bench) -> dict[str, str]:
    """The same id again: when the first has ended, while it runs, when it has failed."""
    ended, late = bench.send("plain", "return", 1), bench.send("late", "return", 1)
    failed, running = bench.send("plain", "fail"), bench.send("plain", "sleep", 0.8)
    bench.started(running)
    bench.send("plain", "sleep", 0.8, task_id=running)
    for task_id in (ended, late, failed):
        assert bench.rest(task_id)
    bench.send("plain", "return", 2, task_id=ended)
    bench.send("late", "return", 2, task_id=late)
    bench.send("plain", "return", 2, task_id=failed)
    return {"ended": ended, "ended, late": late, "failed": failed, "running": running}


BOTH_RUN = {
    # A SUCCESS is never overwritten, not even by STARTED (`celery/backends/base.py`).
    "ended": TWICE,
    "ended, late": TWICE,
    "failed": Outcome(
        "STARTED FAILURE STARTED SUCCESS",
        2,
        "on_failure task_failure on_success task_success",
        retries=(0, 0),
        redelivered=(False, False),
    ),
    "running": replace(TWICE, states="STARTED STARTED SUCCESS", result="slept"),
}


def longer_than_visibility(bench: Bench) -> dict[str, str]:
    """A body that lasts longer than Redis leaves a message unacknowledged."""
    return {
        "body, late": bench.send("late", "sleep", 1.7),
        "body": bench.send("plain", "sleep", 1.7),
    }


def eta_beyond_visibility(bench: Bench) -> dict[str, str]:
    """An ETA that is further away than that."""
    return {"ETA": bench.send("plain", "return", 1, countdown=1.7)}


def odd_messages(bench: Bench) -> dict[str, str]:
    """Messages that are no tasks are logged and dropped; what comes after is done."""
    ours = {"task": "real.plain", "id": "odd"}
    bench.publish_raw("{", content_type="application/json", content_encoding="utf-8", headers=ours)
    pickled = "application/x-python-serialize"
    bench.publish_raw("x", content_type=pickled, content_encoding="utf-8", headers=ours)
    bench.publish_raw([1, 2, 3], serializer="json")
    errback = bench.app.signature("real.errback")
    return {
        "unregistered": bench.send("nowhere", link_error=errback),
        "expired": bench.send("plain", "return", 1, expires=-1),
        "nobody consumes": bench.send("plain", "return", 1, queue="nobody"),
        "after": bench.send("plain", "return", 1),
    }


# --- outages ---


def outage(bench: Bench, what: str) -> None:
    """Stop Redis until the worker has noticed, then start it again."""
    getattr(bench.server, what)()
    assert bench.workers[0].wait_for_line("Connection to broker lost", 10)
    bench.server.up()
    bench.listen()


def idle(what: str):
    def run(bench: Bench) -> dict[str, str]:
        before = bench.send("plain", "return", 1)
        assert bench.rest(before)
        outage(bench, what)
        return {
            "before": before,
            "after": bench.send("plain", "return", 1),
            "after, late": bench.send("late", "return", 1),
        }

    return run


def in_a_body(bench: Bench) -> dict[str, str]:
    """Redis is there again before the body ends."""
    ids = {"early": bench.send("plain", "sleep", 2)}
    bench.started(ids["early"])
    outage(bench, "down")
    return ids


def publishing_after(bench: Bench) -> dict[str, str]:
    """A link is published before the outage and after it, by the same process of the pool."""
    link = bench.app.signature("real.plain", args=("return", 2), immutable=True)

    def send(*args: object) -> dict[str, str]:
        linked = link.clone().set(task_id=str(uuid4()))
        task = bench.send("plain", *args, link=linked)
        return {"task": task, "link": linked.id}

    first = send("return", 1)
    assert bench.rest(first["link"])
    second = send("sleep", 2)
    bench.started(second["task"])
    outage(bench, "down")
    return {**{f"{k} before": v for k, v in first.items()}, **second}


def late_in_a_body(bench: Bench) -> dict[str, str]:
    """Likewise, with messages that are not acknowledged."""
    ids = {
        "late": bench.send("late", "sleep", 0.8),
        "ETA": bench.send("plain", "return", 1, countdown=2),
    }
    bench.started(ids["late"])
    assert bench.wait(lambda: bench.held(ids["ETA"]))
    outage(bench, "down")
    return {**ids, "after": bench.send("plain", "return", 1)}


#: Since kombu 5.7 with Celery 5.7 the worker dies of "Unrecoverable error: 'NoneType' object
#: has no attribute 'hostname'" when its connection is lost while it holds a message; its pool
#: ends what it runs, and the message is left to other workers.
WORKER_DIES = {
    "late": Outcome("STARTED SUCCESS", "slept", "on_success task_success", left=1),
    "ETA": replace(UNTOUCHED, left=1),
    "after": replace(UNTOUCHED, left=1),
}
#: It reconnects; what it held stays unacknowledged until the visibility timeout.
WORKER_LIVES = {**WORKER_DIES, "after": DONE}

AROUND = (
    Scenario("machine lost", machine_lost, MACHINE, config=SOON_AGAIN, concurrency=4),
    Scenario(
        "machine lost, deduplicated",
        machine_lost,
        {
            **MACHINE,
            "result stored, not acknowledged": Outcome("STARTED SUCCESS", "done", "on_success"),
        },
        config={**SOON_AGAIN, "worker_deduplicate_successful_tasks": True},
        concurrency=4,
    ),
    # Without "redelivered" nobody looks whether the task was done before.
    Scenario(
        "published twice",
        published_twice,
        BOTH_RUN,
        config={"worker_deduplicate_successful_tasks": True},
    ),
    # Both copies wait in the worker, and both begin when the ETA has come.
    Scenario(
        "ETA beyond the visibility timeout",
        eta_beyond_visibility,
        {"ETA": replace(TWICE, redelivered=(False, True))},
        config=SOON_AGAIN,
        concurrency=1,
    ),
    Scenario(
        "longer than the visibility timeout",
        longer_than_visibility,
        {
            "body, late": replace(
                TWICE, states="STARTED STARTED SUCCESS", result="slept", redelivered=(False, True)
            ),
            "body": replace(DONE, result="slept"),
        },
        config=SOON_AGAIN,
        concurrency=4,
    ),
    Scenario(
        "odd messages",
        odd_messages,
        {
            # Its errback is not called.
            "unregistered": Outcome(
                "FAILURE", "NotRegistered: 'real.nowhere'", retries=(), redelivered=()
            ),
            "expired": Outcome("REVOKED", "TaskRevokedError: expired", retries=(), redelivered=()),
            "nobody consumes": replace(UNTOUCHED, left=1),
            "after": DONE,
        },
    ),
    Scenario("outage, idle", idle("down"), {"before": DONE, "after": DONE, "after, late": DONE}),
    Scenario(
        "outage with loss of data, idle",
        idle("crash"),
        {"before": replace(DONE, result="PENDING"), "after": DONE, "after, late": DONE},
    ),
    Scenario("outage in a body", in_a_body, {"early": replace(DONE, result="slept")}),
    Scenario(
        "outage between two publications",
        publishing_after,
        {
            "task before": DONE,
            "link before": replace(DONE, result=2),
            "task": replace(DONE, result="slept"),
            "link": replace(DONE, result=2),
        },
        concurrency=1,
    ),
    Scenario("outage, messages held", late_in_a_body, WORKER_DIES, before=WORKER_LIVES),
)
