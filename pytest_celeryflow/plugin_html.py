"""The pytest side of the HTML report: ``--celeryflow-html FILE``.

What a test did is written down when it has ended, where it ran; it travels with the report of
its teardown, so that it arrives from the workers of xdist, too. Whoever writes the summary
writes the file.
"""

from __future__ import annotations

import importlib
import platform
import shlex
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_celeryflow import __version__, hooks, plugin_explore

__all__ = ["again", "pytest_runtest_protocol"]

_SEEN = pytest.StashKey["_Seen"]()
_FILE = pytest.StashKey[Path | None]()
#: An explored test opens a flow for each schedule: the last are shown.
_MOST_FLOWS = 6
_MOST_LINES_OF_WHY = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option and its ini twin."""
    group = parser.getgroup("celeryflow", "Celery workflows")
    text = "write what happened in each test that uses a flow to this HTML file"
    group.addoption("--celeryflow-html", metavar="FILE", default=None, help=text)
    parser.addini("celeryflow_html", text, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Check where the file shall be, and collect what comes in."""
    file = config.stash[_FILE] = _file(config)
    if file is None:
        return
    if file.is_dir():
        raise pytest.UsageError(f"celeryflow-html: {str(file)!r} is a directory; name a file in it")
    if not hasattr(config, "workerinput"):  # a worker of xdist sends, and writes nothing
        config.pluginmanager.register(_Writer(config, file), "celeryflow_html_writer")


def _file(config: pytest.Config) -> Path | None:
    """The command line's is relative to where one stands, the ini file's to where that is."""
    given = config.getoption("--celeryflow-html")
    if given is not None:
        if not given:
            raise pytest.UsageError("celeryflow-html: the name of the file is empty")
        return Path(config.invocation_params.dir, given)
    told = config.getini("celeryflow_html")
    return Path(config.inipath.parent if config.inipath else config.rootpath, told) if told else None


class _Seen:
    """The flows that a test opened, and what was run in each."""

    def __init__(self) -> None:
        self.flows: list[Any] = []
        self.runs: dict[int, list[Any]] = {}
        self.left_out = 0

    def opened(self, flow: Any) -> None:
        self.flows.append(flow)
        if len(self.flows) > _MOST_FLOWS:
            self.runs.pop(id(self.flows.pop(0)), None)
            self.left_out += 1

    def ran(self, flow: Any, canvas: Any, run: Any) -> None:
        if not isinstance(run, BaseException):
            self.runs.setdefault(id(flow), []).append(run)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Look on while a test runs."""
    if item.config.stash[_FILE] is None:
        return (yield)
    seen = item.stash[_SEEN] = _Seen()
    hooks.opened.append(seen.opened)
    hooks.ran.append(seen.ran)
    try:
        return (yield)
    finally:
        hooks.opened.remove(seen.opened)
        hooks.ran.remove(seen.ran)
        del item.stash[_SEEN]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what happened travel with the last report of the test."""
    report = yield
    seen = item.stash.get(_SEEN, None)
    if report.when == "teardown" and seen is not None and seen.flows:
        report.celeryflow_html = _told(item, seen)  # type: ignore[attr-defined]
    return report


def _told(item: pytest.Item, seen: _Seen) -> dict[str, Any]:
    html = importlib.import_module("pytest_celeryflow.report.html")
    failure = plugin_explore.failure(item)
    shown: list[tuple[Any, list[Any]]]
    if failure is not None:  # of all the flows that were opened, it is the smallest that counts
        shown = [(failure.history, [])]
    else:
        shown = [(flow.history, seen.runs.get(id(flow), [])) for flow in seen.flows]
    modes = [flow.mode for flow in seen.flows][-len(shown) :]
    story = html.Story(
        test=item.nodeid,
        modes=list(dict.fromkeys(modes)),
        facts=html.facts([history for history, _ in shown]),
        flows=[html.flow_story(mode, *told) for mode, told in zip(modes, shown, strict=True)],
        left_out=seen.left_out if failure is None else 0,
        again=again(item),
    )
    return dict(story.to_plain())


def again(item: pytest.Item) -> str:
    """The command that runs the test again, as it was."""
    config = item.config
    failure = plugin_explore.failure(item)
    if failure is not None:
        return f"pytest {item.nodeid!r} --celeryflow-replay {failure.replay}"
    said = [f"pytest {item.nodeid!r}"]
    for name in ("mode", "modes", "seed"):
        given = config.getoption(f"--celeryflow-{name}")
        said += [f"--celeryflow-{name} {shlex.quote(str(given))}"] if given is not None else []
    return " ".join(said)


class _Writer:
    """Puts the reports of a test together, and writes the file at the end."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        self._config, self._file = config, file
        self._stories: dict[str, dict[str, Any]] = {}
        self._outcomes: dict[str, dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what came with a report."""
        outcome = self._outcomes.setdefault(report.nodeid, {"outcome": "passed"})
        told = _outcome(report)
        if told is not None and outcome["outcome"] in ("passed", "xpassed", "xfailed"):
            outcome["outcome"] = told
            if report.failed:
                outcome |= {"why": _why(report), "whole": _whole(report)}
        story = getattr(report, "celeryflow_html", None)
        if story is not None:
            self._stories[report.nodeid] = story
        if report.when == "teardown":
            outcome = self._outcomes.pop(report.nodeid)
            if report.nodeid in self._stories:
                self._stories[report.nodeid] |= outcome

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        html = importlib.import_module("pytest_celeryflow.report.html")
        stories = [html.Story.from_plain(plain) for plain in self._stories.values()]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(html.page(stories, made=_made()), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell where it is."""
        terminalreporter.write_sep("-", f"celeryflow html: {self._file}")


def _outcome(report: pytest.TestReport) -> str | None:
    """What a report changes in the outcome of its test."""
    if report.when != "call":
        return "error" if report.failed else "skipped" if report.skipped else None
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return None if report.passed else report.outcome


def _why(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else report.longreprtext
    if said.startswith("pytest_celeryflow.WorkflowStalled"):
        said = said.partition("\n")[0]  # the rest is told with the workflow
    lines = said.splitlines()
    more = len(lines) - _MOST_LINES_OF_WHY
    return "\n".join(lines[:_MOST_LINES_OF_WHY] + ([f"… {more} more lines"] if more > 0 else []))


def _whole(report: pytest.TestReport) -> str:
    own = [text for title, text in report.sections if title.startswith("celeryflow: the smallest")]
    return "\n\n".join([report.longreprtext, *own])


def _made() -> str:
    celery = sys.modules.get("celery")  # not, where workers of xdist ran the tests
    with_celery = f", Celery {celery.__version__}" if celery is not None else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, pytest-celeryflow {__version__}{with_celery}, "
        f"pytest {pytest.__version__}, Python {platform.python_version()}"
    )
