"""An app that nobody serves, and its tasks: shapes need no worker and no broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery

NAMES = ("fetch", "resize", "publish", "notify", "audit", "clean")


@pytest.fixture(scope="session")
def app() -> Celery:
    """An app whose broker cannot be reached."""
    return Celery(
        "proj",
        broker="amqp://nowhere.invalid:1",
        backend="cache+memory://",
        set_as_current=False,
    )


@pytest.fixture(scope="session")
def t(app: Celery) -> SimpleNamespace:
    """The tasks, by the last part of their names."""

    def body(*args: object, **kwargs: object) -> None:
        raise AssertionError("no task runs in these tests")

    tasks = {name: app.task(name=f"proj.tasks.{name}", shared=False)(body) for name in NAMES}
    return SimpleNamespace(**tasks)
