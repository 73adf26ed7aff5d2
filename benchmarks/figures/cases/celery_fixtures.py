"""The same test with Celery's own fixtures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import celery.contrib.testing.tasks  # noqa: F401 - the worker fixture asks for celery.ping
import pytest

from figures.cases.round_trips import measure
from figures.workload import shared_add

_INTERVAL = os.environ.get("CELERY_POLLING_INTERVAL")


@pytest.fixture(scope="session")
def celery_config() -> Mapping[str, Any]:
    """Nothing, or a polling interval for the broker."""
    if _INTERVAL is None:
        return {}
    return {"broker_transport_options": {"polling_interval": float(_INTERVAL)}}


@pytest.mark.parametrize("number", range(int(os.environ["CELERYFLOW_TESTS"])))
def test_round_trip(celery_app: Any, celery_worker: Any, number: int, record_property: Any) -> None:
    """As `celery.contrib.pytest` documents it: memory:// and cache+memory://."""
    task = celery_app.tasks[shared_add.name]
    measure(task, record_property, **({"interval": float(_INTERVAL)} if _INTERVAL else {}))


@pytest.mark.parametrize("number", range(int(os.environ["CELERYFLOW_TESTS"])))
@pytest.mark.celery(task_always_eager=True)
def test_eager(celery_app: Any, number: int, record_property: Any) -> None:
    """Celery's ``task_always_eager`` and nothing else."""
    measure(celery_app.tasks[shared_add.name], record_property)
