"""Mode ``worker`` with a result backend of Celery's that is used as it is."""

from __future__ import annotations

import pytest
from celery import chord, group

from pytest_celeryflow import UnsupportedFault, run_worker
from tests.services import rabbitmq_url

POLLING = {"result_chord_retry_interval": 0.01}


@pytest.fixture
def total(app):
    @app.task(name="shop.total")
    def total(numbers):
        return sum(numbers)

    return total


@pytest.fixture
def files(tmp_path):
    """A store that needs no server, and cannot count chords."""
    return f"file://{tmp_path}"


def test_chords_by_polling(app, add, total, files):
    """Celery's own `chord_unlock` counts there."""
    with run_worker(app, backend=files, config=POLLING) as flow:
        run = flow.run(chord([add.s(1, 2), add.s(3, 4)], total.s()))
        assert run.value == 10
        assert type(app.backend).__name__ == "FilesystemBackend"
    assert app.conf.result_backend is None


def test_an_errback_in_place_is_seen_whichever_thread_calls_it(app, total, files):
    """Each thread has a backend of its own there."""

    @app.task(name="shop.alert")
    def alert(request, exc, traceback):
        return str(exc)

    with run_worker(app, backend=files) as flow:
        run = flow.run(total.s(["a"]).on_error(alert.s()))
    assert isinstance(run.error, TypeError)
    assert len(run[alert]) == 1


def test_results_that_are_messages(app, add):
    """The states of a group's members are known although nobody has asked for their results."""
    with run_worker(app, broker=rabbitmq_url(), backend="rpc://") as flow:
        run = flow.run(group(add.s(1, 2), add.s(3, 4)))
        assert run.state == "SUCCESS"
        assert run.value == [3, 7]


def test_rpc_refuses_a_chord(app, add, total):
    """When it is published, in Celery's own words."""
    with run_worker(app, broker=rabbitmq_url(), backend="rpc://") as flow:
        canvas = chord([add.s(1, 2)], total.s())
        with pytest.raises(NotImplementedError, match="does not support chords"):
            flow.run(canvas)


def test_a_replacement_on_rpc_reports_to_the_worker(app, add):
    """As on a real worker: whoever waits for the task that replaced itself waits for ever."""

    @app.task(name="shop.replaced", bind=True)
    def replaced(self):
        return self.replace(add.s(1, 2))

    with run_worker(app, broker=rabbitmq_url(), backend="rpc://") as flow:
        run = flow.run(replaced.s())
    assert run.verdict.hung is not None
    assert run[add].results == (3,)


def test_outages_are_not_ours_to_make(app, files):
    refused = pytest.raises(UnsupportedFault, match=r"backend\.down .*used as it is.*memory")
    with run_worker(app, backend=files) as flow, refused:
        flow.faults.backend.down()


def test_an_unknown_backend_is_refused_at_once(app):
    with (
        pytest.raises(ValueError, match=r"backend='nosuch://x' is not one of 'memory', 'redis'"),
        run_worker(app, backend="nosuch://x"),
    ):
        pass
