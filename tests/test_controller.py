"""What both kinds of worker are built with: nothing is done for tasks that nobody calls."""

from __future__ import annotations

import pytest
from celery import Celery, Task

from pytest_celeryflow import run_worker, simulate

MODES = pytest.mark.parametrize("open_", [simulate, run_worker], ids=["sim", "worker"])

started: list[str] = []


class Counted(Task):
    """A task that tells when a worker makes its strategy."""

    def start_strategy(self, *args, **options):
        started.append(self.name)
        return super().start_strategy(*args, **options)


@pytest.fixture
def app():
    started.clear()
    app = Celery("shop", set_as_current=False, task_cls=Counted)

    @app.task(name="shop.used", shared=False, bind=True)
    def used(self):
        return self.request.hostname

    @app.task(name="shop.idle", shared=False)
    def idle():
        """Nobody calls it."""

    return app


@MODES
def test_a_task_that_no_message_names_costs_the_worker_nothing(app, open_):
    """A project has hundreds of tasks, and a test runs a few of them."""
    with open_(app) as flow:
        flow.run(app.tasks["shop.used"].si())
        flow.run(app.tasks["shop.used"].si())
    assert started == ["shop.used"]
    assert app.tasks["shop.idle"].__trace__ is None


@MODES
def test_a_task_knows_its_worker_after_a_fault_was_taken_back(app, open_):
    """Its tracer was made while the fault was on, and is made once more."""
    used = app.tasks["shop.used"]
    with open_(app) as flow:
        name = flow.run(used.si()).value
        with flow.faults.fail(used, OSError("away")):
            assert isinstance(flow.run(used.si()).error, OSError)
        assert flow.run(used.si()).value == name


def test_what_a_task_says_counts_from_the_next_connection_on(app):
    """As in Celery, where a worker that connects again reads its tasks anew."""
    used = app.tasks["shop.used"]
    with simulate(app) as flow:
        flow.run(used.si())
        used.ignore_result = True
        with flow.faults.broker.down(for_="10s"):
            flow.clock.advance("1m")
        assert flow.run(used.si()).value is None
    assert started == ["shop.used", "shop.used"]
