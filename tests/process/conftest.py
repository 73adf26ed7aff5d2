"""One worker for many tests: each workflow in it is independent of the others."""

import pytest

from pytest_celeryflow import run_process
from tests import services
from tests.process import app as tasks

APP = "tests.process.app:app"


@pytest.fixture(scope="module")
def shared():
    """A flow on a private Redis; a test leaves no fault and no stub in it."""
    with run_process(APP, broker=services.private_redis().url, backend=services.private_redis().url) as flow:
        yield flow


@pytest.fixture
def flow(shared):
    """The shared flow, whose worker is up and has told of nothing that went wrong."""
    assert shared.worker.state == "running"
    yield shared
    assert "Signal handler" not in shared.worker.output


@pytest.fixture
def url():
    """A private Redis."""
    return services.private_redis().url


@pytest.fixture
def app():
    return tasks.app
