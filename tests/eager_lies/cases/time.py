"""Time: delays, expiry, limits."""

import time

from celery import Celery, chain
from celery.exceptions import SoftTimeLimitExceeded

from tests.eager_lies.lie import lie


@lie(
    title="A countdown is over at once",
    eager="`countdown` and `eta` have no effect.",
    worker="It is executed an hour later.",
    why="`celery/app/task.py:Task.apply` takes no `countdown` and no `eta`",
    differs=("elapsed",),
    against="sim",
)
def countdown(app: Celery):
    @app.task
    def remind():
        return "reminded"

    return remind.s().set(countdown=3600)


@lie(
    title="A retry in an hour comes at once",
    eager="Three attempts take no time, and nobody notices that a service needs longer.",
    worker="The third attempt is two hours later.",
    why="`celery/app/task.py:Task.apply` calls the signature of the retry in place",
    differs=("elapsed",),
    against="sim",
)
def retry_countdown(app: Celery):
    @app.task(bind=True, max_retries=2)
    def charge(self):
        if self.request.retries < 2:
            raise self.retry(countdown=3600)
        return "paid"

    return charge.s()


@lie(
    title="What has expired is executed",
    eager="`expires` has no effect.",
    worker="It waits for longer than it may, and is revoked.",
    why="`celery/worker/request.py:Request.maybe_expire` is a worker's",
    differs=("value", "state", "exception", "executions of quote"),
    against="sim",
)
def expires(app: Celery):
    @app.task
    def quote():
        return "today's price"

    return quote.s().set(countdown=60, expires=30)


@lie(
    title="There is no rate limit",
    eager="Three calls take no time.",
    worker="One a minute, as the task says.",
    why="`celery/worker/consumer/consumer.py:Consumer._limit_task` is a worker's",
    differs=("elapsed",),
    against="sim",
)
def rate_limit(app: Celery):
    @app.task(rate_limit="1/m")
    def call_api(number):
        return number

    return chain(call_api.si(1), call_api.si(2), call_api.si(3))


@lie(
    title="A soft time limit does not interrupt",
    eager="The task sleeps as long as it likes.",
    worker="It is interrupted, and what it does about that is part of the workflow.",
    why="`celery/concurrency/prefork.py:TaskPool` enforces limits; in place there is no pool",
    differs=("value",),
    against="sim",
)
def soft_limit(app: Celery):
    @app.task(soft_time_limit=0.01)
    def report():
        try:
            time.sleep(0.03)
        except SoftTimeLimitExceeded:
            return "half a report"
        return "a report"

    return report.s()


@lie(
    title="A hard time limit does not kill",
    eager="The task returns.",
    worker="Its process is killed, and what comes after it never runs.",
    why="`celery/worker/request.py:Request.on_timeout` is a worker's",
    differs=("value", "state", "exception", "executions of send"),
    against="sim",
)
def hard_limit(app: Celery):
    @app.task(time_limit=0.01)
    def report():
        time.sleep(0.03)
        return "a report"

    @app.task
    def send(report):
        return f"sent {report}"

    return chain(report.s(), send.s())
