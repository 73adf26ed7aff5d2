"""A database in memory, for each test its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exactly_once import store


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shop's database. What an order begins with is put in by the test, each time it runs."""
    monkeypatch.setenv("EXACTLY_ONCE_DB", ":memory:")
    yield
    store.close()
