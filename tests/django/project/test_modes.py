"""Settings, connections and signals of a Django project in each mode."""

import sys

import pytest
from celery import Celery, group, signals
from django.db import connection
from django.test import TestCase, TransactionTestCase
from django_celery_results.models import TaskResult
from library import tasks
from library.celery import app
from library.models import Book

from pytest_celeryflow import compare_modes, run_eager, run_worker, simulate
from pytest_celeryflow.borrow import FreshApp

MODES = {"sim": simulate, "worker": run_worker, "eager": run_eager}


@pytest.mark.parametrize("mode", ["sim", "worker"])
def test_task_always_eager_in_the_settings_does_not_count(mode, db):
    """The mode decides; afterwards the setting is what it was."""
    with MODES[mode](app) as flow:
        tasks.tell.delay("a")
        flow.assert_enqueued(tasks.tell)
        flow.drain()
    assert app.conf.task_always_eager is True


def test_eager_does_not_propagate_into_the_run_although_the_settings_say_so(db):
    """`flow.run` tells what happened; `propagate=True` would raise it."""
    with run_eager(app) as flow:
        run = flow.run(tasks.find.s("nothing"))
    assert isinstance(run.error, Book.DoesNotExist)


@pytest.mark.parametrize("mode", MODES)
def test_tasks_are_found_by_name(mode, db):
    """`autodiscover_tasks` has found them."""
    with MODES[mode](app) as flow:
        flow.stub("library.tasks.tell").returns("b")
        assert flow.run("a" and tasks.tell.s("a")).value == "b"


def test_results_are_rows_in_sim(celeryflow, db):
    """`django-db` is used as it is, in the test's transaction."""
    result = celeryflow.run(tasks.tell.s("a")).result
    assert TaskResult.objects.get().task_id == result.id


@pytest.mark.parametrize("number", [1, 2])
def test_results_are_rolled_back(celeryflow, db, number):
    """Ids are the same in each test."""
    celeryflow.run(tasks.tell.s(number))
    assert TaskResult.objects.count() == 1


@pytest.mark.parametrize("number", [1, 2])
def test_the_cache_as_result_backend(number):
    """`django-cache` outlives the test, whose ids come again: what is there is forgotten."""
    cached = Celery("cached", broker="redis://localhost:1", backend="django-cache")
    with simulate(cached) as flow:
        assert flow.run(cached.signature("celery.accumulate", ([number],))).value == ([number],)


@pytest.mark.parametrize("mode", ["sim", "worker"])
def test_the_connection_of_the_test_stays_open(mode, db):
    """Celery's Django fixup closes those of the threads of a worker alone."""
    Book.objects.create(title="a")
    before = connection.connection
    with MODES[mode](app) as flow:
        flow.run(tasks.tell.s(1))
        flow.perform(tasks.tell, 1)
    assert connection.connection is before
    assert Book.objects.count() == 1


def test_tasks_of_a_worker_begin_with_no_connection(transactional_db, celeryflow_worker):
    """The fixup works there: what a thread had open is closed after each task."""
    closed = set()
    for _ in range(2):
        run = celeryflow_worker.run(tasks.titles.s())
        assert run.value == []
        closed.add(celeryflow_worker.run(tasks.connection_of_task.s()).value)
    assert closed == {None}


def left_behind(fixup):
    """Connect what an earlier worker of the session leaves connected."""
    for signal in (signals.task_prerun, signals.task_postrun):
        signal.connect(getattr(fixup.worker_fixup, f"on_{signal.name}"))


@pytest.mark.parametrize("mode", MODES)
def test_signals_and_the_fixup_are_put_back(mode, db):
    """The same handlers in the same order, and the app's fixup as it was."""

    def connected():
        every = [s for s in vars(signals).values() if isinstance(s, type(signals.task_prerun))]
        return [(s.name, key) for s in every for key, _ in s.receivers]

    (fixup,) = app._fixups
    left_behind(fixup)
    before, worker_fixup = connected(), fixup._worker_fixup
    with MODES[mode](app) as flow:
        flow.run(tasks.tell.s(1))
    assert connected() == before
    assert fixup._worker_fixup is worker_fixup


def test_what_an_earlier_worker_left_connected_closes_nothing(db):
    """Celery's own `start_worker` leaves the handlers of the fixup behind."""
    (fixup,) = app._fixups
    Book.objects.create(title="a")
    left_behind(fixup)
    before = connection.connection
    with simulate(app) as flow:
        assert flow.run(tasks.titles.s()).value == ["a"]
    assert connection.connection is before


def test_fresh_apps_leave_the_path_alone():
    """Celery's fixup prepends the directory for each app that is made."""
    before = list(sys.path)
    FreshApp("a", set_as_current=False)
    assert sys.path == before


def test_the_database_is_ready_before_the_flow(celeryflow, db, fixtures_ready):
    """And so outlives it, although the test names it later."""
    assert fixtures_ready.index("db") < fixtures_ready.index("celeryflow")


def test_the_tables_are_emptied_after_the_worker(
    celeryflow_worker, transactional_db, fixtures_ready
):
    """What its tasks write last is gone, too."""
    order = [n for n in fixtures_ready if n in ("transactional_db", "celeryflow_worker")]
    assert order == ["transactional_db", "celeryflow_worker"]


@pytest.fixture
def shelf(db):
    Book.objects.create(title="a")


@pytest.mark.celeryflow_explore(strategy="crash_points")
def test_each_schedule_begins_with_what_the_fixtures_wrote(shelf, celeryflow):
    """What one wrote, and what one that was cut short left open, is undone for the next."""
    assert Book.objects.count() == 1
    celeryflow.run(group(tasks.tell_within.s("b", seconds=1), tasks.add.s("c")))


@pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
def test_each_mode_begins_with_what_the_fixtures_wrote(shelf, celeryflow):
    """Else the second would find the book of the first."""
    assert celeryflow.run(tasks.add.s("b")).error is None


def test_compare_modes_begins_with_what_the_fixtures_wrote(shelf):
    """In plain Python, too."""
    assert compare_modes(app, tasks.add.s("b"), modes=("eager", "sim")).same


class WithAFixture(TestCase):
    """pytest's way for Django's class."""

    @classmethod
    def setUpTestData(cls):
        Book.objects.create(title="a")

    @pytest.fixture(autouse=True)
    def _flow(self, celeryflow):
        self.flow = celeryflow

    def test_it_sees_what_the_class_wrote(self):
        assert self.flow.run(tasks.titles.s()).value == ["a"]

    def test_each_test_is_rolled_back(self):
        self.flow.run(tasks.tell_within.s("b"))
        assert Book.objects.count() == 2

    def test_tasks_commit(self):
        tasks.told.clear()
        assert self.flow.run(tasks.tell_within.s("b"))[tasks.tell].attempts == 1


class WithTheContextManager(TestCase):
    """Plain unittest."""

    def setUp(self):
        self.flow = self.enterContext(simulate(app))

    def test_it_runs_in_the_transaction(self):
        Book.objects.create(title="a")
        assert self.flow.run(tasks.titles.s()).value == ["a"]


class OnAWorker(TransactionTestCase):
    """Threads see what is committed."""

    def setUp(self):
        self.flow = self.enterContext(run_worker(app))

    def test_it_sees_what_is_committed(self):
        Book.objects.create(title="a")
        assert self.flow.run(tasks.titles.s()).value == ["a"]
