"""A store of ours on a clock that tests move, and a real Redis with keys of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from pytest_celeryflow.results.values import Values
from tests.services import redis_client


class Present:
    """A clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def never_comes(ready: Callable[[], bool], timeout: float | None) -> bool:
    """A way to wait where nothing ever changes."""
    return ready()


@pytest.fixture
def present() -> Present:
    """The moment that the store believes it is."""
    return Present()


@pytest.fixture
def values(present: Present) -> Values:
    """An empty store."""
    return Values(present, never_comes)


@pytest.fixture(scope="session")
def real() -> Iterator[Any]:
    """A client of a real Redis."""
    with redis_client() as client:
        yield client


@pytest.fixture
def prefix(real: Any) -> Iterator[str]:
    """What this test's keys on the real Redis begin with; they are deleted afterwards."""
    prefix = f"celeryflow-test-{uuid4().hex}:"
    yield prefix
    for key in real.scan_iter(f"{prefix}*"):
        real.delete(key)
