"""The tasks that the workflows of `workflows.py` are made of, on an app of their own."""

from __future__ import annotations

import celery
from celery import Celery, chain, group, shared_task, signature
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

app = Celery("conformance", set_as_current=False)
app.conf.update(task_store_errors_even_if_ignored=False, result_extended=False)


class Refused(Exception):
    """An exception of the user's own, which pickles and travels by its arguments."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code, self.why = code, why


class Unserialisable(Exception):
    """One whose arguments JSON cannot carry."""

    def __init__(self) -> None:
        super().__init__(object())


@app.task
def add(x, y):
    return x + y


@app.task
def mul(x, y):
    return x * y


@app.task
def ident(x):
    return x


@app.task(typing=False)
def untyped(x):
    return x


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def collect(*args, **kwargs):
    return [list(args), kwargs] if kwargs else list(args)


@app.task
def fail(*_args):
    raise ValueError("no")


@app.task
def refuse(*_args):
    raise Refused(7, "because")


@app.task
def odd_error(*_args):
    raise Unserialisable


@app.task
def note(*_args, **_kwargs):
    return "noted"


@app.task
def on_error(request, exc, traceback):
    """Celery calls this kind of errback in place, without a message: it says that it ran."""
    noted.delay(type(exc).__name__, request.id is not None)


@app.task
def on_error_in_place(*_args):
    noted.delay()


@app.task
def noted(*_args):
    return "noted"


@app.task
def on_error_id(task_id):
    return task_id is not None


@app.task(ignore_result=True)
def silent(x):
    return x


@app.task(bind=True, max_retries=3)
def flaky(self, fails):
    if self.request.retries < fails:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(bind=True, max_retries=2)
def hopeless(self):
    raise self.retry(exc=Refused(1, "still"), countdown=0)


@app.task(bind=True, max_retries=2)
def hopeless_without_cause(self):
    raise self.retry(countdown=0)


@app.task(bind=True, max_retries=1)
def retry_within_except(self):
    try:
        raise KeyError("k")
    except KeyError:
        raise self.retry(countdown=0) from None


@app.task(bind=True, max_retries=3)
def retry_with_other_args(self, x):
    if x < 2:
        raise self.retry(args=(x + 1,), countdown=0)
    return x


@app.task(bind=True)
def retry_without_raising(self):
    if self.request.retries == 0:
        self.retry(countdown=0, throw=False)
        return "first"
    return "second"


@app.task
def raise_retry():
    raise Retry("later", when=0)


@app.task(
    bind=True, autoretry_for=(Refused,), max_retries=3, retry_backoff=True, retry_backoff_max=0
)
def auto(self, fails):
    if self.request.retries < fails:
        raise Refused(self.request.retries, "auto")
    return self.request.retries


@app.task(
    bind=True, autoretry_for=(Exception,), dont_autoretry_for=(KeyError,), default_retry_delay=0
)
def auto_but(self):
    raise KeyError("not this one")


@app.task
def reject():
    raise Reject("no reason", requeue=False)


@app.task(acks_late=True)
def reject_late():
    raise Reject("no reason", requeue=False)


@app.task(bind=True, acks_late=True)
def reject_once(self):
    if not self.request.delivery_info["redelivered"]:
        raise Reject("again", requeue=True)
    return "second"


@app.task(acks_late=True)
def late(x):
    return x


@app.task(acks_late=True, acks_on_failure_or_timeout=False)
def late_failing():
    raise ValueError("no")


@app.task
def ignore():
    raise Ignore


@app.task(bind=True)
def ignore_with_state(self):
    self.update_state(state="CUSTOM", meta={"a": 1})
    raise Ignore


@app.task(bind=True)
def progress(self):
    self.update_state(state="PROGRESS", meta={"at": 1})
    return self.AsyncResult(self.request.id).state


@app.task
def system_exit():
    raise SystemExit(1)


@app.task
def soft_limit():
    raise SoftTimeLimitExceeded


@app.task(bind=True)
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
        "hostname": request.hostname is not None,
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


@app.task(bind=True)
def family(self, *_args):
    request = self.request
    return [request.parent_id is None, request.root_id == request.id, request.group is None]


@app.task(bind=True)
def chained_on(self, x):
    return len(self.request.chain or [])


@app.task(bind=True)
def stamps(self):
    return [sorted(self.request.stamped_headers or ()), dict(self.request.stamps or {})]


@app.task(bind=True)
def replaced_by(self, text):
    return self.replace(signature(text, app=self.app))


@app.task(bind=True)
def countdown_by_replacing(self, n):
    if n:
        return self.replace(countdown_by_replacing.s(n - 1))
    return "zero"


@app.task(bind=True)
def replaced_by_group(self, n):
    return self.replace(group(add.s(i, 1) for i in range(n)))


@app.task(bind=True)
def replaced_by_chain(self, x):
    return self.replace(chain(add.s(x, 1), mul.s(2)))


@app.task(bind=True)
def replaced_by_chord(self, n):
    return self.replace(group(ident.s(i) for i in range(n)) | total.s())


@app.task(bind=True)
def grows(self, x):
    self.add_to_chord(ident.si(100))
    return x


@app.task
def launches(x):
    add.delay(x, 1)
    chain(add.s(x, 1), mul.s(2)).delay()
    return x


@app.task
def waits(x):
    return add.delay(x, 1).get(timeout=5)


@app.task
def waits_anyway(x):
    return add.delay(x, 1).get(timeout=5, disable_sync_subtasks=False)


@app.task
def returns_unserialisable():
    return object()


@app.task(bind=True, typing=True)
def bound_method(self, x):
    return [self.name.rpartition(".")[2], x]


@app.task(serializer="pickle")
def pickled(x):
    return sorted(x)


@app.task(name="named.elsewhere")
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


@app.task(base=Counted)
def counted(x):
    return x


@app.task(base=Hooked)
def hooked(x):
    return x


@app.task(base=Hooked)
def hooked_failing():
    raise ValueError("no")


@app.task(base=Hooked, bind=True)
def hooked_retrying(self):
    if not self.request.retries:
        raise self.retry(countdown=0)
    return "done"


class BrokenHook(celery.Task):
    """A hook that fails."""

    abstract = True

    def on_success(self, retval, task_id, args, kwargs):
        raise RuntimeError("in the hook")


@app.task(base=BrokenHook)
def broken_hook(x):
    return x


class InstanceState(celery.Task):
    """State kept on the task object between executions in one process."""

    abstract = True
    seen = 0


@app.task(base=InstanceState, bind=True)
def remembers(self, _=None):
    type(self).seen += 1
    return type(self).seen > 0
