"""Tests that fail: `tests/django/test_django.py` looks at what is printed."""

from django.db import transaction
from library import tasks
from library.models import Book


def test_enqueued(celeryflow, db):
    tasks.tell.delay_on_commit("a")
    celeryflow.assert_enqueued(tasks.tell)


def test_ran(celeryflow, db):
    tasks.tell.apply_async_on_commit(("a",))
    celeryflow.assert_ran(tasks.tell)


def test_plain(celeryflow, db):
    tasks.tell.delay_on_commit("a")
    assert celeryflow.drain() == 1


def test_captured(celeryflow, db, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        tasks.tell.delay_on_commit("a")
    assert celeryflow.drain() == 2


def test_unseen(celeryflow_worker, db):
    Book.objects.create(title="a")
    assert celeryflow_worker.run(tasks.find.s("a")).value


def test_locked(celeryflow_worker, transactional_db):
    with transaction.atomic():
        Book.objects.create(title="a")
        assert celeryflow_worker.run(tasks.titles.s()).value == []


def test_no_access(celeryflow):
    assert celeryflow.run(tasks.titles.s()).value
