"""Result backends that need no server, used in the simulation as they are."""

import pytest
from celery import chord, group
from celery.exceptions import TimeoutError as CeleryTimeout

from pytest_celeryflow import WorkflowStalled, simulate
from pytest_celeryflow.borrow import FreshApp


@pytest.fixture(params=["rpc://", "cache+memory://", "file://", "db+sqlite://"])
def backend_app(request, tmp_path):
    """An app with a result backend of each kind, and a broker that does not exist."""
    url = request.param
    if url == "file://":
        url = f"file://{tmp_path}"
    if url == "db+sqlite://":
        url = request.getfixturevalue("sqlite_results")
    with FreshApp("shop", broker="amqp://localhost:1", backend=url, set_as_current=False) as app:

        @app.task(name="shop.add")
        def add(x, y):
            return x + y

        @app.task(name="shop.fail")
        def fail():
            raise ValueError("no stock")

        @app.task(name="shop.total")
        def total(numbers):
            return sum(numbers)

        yield app


def test_results_come_back(backend_app):
    """Of a task, a chain and a group."""
    add = backend_app.tasks["shop.add"]
    with simulate(backend_app) as flow:
        assert add.delay(1, 2).get() == 3
        assert flow.run(add.s(1, 2) | add.s(3)).value == 6
        assert flow.run(group(add.s(1, 1), add.s(2, 2))).value == [2, 4]


def test_a_reader_looks_when_there_may_be_something_to_see(backend_app, monkeypatch):
    """Not twice a second, for an hour of virtual time, as Celery's polling backends do."""
    add, looks = backend_app.tasks["shop.add"], []
    with simulate(backend_app) as flow:
        backend = backend_app.backend
        read = backend.get_task_meta
        monkeypatch.setattr(
            backend, "get_task_meta", lambda *args, **kw: looks.append(args) or read(*args, **kw)
        )
        assert add.apply_async((1, 2), countdown=3600).get() == 3
        assert 3600 <= flow.clock.elapsed <= 3600.5
    assert len(looks) < 10


def test_a_reader_with_a_timeout_waits_so_long(backend_app):
    """A timeout is a timeout, however the backend counts it."""
    with simulate(backend_app) as flow:
        result = backend_app.tasks["shop.add"].apply_async((1, 2), countdown=60)
        with pytest.raises(CeleryTimeout):
            result.get(timeout=10)
        assert 10 <= flow.clock.elapsed <= 10.5
        assert result.get() == 3


def test_failures_come_back(backend_app):
    """With their type and text."""
    with simulate(backend_app) as flow:
        run = flow.run(backend_app.tasks["shop.fail"].s())
        with pytest.raises(ValueError, match="no stock"):
            run.value  # noqa: B018 - reading it raises


def test_results_of_an_earlier_simulation_are_not_taken_for_new_ones(backend_app):
    """Ids are the same from run to run, and some of these backends last longer."""
    with simulate(backend_app) as flow:
        first = flow.run(backend_app.tasks["shop.add"].s(1, 2))
        assert first.value == 3
    with simulate(backend_app) as flow:
        second = flow.run(backend_app.tasks["shop.fail"].s())
        assert isinstance(second.error, ValueError)
    assert first.result.id == second.result.id


def test_chords_follow_the_backend(backend_app):
    """By polling or by counting; `rpc://` has none, and Celery's refusal is what one sees."""
    add, total = backend_app.tasks["shop.add"], backend_app.tasks["shop.total"]
    canvas = chord([add.s(1, 1), add.s(2, 2)], total.s())
    with simulate(backend_app) as flow:
        if backend_app.conf.result_backend == "rpc://":
            with pytest.raises(NotImplementedError, match="chord"):
                flow.run(canvas)
        else:
            assert flow.run(canvas).value == 6


def test_a_wait_that_polls_is_found_to_be_in_vain(backend_app):
    """Whatever the backend's way of waiting."""
    with simulate(backend_app), pytest.raises(WorkflowStalled, match="no task with this id"):
        backend_app.AsyncResult("no-such-id").get()


def test_an_app_without_a_result_backend_refuses_chords():
    """As in production; single results are kept for the test to read."""
    with FreshApp("shop", broker="amqp://localhost:1", set_as_current=False) as app:

        @app.task
        def add(x, y):
            return x + y

        with simulate(app) as flow:
            assert flow.run(add.s(1, 2)).value == 3
            with pytest.raises(NotImplementedError, match="result backend"):
                flow.run(chord([add.s(1, 1), add.s(2, 2)], add.s(1)))
