"""The app that the real worker runs: small tasks that write down what happens to them.

Each line of the journal, a named pipe whose path is in ``CELERYFLOW_JOURNAL``, is one JSON
object. A task's name says how it is set up, its first argument what its body does.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time

from billiard.process import current_process
from billiard.util import get_logger
from celery import Celery, Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.signals import task_failure, task_retry, task_success

app = Celery("real", set_as_current=False)


def note(what: str, request=None, **more) -> None:
    """Write a line of the journal, in one write; without a reader it is lost."""
    line = {"what": what, "main": current_process().name == "MainProcess", **more}
    if request is not None:
        line["id"] = request.id
    path = os.environ.get("CELERYFLOW_JOURNAL")
    if path is None:
        return
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(pipe, (json.dumps(line) + "\n").encode())
    finally:
        os.close(pipe)


#: What a worker writes into its log -> the logger, and how it begins. A task's outcome does not
#: hold it: the main process deals with several, and says no id.
LOGGED = {
    "gave up": (get_logger(), "Pool callback raised exception"),
    "tried again": (logging.getLogger("celery.backends.base"), "Failed operation"),
}


class _Logged(logging.Handler):
    def __init__(self, what: str, text: str) -> None:
        super().__init__()
        self._what, self._text = what, text

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith(self._text):
            note(self._what)


for _what, (_logger, _text) in LOGGED.items():
    _logger.addHandler(_Logged(_what, _text))


class Noted(Task):
    """Writes down the calls of its handlers."""

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        note("on_retry", id=task_id, error=type(exc).__name__)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("on_failure", id=task_id, error=type(exc).__name__)

    def on_success(self, retval, task_id, args, kwargs):
        note("on_success", id=task_id)
        if "die after the result" in args and first_time(task_id):
            die()
        if "wait after the result" in args and first_time(task_id):
            time.sleep(60)


@task_failure.connect
def _failed(sender, task_id, exception, **kwargs):
    note("task_failure", id=task_id, error=type(exception).__name__)


@task_retry.connect
def _retried(sender, request, reason, **kwargs):
    note("task_retry", request)


@task_success.connect
def _succeeded(sender, **kwargs):
    note("task_success", sender.request)


def first_time(task_id: str) -> bool:
    """Whether nobody asked this about the task before, in whichever process."""
    try:
        os.close(os.open(f"{os.environ['CELERYFLOW_JOURNAL']}.{task_id}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def die():
    """Be killed, once the pool knows that the task has begun.

    A process that is gone before its word of acceptance was read has its job put back by the
    pool itself (`celery/concurrency/asynpool.py`, ``on_partial_read``): it runs again, as
    if nothing had happened, neither redelivered nor retried.
    """
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


def act(self, how="return", *args):
    """What a body does; see the cases."""
    request = self.request
    note(
        "start",
        request,
        retries=request.retries,
        redelivered=bool(request.delivery_info.get("redelivered")),
        limits=request.timelimit,
    )
    if how == "return":
        return args[0] if args else None
    if how == "fail":
        raise ValueError("boom")
    if how == "sleep, fail":
        time.sleep(args[0])
        raise ValueError("boom")
    if how == "sleep, retry first":
        if not request.retries:
            time.sleep(args[0])
            raise self.retry(countdown=1.5)
        return "second time"
    if how == "retry":
        raise self.retry(countdown=0.05)
    if how == "retry with its error":
        raise self.retry(countdown=0.05, exc=ValueError("boom"))
    if how == "retry in a handler":
        try:
            int("boom")
        except ValueError:
            raise self.retry(countdown=0.05)  # noqa: B904 - what a user may write
    if how == "fail twice":
        if request.retries < 2:
            raise ValueError("boom")
        return "third time"
    if how == "sleep":
        time.sleep(args[0])
        return "slept"
    if how == "sleep, clean up":
        try:
            time.sleep(args[0])
        except SoftTimeLimitExceeded:
            note("cleaned", request)
            return "cleaned"
    if how == "sleep, ignore the soft limit":
        try:
            time.sleep(args[0])
        except SoftTimeLimitExceeded:
            note("cleaned", request)
            time.sleep(args[0])
    if how == "sleep first":
        if first_time(request.id):
            time.sleep(args[0])
        return "second time"
    if how == "die":
        die()
    if how == "die first":
        if first_time(request.id):
            die()
        return "second time"
    if how == "exit":
        raise SystemExit(3)
    if how == "reject":
        raise Reject("no", requeue=False)
    if how == "requeue first":
        if first_time(request.id):
            raise Reject("not yet", requeue=True)
        return "second time"
    if how == "ignore":
        raise Ignore
    if how in {"die after the result", "wait after the result"}:
        return "done"
    raise AssertionError(how)


SOON = {"retry_kwargs": {"max_retries": 2, "countdown": 0.05}}
TASKS = {
    "plain": {"max_retries": 2},
    "late": {"acks_late": True, "max_retries": 2},
    "late_keep": {"acks_late": True, "acks_on_failure_or_timeout": False, "max_retries": 2},
    "lost": {"reject_on_worker_lost": True},
    "late_lost": {"acks_late": True, "reject_on_worker_lost": True},
    "late_keep_lost": {
        "acks_late": True,
        "acks_on_failure_or_timeout": False,
        "reject_on_worker_lost": True,
    },
    "auto": {"autoretry_for": (ValueError,), **SOON},
    "auto_backoff": {
        "autoretry_for": (ValueError,),
        "retry_backoff": True,
        "retry_jitter": False,
        "retry_kwargs": {"max_retries": 2},
    },
    "soft": {"soft_time_limit": 0.4},
    "hard": {"time_limit": 0.6},
    "both": {"soft_time_limit": 0.4, "time_limit": 0.8},
    "late_hard": {"acks_late": True, "time_limit": 0.6},
    "late_keep_hard": {"acks_late": True, "acks_on_failure_or_timeout": False, "time_limit": 0.6},
    "late_keep_soft": {
        "acks_late": True,
        "acks_on_failure_or_timeout": False,
        "soft_time_limit": 0.4,
    },
    "late_hard_lost": {"acks_late": True, "time_limit": 0.6, "reject_on_worker_lost": True},
}
#: `retry_on_worker_lost` came with Celery 5.7; before, it is an attribute that nobody reads.
AGAIN = {"retry_on_worker_lost": True, "default_retry_delay": 0.05, "max_retries": 2}
TASKS |= {
    "again": AGAIN,
    "late_again": {"acks_late": True, **AGAIN},
    "lost_again": {"reject_on_worker_lost": True, **AGAIN},
    "late_lost_again": {"acks_late": True, "reject_on_worker_lost": True, **AGAIN},
    "again_ignored": {"ignore_result": True, **AGAIN},
}

for _name, _options in TASKS.items():
    app.task(act, name=f"real.{_name}", base=Noted, bind=True, shared=False, **_options)


@app.task(name="real.errback", shared=False)
def errback(request, exc, traceback):
    """An errback of three arguments: Celery calls it in place."""
    note("errback", id=request.id, error=type(exc).__name__)


@app.task(name="real.errback_published", shared=False)
def errback_published(task_id):
    """An errback of one argument: Celery publishes it, with the id of the failed task."""
    note("errback_published", id=task_id)


@app.task(name="real.collect", shared=False, bind=True, base=Noted)
def collect(self, values):
    """The body of a chord: what its header gave it."""
    redelivered = bool(self.request.delivery_info.get("redelivered"))
    note("start", self.request, retries=self.request.retries, redelivered=redelivered)
    return values


@app.task(name="real.callback", shared=False)
def callback(value, task_id):
    note("callback", id=task_id)
