"""What a task knows of itself, and may do."""

from celery import Celery, chain, chord
from celery.signals import before_task_publish

from tests.eager_lies.lie import lie


@lie(
    title="A chain has no parents",
    eager="Each step says that it is the first: `parent_id` is `None`.",
    worker="It names the step before.",
    why="`celery/app/task.py:Task.apply` takes the parent from the task that is running",
    differs=("value",),
)
def parents(app: Celery):
    @app.task
    def fetch():
        return 1

    @app.task(bind=True)
    def has_parent(self, _):
        return self.request.parent_id is not None

    return chain(fetch.s(), has_parent.s())


@lie(
    title="A task does not know the workflow that it is in",
    eager="`request.chain`, `request.group` and `request.chord` are `None`.",
    worker="They say what comes next, and whose member it is.",
    why="`celery/app/task.py:Task.apply` makes a request without them",
    differs=("value",),
)
def membership(app: Celery):
    @app.task(bind=True)
    def knows(self):
        return self.request.group is not None, self.request.chord is not None

    @app.task
    def collect(known):
        return known

    return chord([knows.s()], collect.s())


@lie(
    title="There is no `redelivered`",
    eager="`delivery_info` has no such key: a task that looks for duplicates fails.",
    worker="It has, for every message.",
    why="`celery/app/task.py:Task.apply` makes up a `delivery_info` of its own",
    differs=("value", "exception"),
)
def redelivered(app: Celery):
    @app.task(bind=True)
    def charge(self):
        return "again" if self.request.delivery_info["redelivered"] else "first"

    return charge.s()


@lie(
    title="Signals of publishing are not sent",
    eager="`before_task_publish` is never sent: a header that it adds is missing.",
    worker="The task is given the header. So are tracing and audit, which live of it.",
    why="`celery/app/amqp.py:AMQP` sends it with a message, and there is none",
    differs=("value",),
)
def signals(app: Celery):
    def add_tenant(headers, **_):
        headers["tenant"] = "acme"

    app.add_tenant = add_tenant  # signals hold their receivers weakly
    before_task_publish.connect(add_tenant, sender="shop.whose")

    @app.task(bind=True, name="shop.whose")
    def whose(self):
        return self.request.get("tenant")

    return whose.s()


@lie(
    title="Stamps are lists",
    eager="Each stamp has become a list of one.",
    worker="A stamp is what was stamped.",
    why="`celery/app/task.py:Task.apply` calls `maybe_list` on each",
    differs=("value",),
)
def stamps(app: Celery):
    @app.task(bind=True)
    def tenant(self):
        return self.request.stamps["tenant"]

    canvas = tenant.s()
    canvas.stamp(tenant="acme")
    return canvas


@lie(
    title="A task that ignores its result has one",
    eager="The value is there, whatever `ignore_result` says.",
    worker="There is none: `None`.",
    why="`celery/result.py:EagerResult` holds what the task returned",
    differs=("value", "state"),
)
def ignored_result(app: Celery):
    @app.task(ignore_result=True)
    def log(line):
        return line

    return log.s("hello")


@lie(
    title="A member that ignores its result counts",
    eager="The chord's body is given the value.",
    worker="The header can never be put together; with the key-value logic the chord fails.",
    why="`celery/backends/base.py:BaseKeyValueStoreBackend.on_chord_part_return` joins what was stored",
    differs=("value", "exception", "executions of count"),
    against="sim",
    options={"backend": "memory"},
)
def ignored_member(app: Celery):
    @app.task(ignore_result=True)
    def log(line):
        return line

    @app.task
    def count(lines):
        return len(lines)

    return chord([log.s("a"), log.s("b")], count.s())


@lie(
    title="A task cannot replace itself",
    eager="The replacement is called in place, and to wait for it is refused.",
    worker="It takes the place of the task.",
    why="`celery/app/task.py:Task.on_replace` calls `get()`, and `Task.apply_async` has forbidden it",
    differs=("value", "exception"),
)
def replaced(app: Celery):
    @app.task
    def resize(width):
        return f"{width} wide"

    @app.task(bind=True)
    def thumbnail(self):
        return self.replace(resize.s(100))

    return thumbnail.s()


@lie(
    title="A chord cannot be added to",
    eager="`add_to_chord` says that the task is in no chord.",
    worker="It is added, where the result store can do that (Redis).",
    why="`celery/app/task.py:Task.add_to_chord` reads `request.chord`, which is not set",
    differs=("value", "exception"),
    against="sim",
    options={"backend": "redis"},
    needs_redis=True,
)
def added(app: Celery):
    @app.task
    def page(number):
        return number

    @app.task(bind=True)
    def index(self):
        self.add_to_chord(page.si(2))
        return 1

    @app.task
    def total(pages):
        return sum(pages)

    return chord([index.s()], total.s())
