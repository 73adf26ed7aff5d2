"""The pytest side of lint: every canvas that a test publishes is checked, wherever it does.

``--celeryflow-lint warn`` tells at the end of the session, by rule; ``error`` fails the test.
Findings travel with the reports, so that they arrive from the workers of xdist, too.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator
from typing import Any

import pytest

__all__ = ["pytest_runtest_call"]

_MARKER = "celeryflow_lint_ignore"
_LEVELS = ("off", "warn", "error")
_FOUND = pytest.StashKey[dict[tuple[str, str, str], dict[str, str]]]()
_ALL = pytest.StashKey[dict[str, list[dict[str, str]]]]()
_FIELDS = ("code", "rule", "path", "message", "hint", "url")
_MOST_PLACES = 5
_WIDEST = 60


def shorten(text: str, width: int) -> str:
    """The beginning of a text, if it is too long."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option and its ini twin."""
    group = parser.getgroup("celeryflow", "Celery workflows")
    text = "lint every canvas that a test publishes: off (default), warn or error"
    group.addoption("--celeryflow-lint", choices=_LEVELS, default=None, help=text)
    parser.addini("celeryflow_lint", text, default=None)
    parser.addini(
        _MARKER, "what lint shall not tell in any test: CF104, CF104@chain[1], CF104@task", "args"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and check the ini options."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(*codes): what --celeryflow-lint does not tell of a test: a code such as "
        "'CF104', or one with a place or a task, 'CF104@chain[1]', 'CF104@notify'.",
    )
    config.stash[_ALL] = {}
    if _level(config) not in _LEVELS:
        raise pytest.UsageError(
            f"celeryflow_lint={_level(config)!r} is not one of {', '.join(_LEVELS)}"
        )
    if _level(config) != "off":
        _entries(_of_project(config), _MARKER)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check every marker before the first test runs."""
    for item in items if _level(config) != "off" else ():
        _ignored(item)


def _ignored(item: pytest.Item) -> list[tuple[str, str]]:
    """What does not count in a test."""
    found = _entries(_of_project(item.config), _MARKER)
    for marker in item.iter_markers(_MARKER):
        if marker.kwargs or not marker.args:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {_MARKER} takes codes of rules, such as 'CF104'"
            )
        found += _entries(marker.args, f"{item.nodeid}: marker {_MARKER}")
    return found


def _of_project(config: pytest.Config) -> list[str]:
    """What the ini file says, with blanks or commas between."""
    return [code for words in config.getini(_MARKER) for code in words.split(",") if code]


def _entries(ignore: Any, argument: str) -> list[tuple[str, str]]:
    asserting = importlib.import_module("pytest_celeryflow.lint._assert")
    try:
        return list(asserting.entries(ignore, argument))
    except ValueError as exc:
        raise pytest.UsageError(str(exc)) from None


def _level(config: pytest.Config) -> str:
    return config.getoption("--celeryflow-lint") or config.getini("celeryflow_lint") or "off"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Listen to what the test publishes."""
    level = _level(item.config)
    if level == "off":
        return (yield)
    found = item.stash[_FOUND] = {}
    wrong: list[str] = []
    lint = importlib.import_module("pytest_celeryflow.lint").lint
    shape = importlib.import_module("pytest_celeryflow.shape").shape
    left = importlib.import_module("pytest_celeryflow.lint._assert").left
    publications = importlib.import_module("pytest_celeryflow.publications")
    ignored = _ignored(item)

    def check(canvas: Any, app: Any) -> None:
        try:
            findings = left(lint(canvas, app), ignored)
        except ValueError as exc:  # what a task ignores is no rule: publishing must not suffer
            wrong.append(str(exc))
            return
        for finding in findings:
            key = (finding.code, finding.path, finding.message)
            fields = {name: getattr(finding, name) for name in _FIELDS}
            found.setdefault(key, {**fields, "canvas": shorten(str(shape(canvas)), _WIDEST)})

    with publications.listened_to(check):
        result = yield
    if wrong:
        pytest.fail(f"lint: {wrong[0]}", pytrace=False)
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
    """A paragraph for each rule; a canvas that several tests publish is told once."""
    rules: dict[str, dict[tuple[str, str, str], list[dict[str, str]]]] = {}
    for finding in found:
        place = (finding["path"], finding["message"], finding["canvas"])
        rules.setdefault(finding["code"], {}).setdefault(place, []).append(finding)
    lines: list[str] = []
    for code in sorted(rules):
        places = rules[code]
        first = next(iter(places.values()))[0]
        times = f", in {len(places)} places" if len(places) > 1 else ""
        lines += [*([""] if lines else []), f"{code} {first['rule']}{times}"]
        for (path, message, canvas), same in list(places.items())[:_MOST_PLACES]:
            lines += [f"  {path}: {message}", f"    in {canvas}{_by(same)}"]
        if len(places) > _MOST_PLACES:
            lines.append(f"  … and {len(places) - _MOST_PLACES} more")
        lines += [
            f"  repair: {first['hint']}",
            f"  silence: {_MARKER} = {code} in the ini file, or the marker {_MARKER}({code!r})",
            f"  see: {first['url']}",
        ]
    return lines


def _by(same: list[dict[str, str]]) -> str:
    tests = [finding["test"] for finding in same if "test" in finding]
    if not tests:
        return ""
    more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
    return f", published by {tests[0]}{more}"
