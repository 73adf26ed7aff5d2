"""A small test in each of this project's modes, again and again."""

from __future__ import annotations

import os
from typing import Any

import pytest

from figures.cases.round_trips import measure
from figures.workload import add, app
from pytest_celeryflow import Flow


@pytest.fixture
def celeryflow_app() -> Any:
    """The app under test."""
    return app


@pytest.mark.parametrize("number", range(int(os.environ["CELERYFLOW_TESTS"])))
def test_round_trip(celeryflow: Flow, number: int, record_property: Any) -> None:
    """Everything included: open, publish, work, wait, close."""
    measure(add, record_property)
