"""The pytest side of exploration: the marker, its options, the report of a failure.

Like `plugin`, it translates and does nothing else.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

__all__ = ["KEYWORDS", "failure", "is_explored", "pytest_pyfunc_call", "section"]

_MARKER = "celeryflow_explore"

#: What the marker takes besides the keywords of `simulate`.
KEYWORDS = (
    "runs",
    "strategy",
    "faults",
    "max_faults",
    "seed",
    "replay",
    "delay",
    "shrink_runs",
)

_HELP = (
    f"{_MARKER}(runs=100, strategy='random', faults=('crash', 'duplicate', 'drop', 'delay'), "
    "max_faults=1, seed=None, replay=None, **options): run a test that uses the fixture "
    "`celeryflow` over many schedules and faults, each in a simulation of its own; options are "
    "those of simulate()."
)

_REPORT = pytest.StashKey[str]()
_FAILURE = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare each option and its ini twin."""
    group = parser.getgroup("celeryflow", "Celery workflows")
    for name, kind, text in (
        ("replay", str, f"run the tests marked {_MARKER} in this one schedule, cf1:…"),
        ("runs", int, f"schedules of each test marked {_MARKER} (default: 100)"),
    ):
        group.addoption(f"--celeryflow-{name}", type=kind, default=None, help=text)
        parser.addini(f"celeryflow_{name}", text, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _HELP)


def is_explored(node: Any) -> bool:
    """Whether a test is marked to be explored."""
    return node.get_closest_marker(_MARKER) is not None


def check(item: pytest.Item, options: list[str]) -> None:
    """Check a marker before the first test runs.

    Args:
        item: A marked test.
        options: Keywords of `simulate`.

    Raises:
        pytest.UsageError: It cannot be used so.
    """
    told = _told(item)
    valid = [*KEYWORDS, *options]
    for name in told:
        if name not in valid:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {_MARKER} has no keyword {name!r}; valid are "
                f"{', '.join(valid)}"
            )
    function = getattr(item, "obj", None)
    if inspect.iscoroutinefunction(function):
        raise pytest.UsageError(
            f"{item.nodeid}: the marker {_MARKER} is for plain functions; this is a coroutine"
        )
    if "celeryflow" not in getattr(item, "fixturenames", ()):
        raise pytest.UsageError(
            f"{item.nodeid}: the marker {_MARKER} is for tests that use the fixture `celeryflow`"
        )


def _told(item: pytest.Item) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(_MARKER))):
        if marker.args:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {_MARKER} takes keywords only; valid are "
                f"{', '.join(KEYWORDS)}, and those of simulate()"
            )
        told |= marker.kwargs
    return told


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test over many schedules; the smallest failure is its failure."""
    __tracebackhide__ = True
    if not is_explored(pyfuncitem):
        return None
    plugin = importlib.import_module("pytest_celeryflow.plugin")
    config = pyfuncitem.config
    arguments = plugin.options_of(pyfuncitem) | _told(pyfuncitem)
    for name in ("replay", "runs"):
        given = plugin.option(config, name)
        if given is not None:
            arguments[name] = int(given) if name == "runs" else given
    arguments.setdefault("seed", plugin.seed(config))
    app = pyfuncitem._request.getfixturevalue("celeryflow_app")
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    def run(flow: Any) -> None:
        __tracebackhide__ = True
        pyfuncitem.obj(**{**given, "celeryflow": flow})

    explorer = importlib.import_module("pytest_celeryflow.explore.explorer")
    replay = importlib.import_module("pytest_celeryflow.explore.replay")
    try:
        found = explorer.explore(run, app, **arguments)
    except ValueError as exc:
        pytest.fail(f"marker {_MARKER}: {exc}", pytrace=False)
    except replay.ReplayMismatch as exc:
        pytest.fail(str(exc), pytrace=False)
    if found.failure is not None:
        pyfuncitem.stash[_FAILURE] = found.failure
        pyfuncitem.stash[_REPORT] = found.report(
            rerun=f"pytest {pyfuncitem.nodeid!r}", message=False, test=_call(pyfuncitem)
        )
        raise found.failure.error
    if not found.ok:
        pytest.fail(found.complaint(), pytrace=False)
    return True


def _call(item: pytest.Function) -> str | None:
    """The test as it is called, where a regression test can call it."""
    arguments = ", ".join(item._fixtureinfo.argnames)
    return f"{item.originalname}({arguments})" if item.cls is None else None


def section(item: pytest.Item) -> str | None:
    """What to tell of a failed exploration, if the test was one."""
    return item.stash.get(_REPORT, None)


def failure(item: pytest.Item) -> Any:
    """The smallest failure of an explored test, or ``None``."""
    return item.stash.get(_FAILURE, None)
