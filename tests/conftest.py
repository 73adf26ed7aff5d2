"""What every test may use: a small app, and pytest inside pytest."""

import os

import hypothesis
import pytest
from celery import _state

# Loaded before any test, because `pytester` unloads afterwards what it saw loaded, and kombu
# remembers the transports that it has found.
import pytest_celeryflow.modes.eager
import pytest_celeryflow.modes.sim
import pytest_celeryflow.modes.worker  # noqa: F401
from pytest_celeryflow.borrow import FreshApp
from tests.databases import results_in

pytest_plugins = ["pytester"]

# There pytest tells each message once more, at full length; what a person is told is tested here.
os.environ.pop("CI", None)

# Nothing here is timed: a machine that is busy would fail tests that are right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def shared_tasks_forgotten():
    """`@shared_task` announces a task to all apps there are and will be: those of a test are its own."""
    kept = set(_state._on_app_finalizers)
    tasks = {app: set(app._tasks) for app in _state._get_active_apps() if app.finalized}
    yield
    _state._on_app_finalizers.clear()
    _state._on_app_finalizers.update(kept)
    for app, names in tasks.items():
        for name in set(app._tasks) - names:
            del app._tasks[name]


@pytest.fixture
def app():
    """An app that names no broker and no result backend."""
    with FreshApp("shop", set_as_current=False) as app:
        yield app


@pytest.fixture
def redis_app():
    """An app that is configured for Redis, at an address where nothing listens."""
    pytest.importorskip("redis")
    url = "redis://localhost:1/0"
    with FreshApp("shop", broker=url, backend=url, set_as_current=False) as app:
        yield app


@pytest.fixture
def sqlite_results(tmp_path):
    """A `result_backend` in a database of the test's own."""
    return results_in(tmp_path)


@pytest.fixture
def add(app):
    """A task that adds two numbers."""

    @app.task(name="shop.add")
    def add(x, y):
        return x + y

    return add
