"""The pytest side of exploration: the marker, its options, the report of a failure.

Like `plugin`, it translates and does nothing else.
"""

from __future__ import annotations

import importlib
import inspect
import sys
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
    """Register the marker and check the options."""
    config.addinivalue_line("markers", _HELP)
    runs, replay = _option(config, "runs"), _option(config, "replay")
    if runs is not None and not (str(runs).isascii() and str(runs).isdigit() and int(runs) > 0):
        raise pytest.UsageError(f"celeryflow-runs: {runs!r} is not a whole number, 1 or more")
    if replay is not None and not replay.startswith("cf1:"):
        raise pytest.UsageError(
            f"celeryflow-replay: {replay!r} is not what a failed exploration prints, cf1:…"
        )


def _option(config: pytest.Config, name: str) -> Any:
    given = config.getoption(f"--celeryflow-{name}")
    return given if given is not None else (config.getini(f"celeryflow_{name}") or None)


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
    valid = list(dict.fromkeys([*KEYWORDS, *options]))
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
    explorer = importlib.import_module("pytest_celeryflow.explore.explorer")
    try:
        explorer.checked(**{name: value for name, value in told.items() if name != "replay"})
        if told.get("replay") is not None:
            importlib.import_module("pytest_celeryflow.explore.recipe").Recipe.read(told["replay"])
    except ValueError as exc:
        raise pytest.UsageError(f"{item.nodeid}: marker {_MARKER}: {exc}") from None


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
    for name, kind in (("replay", str), ("runs", int)):
        if (typed := config.getoption(f"--celeryflow-{name}")) is not None:
            arguments[name] = typed
        elif (told := config.getini(f"celeryflow_{name}")) and name not in arguments:
            arguments[name] = kind(told)
    arguments.setdefault("seed", plugin.seed(config))
    app = pyfuncitem._request.getfixturevalue("celeryflow_app")
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    output = _Output(config)

    def run(flow: Any) -> None:
        __tracebackhide__ = True
        output.forget()
        try:
            pyfuncitem.obj(**{**given, "celeryflow": flow})
        except BaseException as exc:
            output.keep(exc)
            raise

    explorer = importlib.import_module("pytest_celeryflow.explore.explorer")
    replay = importlib.import_module("pytest_celeryflow.explore.replay")
    wrong = None
    try:
        found = explorer.explore(run, app, **arguments)
    except ValueError as exc:
        wrong = f"marker {_MARKER}: {exc}"
    except replay.ReplayMismatch as exc:
        wrong = str(exc)
    if wrong is not None:
        pytest.fail(wrong, pytrace=False)
    if found.failure is not None:
        pyfuncitem.stash[_FAILURE] = found.failure
        output.show(found.failure.error)
        pyfuncitem.stash[_REPORT] = found.report(
            rerun=f"pytest {pyfuncitem.nodeid!r}", message=False, test=_regression(pyfuncitem)
        )
        raise found.failure.error
    if not found.ok:
        pytest.fail(found.complaint(), pytrace=False)
    return True


class _Output:
    """What the schedules print and log: of each its own, in the end that of the smallest.

    Relies on the plugins that pytest calls ``capturemanager`` and ``logging-plugin``; without
    them, or with ``-s``, everything is shown as it comes.
    """

    def __init__(self, config: pytest.Config) -> None:
        manager = config.pluginmanager
        self._capture = manager.get_plugin("capturemanager")
        logging = manager.get_plugin("logging-plugin")
        self._handlers: list[Any] = [
            handler
            for handler in (getattr(logging, n, None) for n in ("report_handler", "caplog_handler"))
            if hasattr(handler, "clear")
        ]

    def forget(self) -> None:
        """A schedule begins: what was before it is of no interest."""
        self._read()
        for handler in self._handlers:
            handler.clear()

    def keep(self, error: BaseException) -> None:
        """A schedule failed: its output may be the one to show."""
        logged = self._handlers[0].stream.getvalue() if self._handlers else ""
        error._celeryflow_output = (*self._read(), logged)  # type: ignore[attr-defined]

    def show(self, error: BaseException) -> None:
        """Let the report have the output of the schedule that raised this."""
        self.forget()
        out, err, logged = getattr(error, "_celeryflow_output", ("", "", ""))
        sys.stdout.write(out)
        sys.stderr.write(err)
        if self._handlers:
            self._handlers[0].stream.write(logged)

    def _read(self) -> tuple[str, str]:
        if self._capture is None or not self._capture.is_globally_capturing():
            return "", ""
        out, err = self._capture.read_global_capture()
        return out, err


def _regression(item: pytest.Function) -> list[str]:
    """A test that calls this one, with the values of its parameters."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    names = item._fixtureinfo.argnames
    drawn = [f'@pytest.mark.parametrize("{n}", [{parameters[n]!r}])' for n in names if n in parameters]
    called = f"{item.originalname}({', '.join(names)})"
    if item.cls is None:
        head = f"def {item.originalname}_regression({', '.join(names)}):"
    else:  # a method of the same class
        called = f"self.{called}"
        head = f"def {item.originalname}_regression({', '.join(('self', *names))}):"
    return [*drawn, head, f"    {called}"]


def section(item: pytest.Item) -> str | None:
    """What to tell of a failed exploration, if the test was one."""
    return item.stash.get(_REPORT, None)


def failure(item: pytest.Item) -> Any:
    """The smallest failure of an explored test, or ``None``."""
    return item.stash.get(_FAILURE, None)
