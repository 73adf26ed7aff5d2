"""What goes wrong within one worker: bodies, time limits, processes of its pool."""

from __future__ import annotations

from typing import Any

from tests.real.bench import Outcome
from tests.real.scenario import Call, calls

__all__ = ["ENDINGS", "LIMITS", "LOSSES"]

# --- how bodies end ---

FAILED = Outcome("STARTED FAILURE", "ValueError: boom", "errback on_failure task_failure")
#: Nobody ever says how it ended.
FORGOTTEN = Outcome("STARTED", "STARTED")
#: `Request.on_failure` of 5.7; before, a rejected task left no trace.
REJECTED = Outcome("STARTED FAILURE", "Reject: ('no', False)", "errback* task_failure*")


def retried(states: str, result: Any, end: str) -> Outcome:
    """Three executions, each published by the one before."""
    return Outcome(
        f"STARTED RETRY STARTED RETRY STARTED {states}",
        result,
        f"on_retry task_retry on_retry task_retry {end}",
        retries=(0, 1, 2),
        redelivered=(False, False, False),
    )


GAVE_UP = "errback on_failure task_failure"

ENDINGS = calls(
    "how bodies end",
    Call("plain", ("return", 5), Outcome("STARTED SUCCESS", 5, "on_success task_success")),
    Call("plain", ("fail",), FAILED),
    Call("late", ("fail",), FAILED),
    # The message is rejected, and yet it is a failure like any other.
    Call("late_keep", ("fail",), FAILED),
    Call("plain", ("ignore",), FORGOTTEN),
    Call("late", ("ignore",), FORGOTTEN),
    Call("plain", ("reject",), REJECTED, before=FORGOTTEN),
    Call("late", ("reject",), REJECTED, before=FORGOTTEN),
    # Acknowledged when it began: there is nothing to put back.
    Call("plain", ("requeue first",), FORGOTTEN),
    Call(
        "late",
        ("requeue first",),
        Outcome(
            "STARTED STARTED SUCCESS",
            "second time",
            "on_success task_success",
            retries=(0, 0),
            redelivered=(False, True),
        ),
    ),
    Call(
        "plain",
        ("retry",),
        retried(
            "FAILURE",
            "MaxRetriesExceededError: Can't retry real.plain args:('retry',) kwargs:{}",
            GAVE_UP,
        ),
    ),
    Call(
        "late",
        ("retry",),
        retried(
            "FAILURE",
            "MaxRetriesExceededError: Can't retry real.late args:('retry',) kwargs:{}",
            GAVE_UP,
        ),
    ),
    Call("plain", ("retry with its error",), retried("FAILURE", "ValueError: boom", GAVE_UP)),
    # The error that is being handled is not what the task fails with: `exc` was not given.
    Call(
        "plain",
        ("retry in a handler",),
        retried(
            "FAILURE",
            "MaxRetriesExceededError: Can't retry real.plain args:('retry in a handler',) "
            "kwargs:{}",
            GAVE_UP,
        ),
    ),
    Call("auto", ("fail",), retried("FAILURE", "ValueError: boom", GAVE_UP)),
    Call("auto", ("fail twice",), retried("SUCCESS", "third time", "on_success task_success")),
    Call("auto_backoff", ("fail",), retried("FAILURE", "ValueError: boom", GAVE_UP)),
)

# --- time limits ---

SOFT = Outcome(
    "STARTED FAILURE",
    "SoftTimeLimitExceeded: SoftTimeLimitExceeded()",
    "errback on_failure task_failure",
)
CLEANED = Outcome("STARTED SUCCESS", "cleaned", "cleaned on_success task_success")


def hard(seconds: float, first: str = "") -> dict[str, Outcome]:
    """A hard limit fails the task twice, on every version.

    The pool gives the job a result, so that `Request.on_failure` stores it, and tells
    `Request.on_timeout`, which stores it too (`celery/worker/request.py`, `billiard/pool.py`
    ``on_hard_timeout``). Since 5.7 the second calls the handlers as well.
    """
    states, result = "STARTED FAILURE FAILURE", f"TimeLimitExceeded: TimeLimitExceeded({seconds},)"
    twice = f"{first}errback* task_failure* errback*"
    return {
        "expected": Outcome(states, result, f"{twice} on_failure* task_failure*"),
        "before": Outcome(states, result, twice),
    }


LIMITS = calls(
    "time limits",
    Call("soft", ("sleep, clean up", 3), CLEANED),
    Call("soft", ("sleep", 3), SOFT),
    Call("late_keep_soft", ("sleep", 3), SOFT),
    Call("both", ("sleep, clean up", 3), CLEANED),
    Call("both", ("sleep", 3), SOFT),
    Call("both", ("sleep, ignore the soft limit", 3), **hard(0.8, "cleaned ")),
    Call("hard", ("sleep", 3), **hard(0.6)),
    Call("late_hard", ("sleep", 3), **hard(0.6)),
    # A time limit is no lost worker.
    Call("late_hard_lost", ("sleep", 3), **hard(0.6)),
    # Back in the queue at once; the failure in between is stored and told to the errback.
    Call(
        "late_keep_hard",
        ("sleep first", 3),
        Outcome(
            "STARTED FAILURE STARTED SUCCESS",
            "second time",
            "errback* on_failure* task_failure* on_success task_success",
            retries=(0, 0),
            redelivered=(False, True),
        ),
        before=hard(0.6)["before"],
    ),
    Call("plain", ("sleep", 3), SOFT, options={"soft_time_limit": 0.4}),
    Call("plain", ("sleep", 3), **hard(0.5), options={"time_limit": 0.5}),
    # A call's limit takes the place of the task's, also a longer one.
    Call("hard", ("sleep", 3), **hard(0.3), options={"time_limit": 0.3}),
    Call(
        "hard",
        ("sleep", 0.9),
        Outcome("STARTED SUCCESS", "slept", "on_success task_success"),
        options={"time_limit": 3},
    ),
)

# --- one process of the pool is lost ---

KILLED = "WorkerLostError: Worker exited prematurely: signal 9 (SIGKILL)"
LOST = Outcome("STARTED FAILURE", KILLED, "errback* task_failure*")
REQUEUED = Outcome(
    "STARTED STARTED SUCCESS",
    "second time",
    "on_success task_success",
    retries=(0, 0),
    redelivered=(False, True),
)
AGAIN = Outcome(
    "STARTED RETRY STARTED SUCCESS",
    "second time",
    "on_retry* task_retry* on_success task_success",
    retries=(0, 1),
    redelivered=(False, False),
)
AGAIN_UNTIL = Outcome(
    "STARTED RETRY STARTED RETRY STARTED FAILURE",
    KILLED,
    "on_retry* task_retry* on_retry* task_retry* errback* task_failure*",
    retries=(0, 1, 2),
    redelivered=(False, False, False),
)
EXITED = Outcome(
    "STARTED FAILURE",
    "WorkerLostError: Worker exited prematurely: exitcode 3.",
    "errback* task_failure*",
)

#: 5.7 looks whether the result is there before it calls a task lost.
DONE = Outcome("STARTED SUCCESS", "done", "on_success")
#: The result stays what it was, and yet the errback is told.
DONE_AND_LOST = Outcome("STARTED SUCCESS", "done", "on_success errback* task_failure*")

LOSSES = calls(
    "lost processes of the pool",
    Call("plain", ("die",), LOST),
    Call("late", ("die",), LOST),
    Call("late_keep", ("die",), LOST),
    Call("lost", ("die",), LOST),
    Call("late_lost", ("die first",), REQUEUED),
    Call("late_keep_lost", ("die first",), REQUEUED),
    Call("again", ("die first",), AGAIN, before=LOST),
    Call("again", ("die",), AGAIN_UNTIL, before=LOST),
    Call("late_again", ("die first",), AGAIN, before=LOST),
    Call("late_again", ("die",), AGAIN_UNTIL, before=LOST),
    Call("lost_again", ("die first",), AGAIN, before=LOST),
    Call("late_lost_again", ("die first",), AGAIN, before=REQUEUED),
    # Before 5.7 with billiard 4.3 the main process cannot store a SystemExit as JSON.
    Call("plain", ("exit",), EXITED, before=FORGOTTEN),
    Call("late", ("exit",), EXITED, before=FORGOTTEN),
    Call("plain", ("die after the result",), DONE, before=DONE_AND_LOST),
    Call("late", ("die after the result",), DONE, before=DONE_AND_LOST),
    Call(
        "late_lost",
        ("die after the result",),
        DONE,
        before=Outcome(
            "STARTED SUCCESS",
            "done",
            "on_success on_success task_success",
            retries=(0, 0),
            redelivered=(False, True),
        ),
    ),
)
