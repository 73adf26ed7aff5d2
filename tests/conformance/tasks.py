"""The tasks that the workflows of `workflows.py` are made of, on an app of their own."""

from __future__ import annotations

from functools import partial

import celery
from celery import Celery, chain, group, shared_task, signature
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

app = Celery("conformance", set_as_current=False)

#: Not shared: other apps in the same process must not get these tasks.
task = partial(app.task, shared=False)


class Refused(Exception):
    """An exception of the user's own, which pickles and travels by its arguments."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code, self.why = code, why


class Unserialisable(Exception):
    """One whose arguments JSON cannot carry."""

    def __init__(self) -> None:
        super().__init__(object())


@task
def add(x, y):
    return x + y


@task
def mul(x, y):
    return x * y


@task
def ident(x):
    return x


@task(typing=False)
def untyped(x):
    return x


@task
def total(numbers):
    return sum(numbers)


@task
def collect(*args, **kwargs):
    return [list(args), kwargs] if kwargs else list(args)


@task
def fail(*_args):
    raise ValueError("no")


@task
def refuse(*_args):
    raise Refused(7, "because")


@task
def odd_error(*_args):
    raise Unserialisable


@task
def note(*_args, **_kwargs):
    return "noted"


@task
def on_error(request, exc, traceback):
    """Celery calls this kind of errback in place, without a message: it says that it ran."""
    noted.delay(type(exc).__name__, request.id is not None)


@task
def on_error_in_place(*_args):
    noted.delay()


@task
def noted(*_args):
    return "noted"


@task
def on_error_id(task_id):
    return task_id is not None


@task(ignore_result=True)
def silent(x):
    return x


@task(bind=True, max_retries=3)
def flaky(self, fails):
    if self.request.retries < fails:
        raise self.retry(countdown=0)
    return self.request.retries


@task(bind=True, max_retries=2)
def hopeless(self):
    raise self.retry(exc=Refused(1, "still"), countdown=0)


@task(bind=True, max_retries=2)
def hopeless_without_cause(self):
    raise self.retry(countdown=0)


@task(bind=True, max_retries=1)
def retry_within_except(self):
    try:
        {}["k"]
    except KeyError:
        raise self.retry(countdown=0) from None


@task(bind=True, max_retries=3)
def retry_with_other_args(self, x):
    if x < 2:
        raise self.retry(args=(x + 1,), countdown=0)
    return x


@task(bind=True)
def retry_without_raising(self):
    if self.request.retries == 0:
        self.retry(countdown=0, throw=False)
        return "first"
    return "second"


@task
def raise_retry():
    raise Retry("later", when=0)


@task(bind=True, autoretry_for=(Refused,), max_retries=3, retry_backoff=True, retry_backoff_max=0)
def auto(self, fails):
    if self.request.retries < fails:
        raise Refused(self.request.retries, "auto")
    return self.request.retries


@task(bind=True, autoretry_for=(Exception,), dont_autoretry_for=(KeyError,), default_retry_delay=0)
def auto_but(self):
    raise KeyError("not this one")


@task
def reject():
    raise Reject("no reason", requeue=False)


@task(acks_late=True)
def reject_late():
    raise Reject("no reason", requeue=False)


@task(bind=True, acks_late=True)
def reject_once(self):
    if not self.request.delivery_info["redelivered"]:
        raise Reject("again", requeue=True)
    return "second"


@task(acks_late=True)
def late(x):
    return x


@task(acks_late=True, acks_on_failure_or_timeout=False)
def late_failing():
    raise ValueError("no")


@task
def ignore():
    raise Ignore


@task(bind=True)
def ignore_with_state(self):
    self.update_state(state="CUSTOM", meta={"a": 1})
    raise Ignore


@task(bind=True)
def progress(self):
    self.update_state(state="PROGRESS", meta={"at": 1})
    return self.AsyncResult(self.request.id).state


@task
def system_exit():
    raise SystemExit(1)


@task
def soft_limit():
    raise SoftTimeLimitExceeded


@task(bind=True)
def told(self, *_args, **_kwargs):
    request = self.request
    return {
        "args": list(request.args),
        "kwargs": dict(request.kwargs),
        "retries": request.retries,
        "eager": request.is_eager,
        "called_directly": request.called_directly,
        "redelivered": bool(request.delivery_info["redelivered"]),
        "queue": request.delivery_info["routing_key"],
        "hostname": request.hostname,
        "parent": request.parent_id is None,
        "root": request.root_id == request.id,
        "group": request.group is None,
        "chord": request.chord,
        "ignore_result": request.ignore_result,
        "headers": (request.headers or {}).get("trace"),
        "correlation": request.correlation_id == request.id,
        "expires": request.expires,
        "eta": request.eta,
        "timelimit": list(request.timelimit),
        "delivery": request.delivery_info["priority"],
    }


@task(bind=True)
def family(self, *_args):
    request = self.request
    return [request.parent_id is None, request.root_id == request.id, request.group is None]


@task(bind=True)
def chained_on(self, x):
    return len(self.request.chain or [])


@task(bind=True)
def stamps(self):
    return [sorted(self.request.stamped_headers or ()), dict(self.request.stamps or {})]


@task(bind=True)
def replaced_by(self, text):
    return self.replace(signature(text, app=self.app))


@task(bind=True)
def countdown_by_replacing(self, n):
    if n:
        return self.replace(countdown_by_replacing.s(n - 1))
    return "zero"


@task(bind=True)
def replaced_by_group(self, n):
    return self.replace(group(add.s(i, 1) for i in range(n)))


@task(bind=True)
def replaced_by_chain(self, x):
    return self.replace(chain(add.s(x, 1), mul.s(2)))


@task(bind=True)
def replaced_by_chord(self, n):
    return self.replace(group(ident.s(i) for i in range(n)) | total.s())


@task(bind=True)
def grows(self, x):
    self.add_to_chord(ident.si(100))
    return x


@task
def launches(x):
    add.delay(x, 1)
    chain(add.s(x, 1), mul.s(2)).delay()
    return x


@task
def waits(x):
    return add.delay(x, 1).get(timeout=5)


@task
def waits_anyway(x):
    return add.delay(x, 1).get(timeout=5, disable_sync_subtasks=False)


@task
def waits_twice(x):
    first = add.delay(x, 1)
    first.get(timeout=5, disable_sync_subtasks=False)
    return app.AsyncResult(first.id).get(disable_sync_subtasks=False)


@task
def returns_unserialisable():
    return object()


@task(bind=True, typing=True)
def bound_method(self, x):
    return [self.name.rpartition(".")[2], x]


@task(serializer="pickle")
def pickled(x):
    return sorted(x)


@task(name="named.elsewhere")
def named():
    return "named"


@shared_task
def shared(x):
    return [celery.current_task.name.rpartition(".")[2], x]


class Counted(celery.Task):
    """A base class of the user's own, which calls super."""

    abstract = True

    def __call__(self, *args, **kwargs):
        return ["called", super().__call__(*args, **kwargs)]


class Hooked(celery.Task):
    """Hooks that publish, so that the history shows that they ran."""

    abstract = True

    def before_start(self, task_id, args, kwargs):
        note.delay("before")

    def on_success(self, retval, task_id, args, kwargs):
        note.delay("success", retval)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note.delay("failure", type(exc).__name__)

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        note.delay("retry")

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        note.delay("after", status)


@task(base=Counted)
def counted(x):
    return x


@task(base=Hooked)
def hooked(x):
    return x


@task(base=Hooked)
def hooked_failing():
    raise ValueError("no")


@task(base=Hooked, bind=True)
def hooked_retrying(self):
    if not self.request.retries:
        raise self.retry(countdown=0)
    return "done"


class BrokenHook(celery.Task):
    """A hook that fails."""

    abstract = True

    def on_success(self, retval, task_id, args, kwargs):
        raise RuntimeError("in the hook")


@task(base=BrokenHook)
def broken_hook(x):
    return x


class InstanceState(celery.Task):
    """State kept on the task object between executions in one process."""

    abstract = True
    seen = 0


@task(base=InstanceState, bind=True)
def remembers(self, _=None):
    type(self).seen += 1
    return type(self).seen > 0


@task
def traced(told):
    return told["headers"]


@task(bind=True)
def own_id(self):
    return self.request.id


@task(bind=True, max_retries=3)
def flaky_later(self, fails):
    if self.request.retries < fails:
        raise self.retry(countdown=0.02)
    return self.request.retries


@task(bind=True)
def revokes(self):
    """Revoke a task that nobody published: it concerns nobody."""
    app.control.revoke("nobody")
    return self.name is not None


@task(bind=True)
def children(self):
    """Publish two tasks and wait for both, as one must not."""
    results = [ident.delay(n) for n in (1, 2)]
    return [r.get(timeout=5, disable_sync_subtasks=False) for r in results]


@task
def length(text):
    return len(text)


@task(acks_late=True, reject_on_worker_lost=True)
def late_again(x):
    return x


@task(bind=True, acks_late=True)
def late_told(self, *_args):
    return bool(self.request.delivery_info["redelivered"])


@task(bind=True, autoretry_for=(Exception,), max_retries=3, default_retry_delay=0)
def stubborn(self, x=None):
    return [self.request.retries, x]


@task(soft_time_limit=1, time_limit=2)
def limited(x):
    return x


@task(bind=True, max_retries=1)
def retries_once(self, *args):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return list(args)


@task(acks_late=True)
def late_collect(*args):
    return list(args)


@task(bind=True)
def replaced_by_collect(self, *args):
    return self.replace(collect.si(*args))


@task
def publishes(*args):
    note.delay()
    return list(args)


@task(bind=True)
def priority(self):
    return self.request.delivery_info["priority"]
