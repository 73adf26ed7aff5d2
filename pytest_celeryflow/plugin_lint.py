"""The pytest side of lint: every canvas that a test publishes through its flow is checked.

``--celeryflow-lint warn`` tells at the end of the session, by rule; ``error`` fails the test.
Findings travel with the reports, so that they arrive from the workers of xdist, too.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator
from typing import Any

import pytest

from pytest_celeryflow import hooks

__all__ = ["pytest_runtest_call"]

_LEVELS = ("off", "warn", "error")
_FOUND = pytest.StashKey[dict[tuple[str, str, str], dict[str, str]]]()
_ALL = pytest.StashKey[dict[str, list[dict[str, str]]]]()
_FIELDS = ("code", "rule", "path", "message", "hint", "url")
_MOST_PLACES = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option and its ini twin."""
    group = parser.getgroup("celeryflow", "Celery workflows")
    text = "lint every canvas that flow.run publishes: off (default), warn or error"
    group.addoption("--celeryflow-lint", choices=_LEVELS, default=None, help=text)
    parser.addini("celeryflow_lint", text, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Check the ini option."""
    config.stash[_ALL] = {}
    if _level(config) not in _LEVELS:
        raise pytest.UsageError(
            f"celeryflow_lint={_level(config)!r} is not one of {', '.join(_LEVELS)}"
        )


def _level(config: pytest.Config) -> str:
    return config.getoption("--celeryflow-lint") or config.getini("celeryflow_lint") or "off"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Listen to what the test publishes."""
    level = _level(item.config)
    if level == "off":
        return (yield)
    found = item.stash[_FOUND] = {}

    def check(canvas: Any, app: Any) -> None:
        for finding in importlib.import_module("pytest_celeryflow.lint").lint(canvas, app):
            key = (finding.code, finding.path, finding.message)
            found[key] = {name: getattr(finding, name) for name in _FIELDS}

    hooks.published.append(check)
    try:
        result = yield
    finally:
        hooks.published.remove(check)
    if found and level == "error":
        listed = "\n".join(_lines(list(found.values())))
        pytest.fail(f"lint finds something in what the test published\n\n{listed}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the findings travel with the report."""
    report = yield
    if report.when == "call" and item.stash.get(_FOUND, None):
        report.celeryflow_lint = list(item.stash[_FOUND].values())  # type: ignore[attr-defined]
    return report


class _Summary:
    """Collects on the side where the summary is written."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what came with a report."""
        found = getattr(report, "celeryflow_lint", None)
        if found:
            self._config.stash[_ALL][report.nodeid] = found


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to collect."""
    session.config.pluginmanager.register(_Summary(session.config), "celeryflow_lint_summary")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what was found, by rule; nothing when nothing was."""
    found = config.stash[_ALL]
    if not found or _level(config) != "warn":
        return
    every = [{**finding, "test": test} for test, own in found.items() for finding in own]
    terminalreporter.section("celeryflow lint")
    for line in _lines(every):
        terminalreporter.write_line(line)


def _lines(found: list[dict[str, str]]) -> list[str]:
    """A paragraph for each rule."""
    rules: dict[str, list[dict[str, str]]] = {}
    for finding in found:
        rules.setdefault(finding["code"], []).append(finding)
    lines: list[str] = []
    for code in sorted(rules):
        places = rules[code]
        times = f", {len(places)} times" if len(places) > 1 else ""
        lines += [*([""] if lines else []), f"{code} {places[0]['rule']}{times}"]
        for place in places[:_MOST_PLACES]:
            test = f"  [{place['test']}]" if "test" in place else ""
            lines.append(f"  {place['path']}: {place['message']}{test}")
        if len(places) > _MOST_PLACES:
            lines.append(f"  … and {len(places) - _MOST_PLACES} more")
        lines += [f"  repair: {places[0]['hint']}", f"  see: {places[0]['url']}"]
    return lines
