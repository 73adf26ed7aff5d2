"""The pytest side of the reference workflows: two options, and the table at the end.

The table is that of a run on the user's own services. What came of each workflow travels with the
reports, as a property of the test, so that it arrives from the workers of xdist, and in JUnit's file.
Nothing of `pytest_celeryflow.reference` is imported here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["PROPERTY", "pytest_addoption"]

#: The property of a test that is told in the table: place, workflow, verdict, why.
PROPERTY = "celeryflow_reference"

_ROWS = pytest.StashKey[list[tuple[Any, ...]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and the ini twin."""
    group = parser.getgroup("celeryflow", "Celery workflows")
    text = "the result backend of pytest_celeryflow.reference on your services, as Celery's result_backend"
    group.addoption("--celeryflow-backend-url", default=None, help=text)
    parser.addini("celeryflow_backend_url", text, default=None)
    group.addoption(
        "--celeryflow-own-services",
        action="store_true",
        help="run pytest_celeryflow.reference on the broker and result backend of celeryflow_app",
    )


class _Table:
    """Collects on the side where the summary is written."""

    def __init__(self, config: pytest.Config) -> None:
        self._rows: list[tuple[Any, ...]] = []
        config.stash[_ROWS] = self._rows

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what came with a report."""
        if report.when == "call":
            told: list[Any] = [value for name, value in report.user_properties if name == PROPERTY]
            self._rows += [tuple(each) for each in told]


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to collect."""
    session.config.pluginmanager.register(_Table(session.config), "celeryflow_reference_table")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what works where; nothing when no workflow ran on services of the user's."""
    rows = config.stash.get(_ROWS, [])
    for place in dict.fromkeys(row[0] for row in rows):
        terminalreporter.section(f"reference workflows on {place}")
        for line in table([row[1:] for row in rows if row[0] == place]):
            terminalreporter.write_line(line)


def table(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    """The lines for one place: a workflow each, the reasons once, and how many work."""
    rows = sorted(rows)
    reasons = {why: f"[{n}]" for n, why in enumerate(dict.fromkeys(r[2] for r in rows if r[2]), 1)}
    name, said = (max(len(row[i]) for row in rows) for i in (0, 1))
    for workflow, verdict, why in rows:
        yield f"{workflow:<{name}}  {verdict:<{said}}  {reasons.get(why, '')}".rstrip()
    for why, number in reasons.items():
        yield from ("", f"{number} {why}")
    counted = Counter(verdict for _, verdict, _ in rows)
    yield from ("", ", ".join(f"{verdict}: {number}" for verdict, number in sorted(counted.items())))
