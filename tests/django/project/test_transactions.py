"""Tasks in `sim` under the fixture `db`: each has transactions of its own, as on a worker."""

import pytest
from celery import group
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from library import tasks
from library.celery import app
from library.models import Book

from pytest_celeryflow import CrashPoint, simulate

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def told():
    tasks.told.clear()
    return tasks.told


def test_on_commit_outside_of_atomic_is_at_once(celeryflow, told):
    """A task is in autocommit."""
    run = celeryflow.run(tasks.tell_on_commit.s("a"))
    assert run[tasks.tell].attempts == 1
    celeryflow.assert_enqueued(tasks.tell, args=("a",))


def test_on_commit_waits_for_the_end_of_the_outermost_atomic(celeryflow, told):
    """And then is done before the next statement."""
    run = celeryflow.run(tasks.tell_within.s("a"))
    assert told == ["a written", "a committed", "a done", "a"]
    assert run[tasks.tell].attempts == 1


def test_nothing_is_left_of_an_atomic_that_fails(celeryflow, told):
    """Neither rows nor callbacks."""
    run = celeryflow.run(tasks.tell_within.s("a", fails=True))
    assert isinstance(run.error, ValueError)
    assert told == ["a written"]
    assert not Book.objects.exists()
    assert connection.run_on_commit == []


def test_an_atomic_without_a_savepoint_is_a_transaction(celeryflow):
    """It fails alone; the test's own transaction goes on."""
    celeryflow.run(tasks.tell_within.s("a", fails=True, savepoint=False))
    assert not Book.objects.exists()


def test_a_durable_atomic_is_allowed(celeryflow, told):
    """It is the outermost of its task."""
    assert celeryflow.run(tasks.tell_within.s("a", durable=True)).error is None


def test_callbacks_of_the_test_itself_stay_registered(
    celeryflow, django_capture_on_commit_callbacks
):
    """pytest-django's fixture says when they are called, and sees no others."""
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        tasks.tell.delay_on_commit("test")
        celeryflow.run(tasks.tell_within.s("task"))
        celeryflow.assert_not_enqueued(tasks.tell, args=("test",))
    assert len(callbacks) == 1
    celeryflow.assert_enqueued(tasks.tell, args=("test",), times=1)
    celeryflow.assert_enqueued(tasks.tell, args=("task",), times=1)


@pytest.mark.parametrize("novel", [False, True], ids=["one table", "two tables"])
def test_an_error_of_the_database_is_one_statement_s(celeryflow, novel):
    """`save()` fails, the task goes on: without a transaction there is none to be broken."""
    Book.objects.create(title="a")
    run = celeryflow.run(tasks.add_or_not.s("a", novel=novel))
    assert run.value == 1
    assert Book.objects.count() == 1


def test_transactions_take_turns(celeryflow, told):
    """One waits within `atomic`, another begins: their savepoints must not cross."""
    run = celeryflow.run(
        group(tasks.tell_within.s("a", seconds=10), tasks.tell_within.s("b", seconds=5))
    )
    assert run.verdict.ok
    assert told.index("a committed") < told.index("b written")
    assert run.elapsed == 15
    assert Book.objects.count() == 2


def test_what_others_write_meanwhile_is_not_rolled_back_with_it(celeryflow):
    """A statement without a transaction waits, too."""
    celeryflow.run(group(tasks.tell_within.s("a", seconds=10, fails=True), tasks.add.s("b")))
    assert list(Book.objects.values_list("title", flat=True)) == ["b"]


def test_one_who_waits_for_another_s_transaction_is_named(celeryflow):
    """A lock that production has only on SQLite: said, and no endless wait."""
    run = celeryflow.run(tasks.wait_inside.s("a"))
    assert (
        "add#1 waits to write until wait_inside#1 leaves transaction.atomic(): in a simulation "
        "tasks share the test's database connection"
    ) in run.verdict.hung


def test_a_killed_process_leaves_nothing_of_its_transaction(celeryflow, told):
    """And nothing is published."""
    celeryflow.faults.crash(tasks.tell_within, at=CrashPoint.IN_BODY)
    run = celeryflow.run(tasks.tell_within.s("a", seconds=10))
    assert run.verdict.lost == ("tell_within#1",)
    assert told == ["a written"]
    assert not Book.objects.exists()


@pytest.mark.celeryflow(config={"task_time_limit": 5})
def test_what_is_stored_about_a_task_at_its_hard_limit_stays(celeryflow):
    """Its transaction ends before the worker writes its failure down."""
    run = celeryflow.run(tasks.tell_within.s("a", seconds=10))
    assert type(run.error).__name__ == "TimeLimitExceeded"
    assert not Book.objects.exists()


def test_a_test_s_own_atomic(celeryflow):
    """Around a whole run, and rolled back: nothing is left of it."""
    with transaction.atomic():
        celeryflow.run(tasks.tell_within.s("a"))
        assert Book.objects.count() == 1
        transaction.set_rollback(True)
    assert not Book.objects.exists()


def test_django_is_put_back():
    """Its functions are its own when the flow is closed."""
    names = [(transaction.Atomic, "__enter__"), (transaction.Atomic, "__exit__")]
    names += [(CursorWrapper, "_execute_with_wrappers")]
    names += [(transaction, "mark_for_rollback_on_error"), (BaseDatabaseWrapper, "on_commit")]
    before = [getattr(owner, name) for owner, name in names]
    with simulate(app) as flow:
        flow.run(tasks.tell_within.s("a"))
    assert [getattr(owner, name) for owner, name in names] == before
