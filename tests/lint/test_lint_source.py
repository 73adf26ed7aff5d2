"""What is read from the source of tasks, and what is left alone."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import celery
import pytest

from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.lint import lint
from pytest_celeryflow.lint._source import definition, ends_with_nothing, retries_itself

app = FreshApp("shop", set_as_current=False)
app.conf.task_time_limit = 600


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Wrapped(celery.Task):
    abstract = True

    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs) or "done"


@app.task
def plain():
    repr(app)


@app.task
def early(x):
    if x:
        return
    repr(app)


@app.task(autoretry_for=(OSError,), retry_backoff=True)
def retried():
    repr(app)


@app.task
def returning(x):
    if x:
        return x
    return None


@app.task
def only_inside():
    def inner():
        return 1

    inner()


@app.task
def not_written_yet(): ...


@app.task
def yielding():
    yield 1


@app.task
def failing():
    raise ValueError


@app.task(bind=True)
def replaced(self):
    self.replace(plain.s())


@app.task
@logged
def decorated():
    repr(app)


@app.task(base=Wrapped)
def called_otherwise():
    repr(app)


made: dict = {}
exec("def without_source(x): pass", made)
without_source = app.task(name="shop.without_source")(made["without_source"])


@pytest.mark.parametrize("task", [plain, early, retried, only_inside], ids=lambda t: t.name)
def test_a_task_that_can_only_return_none(task):
    assert ends_with_nothing(task)


@pytest.mark.parametrize(
    "task",
    [
        returning,
        not_written_yet,
        yielding,
        failing,
        replaced,
        decorated,
        called_otherwise,
        without_source,
    ],
    ids=lambda t: t.name,
)
def test_a_task_that_may_return_something(task):
    assert not ends_with_nothing(task)


def test_a_task_without_source_is_not_judged():
    assert definition(without_source) is None
    assert not [each for each in lint(app) if each.path == "shop.without_source"]


@app.task(bind=True)
def by_self(self):
    raise self.retry()


@app.task
def by_name():
    by_name.retry()


@app.task
def of_another(client):
    client.retry()


@app.task(bind=True)
def deferred(self):
    return lambda later: self.retry(countdown=later)


def test_a_task_that_retries_itself():
    assert retries_itself(by_self)
    assert retries_itself(by_name)
    assert not retries_itself(deferred)
    assert not retries_itself(plain)


@app.task
def waits_by_name():
    result = plain.delay()
    return result.get(timeout=5)


@app.task
def waits_in_place():
    return plain.apply_async().wait()


@app.task
def waits_for_a_group():
    return celery.group(plain.s(), plain.s())().join()


@app.task
def waits_for_an_old_one(task_id):
    return app.AsyncResult(task_id).get()


@app.task
def gets_something_else(cache, task_id):
    found = cache.get("x") or {}
    thread = cache.thread()
    thread.join()
    return found.get(task_id), app.AsyncResult(task_id).state


def test_waiting_is_told_from_other_getting():
    found = [each.path.rpartition(".")[2] for each in lint(app) if each.code == "CF210"]
    assert found == [
        "waits_by_name",
        "waits_for_a_group",
        "waits_for_an_old_one",
        "waits_in_place",
    ]


def atomic(function):
    return function


#: Django's module, by name only: these tasks are read and never run.
transaction: Any = None


@app.task
@atomic
def in_an_atomic_function():
    plain.delay()


@app.task
def in_a_session(session):
    with session.begin():
        app.send_task("x")


@app.task
def after_the_transaction():
    with transaction.atomic():
        repr(app)
    plain.delay()


@app.task
def on_commit():
    with transaction.atomic():
        transaction.on_commit(functools.partial(plain.delay))
        transaction.on_commit(lambda: plain.delay(1))
        plain.delay_on_commit()


def test_publishing_in_a_transaction_is_told_from_publishing_after_it():
    found = [each.path.rpartition(".")[2] for each in lint(app) if each.code == "CF211"]
    assert found == ["in_a_session", "in_an_atomic_function"]


def test_a_line_is_that_of_the_file():
    (found,) = [each for each in lint(app) if each.path.endswith("in_a_session")]
    line = int(found.message.split()[1])
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert lines[line - 1].strip() == 'app.send_task("x")'
