"""A pytest plugin that writes down how long each test took, from setup to teardown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from figures.stopwatch import now

_tests: list[dict[str, Any]] = []
_inner: dict[str, Any] = {}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure everything that belongs to a test."""
    began = now()
    result = yield
    _tests.append({"test": item.name, "took": now() - began, **_inner})
    _inner.clear()
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what the test itself measured (``record_property``)."""
    if report.when == "call":
        _inner.update(report.user_properties)
    if report.failed:
        _inner["failed"] = str(report.longrepr)[-2000:]


def pytest_unconfigure() -> None:
    """Write it as the last line."""
    print("\n" + json.dumps(_tests))
