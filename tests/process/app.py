"""The app of these tests: importable, so that worker processes find it."""

from __future__ import annotations

import os
import signal
import sys
import time

from celery import Celery
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.worker.request import Request

app = Celery("tests.process.app", set_as_current=False)
app.conf.update(task_default_queue="celery")


@app.task(shared=False)
def add(x, y):
    return x + y


@app.task(shared=False)
def total(numbers):
    return sum(numbers)


@app.task(shared=False)
def pair(x):
    return {"given": x, "process": os.getpid()}


@app.task(shared=False, acks_late=True)
def late(x):
    return x


@app.task(shared=False, acks_late=True, reject_on_worker_lost=True)
def late_lost(x):
    return x


@app.task(shared=False)
def fail(x):
    raise KeyError(x)


@app.task(shared=False, bind=True, max_retries=3)
def flaky(self, fails):
    if self.request.retries < fails:
        raise self.retry(exc=KeyError("again"), countdown=0.05)
    return self.request.retries


@app.task(shared=False)
def sleep(seconds):
    time.sleep(seconds)
    return "slept"


@app.task(shared=False)
def patient(seconds):
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "slept"


@app.task(shared=False)
def launches(x):
    return add.delay(x, 1).id


@app.task(shared=False)
def ignores(x):
    raise Ignore("nobody asked")


@app.task(shared=False, acks_late=True, bind=True)
def fussy(self, x):
    if not self.request.delivery_info["redelivered"]:
        raise Reject("not now", requeue=True)
    return x


@app.task(shared=False)
def says(text):
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a task that writes


@app.task(shared=False)
def on_error(request, exc, traceback):
    return type(exc).__name__


@app.task(shared=False)
def noted(*args):
    return "noted"


class Doomed(Request):
    """A request whose worker is killed when it has sent its acknowledgement, or just before."""

    def acknowledge(self):
        channel = self.message.channel
        wire, name = (channel, "send_method") if hasattr(channel, "send_method") else (channel.qos, "ack")
        send = getattr(wire, name)

        def last(*args, **kwargs):
            if "before" not in self.argsrepr:
                send(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(wire, name, last)
        super().acknowledge()


@app.task(shared=False, acks_late=True, bind=True, Request="tests.process.app:Doomed")
def doomed(self, when):
    return self.request.delivery_info["redelivered"]


class Refused(Exception):
    """An exception of the app's own."""

    def __init__(self, code, why):
        super().__init__(code, why)
        self.code, self.why = code, why
