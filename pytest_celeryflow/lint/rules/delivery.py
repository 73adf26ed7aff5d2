"""Rules about acknowledging: when a message is handed out again, and when it is lost.

Relies on `celery/worker/request.py:Request` and on the visibility timeouts of kombu's transports.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import app_rule
from pytest_celeryflow.lint.rules.delays import duration
from pytest_celeryflow.lint.rules.retries import longest_delay

__all__ = ["acks_late_loses_work", "limit_past_visibility", "retry_past_visibility"]


@app_rule("CF201", "acks-late-loses-work")
def acks_late_loses_work(app: AppView) -> Iterator[Trouble]:
    """A task is acknowledged late, and yet lost when its process is killed.

    Sees: `acks_late` without `reject_on_worker_lost`, of a task or in the settings.

    Why: it is a choice, and half of it is rarely meant. If the whole worker goes, the message is
    handed out again. If only the pool's process goes, as it does when memory runs out, the worker
    acknowledges the message and stores WorkerLostError: the work is lost. With
    `reject_on_worker_lost=True` it is handed out again; a task that kills its process each time is
    then run for ever, so give it a limit of memory or a count of its own.

    Celery: `worker/request.py:Request.on_failure` requeues a lost task only if
    `task.reject_on_worker_lost`. 5.7 has `retry_on_worker_lost` too, which counts tries.

    Repair: set `reject_on_worker_lost=True` where the task may run twice, or leave `acks_late` out.

    Bad:
        @app.task(acks_late=True)
        def charge(order):
            return order

        app

    Good:
        @app.task(acks_late=True, reject_on_worker_lost=True)
        def charge(order):
            return order

        app
    """
    hint = "reject_on_worker_lost=True, if the task may run twice"
    message = "acks_late, but a task whose process is killed is acknowledged and lost"
    by_settings = app.conf.task_acks_late and not app.conf.task_reject_on_worker_lost
    alike = [
        task
        for task in app.tasks.values()
        if task.acks_late
        and not task.reject_on_worker_lost
        and not getattr(task, "retry_on_worker_lost", False)
    ]
    if by_settings and alike:
        yield Trouble("task_acks_late", message, f"task_{hint.replace('the task', 'tasks')}")
        return
    for task in alike:
        yield Trouble(task.name, message, hint, task=task.name)


@app_rule("CF208", "retry-past-visibility-timeout")
def retry_past_visibility(app: AppView) -> Iterator[Trouble]:
    """A retry waits for longer than the broker waits for an acknowledgement.

    Sees: a task with `autoretry_for` whose longest delay is past the `visibility_timeout` of Redis
    or Amazon SQS. What `self.retry(countdown=…)` is given is not seen.

    Why: a retry is a message with an ETA. A worker holds it until then, and after the visibility
    timeout the broker hands it to another worker: the retry runs twice, and each may retry again.

    Celery: `app/task.py:Task.retry` publishes with a countdown; `worker/strategy.py:default` holds
    it; `kombu/transport/redis.py:QoS.restore_visible` gives it back.

    Repair: raise `visibility_timeout`, or lower `retry_backoff_max`.

    Bad:
        @app.task(autoretry_for=(OSError,), default_retry_delay=7200)
        def download(url):
            return url

        app

    Good:
        app.conf.broker_transport_options = {"visibility_timeout": 86_400}

        @app.task(autoretry_for=(OSError,), default_retry_delay=7200)
        def download(url):
            return url

        app
    """
    timeout = app.visibility_timeout
    if timeout is None:
        return
    for task in app.tasks.values():
        delay = longest_delay(task)
        if delay is not None and delay > timeout:
            yield Trouble(
                task.name,
                f"a retry waits for up to {duration(delay)}; the broker hands it out again "
                f"after {duration(timeout)}",
                f'broker_transport_options = {{"visibility_timeout": {int(delay * 1.5)}}}',
                task=task.name,
            )


@app_rule("CF209", "limit-past-visibility-timeout")
def limit_past_visibility(app: AppView) -> Iterator[Trouble]:
    """A task that is acknowledged late may run for longer than the broker waits.

    Sees: `acks_late` and a time limit past the `visibility_timeout` of Redis or Amazon SQS.

    Why: while the task still runs, the broker hands its message to another worker, which runs it a
    second time. A message that a worker has fetched and not begun counts too.

    Celery: with `acks_late`, `worker/request.py:Request.on_success` acknowledges when the task is
    done; `kombu/transport/redis.py:QoS.restore_visible` gives back what is unacknowledged.

    Repair: set `visibility_timeout` above the longest time limit, or lower the limit.

    Bad:
        @app.task(acks_late=True, reject_on_worker_lost=True, time_limit=7200)
        def export(name):
            return name

        app

    Good:
        app.conf.broker_transport_options = {"visibility_timeout": 10_800}

        @app.task(acks_late=True, reject_on_worker_lost=True, time_limit=7200)
        def export(name):
            return name

        app
    """
    timeout = app.visibility_timeout
    if timeout is None:
        return
    for task in app.tasks.values():
        soft, hard = app.limits(task)
        limit = hard or soft
        if task.acks_late and limit and limit > timeout:
            yield Trouble(
                task.name,
                f"it may run for {duration(limit)}; the broker hands it out again after "
                f"{duration(timeout)}",
                f'broker_transport_options = {{"visibility_timeout": {int(limit * 1.5)}}}',
                task=task.name,
            )
