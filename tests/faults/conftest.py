"""A shop whose tasks go wrong in every way, and the crash points in a handy form."""

import time
from types import SimpleNamespace

import pytest
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.result import AsyncResult


@pytest.fixture
def shop(app):
    """Tasks by name; `shop.ran` lists what their bodies did."""
    ran = []
    late = {"acks_late": True}
    safe = {"acks_late": True, "reject_on_worker_lost": True}

    def effect(name, **options):
        @app.task(name=f"shop.{name}", **options)
        def body(value=None):
            ran.append(name)
            return value

        return body

    @app.task(name="shop.skip")
    def skip(value=None):
        raise Ignore

    @app.task(name="shop.refuse")
    def refuse(value=None):
        raise Reject("no", requeue=False)

    @app.task(name="shop.boom")
    def boom(value=None):
        ran.append("boom")
        raise ZeroDivisionError("boom")

    @app.task(name="shop.slow", **late)
    def slow(seconds):
        ran.append("begun")
        time.sleep(seconds)
        ran.append("done")
        return seconds

    @app.task(name="shop.tidy", soft_time_limit=5, time_limit=10)
    def tidy():
        try:
            time.sleep(1)
        except SoftTimeLimitExceeded:
            ran.append("tidied")
            return "given up"
        return "in time"

    @app.task(name="shop.fetch", bind=True, max_retries=3)
    def fetch(self, value=None):
        try:
            ran.append("fetch")
            return call(value)
        except ConnectionError as exc:
            raise self.retry(exc=exc, countdown=60) from exc

    def call(value):
        return value

    @app.task(name="shop.parent")
    def parent(value=None):
        return charge.s(1).apply_async().get(disable_sync_subtasks=False)

    @app.task(name="shop.await_nothing")
    def await_nothing():
        return AsyncResult("nobody", app=app).get(disable_sync_subtasks=False)

    @app.task(name="shop.again", bind=True, max_retries=None)
    def again(self):
        raise self.retry(countdown=1)

    charge = effect("charge")
    return SimpleNamespace(
        app=app,
        ran=ran,
        charge=charge,
        late=effect("late", **late),
        safe=effect("safe", **safe),
        ship=effect("ship"),
        quiet=effect("quiet", ignore_result=True),
        skip=skip,
        refuse=refuse,
        boom=boom,
        slow=slow,
        tidy=tidy,
        fetch=fetch,
        parent=parent,
        await_nothing=await_nothing,
        again=again,
    )
