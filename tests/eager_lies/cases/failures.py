"""What fails, and who learns of it."""

from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject

from tests.eager_lies.lie import lie


@lie(
    title="The exception of a task comes out of `apply_async()`",
    eager="A chain that goes on after the task that fails raises where it is published.",
    worker="Publishing succeeds; the exception comes out of `result.get()`.",
    why="`celery/canvas.py:_chain.apply` asks each step for its result",
    differs=("raised",),
)
def from_publishing(app: Celery):
    @app.task
    def charge():
        raise ValueError("declined")

    @app.task
    def ship(receipt):
        return "shipped"

    return chain(charge.s(), ship.s())


@lie(
    title="The errback of a chord's body is not called",
    eager="The exception of the header leaves the chord before anybody looks at the body.",
    worker="It is called: the body will never run, and its errback is told why.",
    why="`celery/backends/base.py:Backend.chord_error_from_stack` is called by a worker's tracer",
    differs=("errback alert called",),
)
def chord_errback(app: Celery):
    @app.task
    def fetch(page):
        raise ValueError(f"no page {page}")

    @app.task
    def join(pages):
        return "".join(pages)

    @app.task
    def alert(request, exc, traceback):
        return f"alert: {exc}"

    return chord([fetch.s(1)], join.s().on_error(alert.s()))


@lie(
    title="A member that is ignored counts",
    eager="The body is called with `None` in its place.",
    worker="The member never reports, and the body never runs.",
    why="`celery/result.py:EagerResult.get` returns `None` for what is neither success nor failure",
    differs=("value", "raised", "executions of count"),
    against="sim",
)
def ignored(app: Celery):
    @app.task
    def fetch(page):
        if page == 2:
            raise Ignore
        return page

    @app.task
    def count(pages):
        return len(pages)

    return chord([fetch.s(1), fetch.s(2)], count.s())


@lie(
    title="What is rejected is not delivered again",
    eager="The task is called once.",
    worker="`requeue=True` gives the message back to the queue, and it is delivered again.",
    why="`celery/worker/request.py:Request.reject` is a worker's",
    differs=("value", "executions of import_file"),
)
def rejected(app: Celery):
    locked = ["by another"]

    @app.task(acks_late=True)
    def import_file():
        if locked:
            locked.pop()
            raise Reject("locked", requeue=True)
        return "imported"

    return import_file.s()


@lie(
    title="A member that is rejected counts",
    eager="The body is called with `None` in its place.",
    worker="""The body never runs. Since Celery 5.7 the chord fails with `Reject`; before, its result
    never comes.""",
    why="`celery/result.py:EagerResult.get` returns `None` for what is neither success nor failure",
    differs=("value", "executions of count"),
    against="sim",
)
def rejected_member(app: Celery):
    @app.task
    def fetch(page):
        if page == 2:
            raise Reject("no such page", requeue=False)
        return page

    @app.task
    def count(pages):
        return len(pages)

    return chord([fetch.s(1), fetch.s(2)], count.s())


@lie(
    title="`retry(throw=False)` is forgotten",
    eager="Nothing is published, and only the `Retry` that is raised is acted on.",
    worker="The next attempt is a message, and is executed.",
    why="`celery/app/task.py:Task.retry` publishes when the request is not eager",
    differs=("executions of poll", "retries of poll"),
)
def retry_quietly(app: Celery):
    @app.task(bind=True)
    def poll(self):
        if self.request.retries == 0:
            self.retry(countdown=0, throw=False)
        return "polled"

    return poll.s()


@lie(
    title="A hook that fails reaches the caller",
    eager="What `on_success` raises comes out of `apply_async()`.",
    worker="It is logged. The task has succeeded.",
    why="`celery/app/trace.py:build_tracer` raises what is not the task's own when it is eager",
    differs=("state", "raised"),
)
def hook(app: Celery):
    class Audited(app.Task):
        def on_success(self, retval, task_id, args, kwargs):
            raise RuntimeError("the audit log is full")

    @app.task(base=Audited)
    def charge():
        return "paid"

    return charge.s()


@lie(
    title="A task that is replaced by one that fails alerts twice",
    eager="The replacement fails inside the task that it replaces, which then fails too.",
    worker="The task has ended when it is replaced; its errback is called once.",
    why="`celery/app/task.py:Task.on_replace` waits for the replacement when it is eager",
    differs=("errback alert called",),
)
def replaced_fails(app: Celery):
    @app.task
    def charge_card():
        raise ValueError("declined")

    @app.task(bind=True)
    def charge(self):
        return self.replace(charge_card.s())

    @app.task
    def alert(request, exc, traceback):
        return f"alert: {exc}"

    return charge.s().on_error(alert.s())


@lie(
    title="`sys.exit()` in a task ends the caller",
    eager="`SystemExit` comes out of `apply_async()`, and takes the web server with it.",
    worker="""A process of the pool exits, and another takes its place. The task has failed; before
    Celery 5.7 its result never comes.""",
    why="`celery/app/trace.py:build_tracer` lets it through; a pool's process is not its caller",
    differs=("state", "exception", "raised"),
    varies=("state", "exception", "raised"),
    against="sim",
)
def exits(app: Celery):
    @app.task
    def convert():
        raise SystemExit(1)

    return convert.s()


@lie(
    title="An inner chord's failure keeps its name",
    eager="The outer chord raises what the task raised.",
    worker="It raises `ChordError`: what the inner body raised is only in its text.",
    why="`celery/backends/base.py:Backend.on_chord_part_return` wraps what a part raised",
    differs=("exception",),
)
def chord_error(app: Celery):
    @app.task
    def fetch(page):
        if page == 1:
            raise ValueError("no such page")
        return page

    @app.task
    def count(pages):
        return len(pages)

    inner = chord([fetch.s(1), fetch.s(2)], count.s())
    return chord(group(inner, fetch.s(3)), count.s())
