"""Contexts that were opened and closed leave nothing behind."""

import gc
import pathlib
import threading

import pytest
from celery import Celery
from greenlet import greenlet

from pytest_celeryflow import run_eager, run_worker, simulate


def _left():
    gc.collect()
    greenlets = sum(type(o) is greenlet and not o.dead for o in gc.get_objects())
    there = pathlib.Path("/proc/self/fd")
    descriptors = len(list(there.iterdir())) if there.is_dir() else 0
    return threading.active_count(), greenlets, descriptors


@pytest.mark.slow
@pytest.mark.parametrize("context", [run_eager, run_worker, simulate])
def test_nothing_is_left(app, add, context):
    """No thread, no greenlet, no descriptor after fifty contexts."""
    for _ in range(3):
        with context(app) as flow:
            flow.run(add.s(1, 2))
    before = _left()
    for _ in range(50):
        with context(app) as flow:
            assert flow.run(add.s(1, 2)).value == 3
    assert _left() == before


def test_a_task_that_never_ends_is_unwound(app):
    """What still runs when a simulation closes is ended where it stands."""
    import time

    ended = []

    @app.task
    def forever():
        try:
            time.sleep(10**9)
        finally:
            ended.append(True)

    with simulate(app) as flow:
        forever.delay()
        flow.clock.advance(1)
    assert ended == [True]


SHARES = """
from celery import shared_task

def test_it():
    @shared_task(name="theirs")
    def theirs(): pass
"""


def test_shared_tasks_of_a_test_stay_with_it(pytester, app):
    """Neither apps that are there already nor later ones keep them: `shared_tasks_forgotten`."""
    app.finalize()
    pytester.makeconftest("from tests.conftest import shared_tasks_forgotten")
    pytester.makepyfile(SHARES)
    pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:asyncio").assert_outcomes(passed=1)
    assert "theirs" not in app.tasks
    assert "theirs" not in Celery(set_as_current=False).tasks
