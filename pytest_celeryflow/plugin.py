"""The pytest plugin: options, the marker, fixtures, the section of a failure report.

It translates and does nothing else: what a fixture does is a context manager of
`pytest_celeryflow`, imported when a test asks for it. A session that uses no fixture of
ours loads neither Celery nor anything else through this file.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import pytest_celeryflow.unrewritten  # noqa: F401 - first, for the sake of all others
from pytest_celeryflow import (
    hooks,
    plugin_compare,
    plugin_explore,
    plugin_html,
    plugin_lint,
    plugin_reference,
)
from pytest_celeryflow.errors import CeleryflowAssertionError, CeleryflowError

if TYPE_CHECKING:
    from celery import Celery

    from pytest_celeryflow.flow import Flow

#: Mode -> the context manager that opens it, by name in `pytest_celeryflow`.
MODES = {
    "eager": "run_eager",
    "worker": "run_worker",
    "process": "run_process",
    "sim": "simulate",
}

#: What a context manager calls the app.
_APP = ("app", "app_path")

#: Fixtures of pytest-django that must outlive a flow: its tasks end before their rows go.
_DATABASES = ("transactional_db", "db")
#: How the URL of a server begins.
_SCHEMES = {"redis": ("redis://", "rediss://"), "rabbitmq": ("amqp://", "amqps://", "pyamqp://")}

_MARKER = (
    "celeryflow(mode=None, modes=None, compare=False, ignore=(), **options): run a test that uses "
    f"the fixture `celeryflow` in a mode ({', '.join(MODES)}) or, parametrised, in several; "
    "compare=True runs it once in each, and fails if they differ in what is not in ignore; "
    "options are those of simulate(), run_worker(), run_process() and run_eager()."
)


# --- options ---


def pytest_addoption(
    parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager
) -> None:
    """Declare each option and its ini twin."""
    group = parser.getgroup("celeryflow", "Celery workflows")
    for name, kind, text in (
        ("mode", str, f"mode of tests that name none: {', '.join(MODES)} (default: sim)"),
        ("modes", str, "run each test that uses `celeryflow` and names no mode in each of these"),
        ("seed", int, "seed of ids, random and uuid4 in mode sim (default: 0)"),
        ("redis-url", str, "the Redis of tests on real services (default: a private one)"),
        ("rabbitmq-url", str, "the RabbitMQ of tests on real services (default: this machine's)"),
    ):
        group.addoption(f"--celeryflow-{name}", type=kind, default=None, help=text)
        parser.addini(f"celeryflow_{name.replace('-', '_')}", text, default=None)
    for name, part in (
        ("compare", plugin_compare),
        ("explore", plugin_explore),
        ("html", plugin_html),
        ("lint", plugin_lint),
        ("reference", plugin_reference),
    ):
        pluginmanager.register(part, f"celeryflow_{name}")  # with options of its own
    parser.addini(
        "celeryflow_app", "the app under test, as module:attribute, such as proj.celery:app"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and check the options."""
    _forget_unloaded()
    config.addinivalue_line("markers", _MARKER)
    mode = option(config, "mode")
    if mode is not None:
        _check_mode("celeryflow-mode", mode)
    _check_modes("celeryflow-modes", modes_option(config))
    for server, schemes in _SCHEMES.items():
        url = option(config, f"{server}-url")
        if url is not None and not url.startswith(schemes):
            raise pytest.UsageError(
                f"celeryflow-{server}-url: {url!r} is no URL of a server; it begins with "
                f"{', '.join(schemes)}"
            )
    seed(config)


def _forget_unloaded() -> None:
    """Let those public names be loaded anew whose modules are gone.

    `pytester` takes out of `sys.modules` again what pytest within pytest had loaded, Celery too.
    """
    package = sys.modules["pytest_celeryflow"]
    for name, home in package._HOME.items():
        if name in vars(package) and f"{package.__name__}.{home}" not in sys.modules:
            delattr(package, name)


def option(config: pytest.Config, name: str) -> Any:
    """An option of the command line, or its ini twin, or ``None``."""
    given = config.getoption(f"--celeryflow-{name}")
    ini = f"celeryflow_{name.replace('-', '_')}"
    return given if given is not None else (config.getini(ini) or None)


def modes_option(config: pytest.Config) -> list[str]:
    """The modes that ``--celeryflow-modes`` names, or its ini twin, which one mode outranks."""
    given = config.getoption("--celeryflow-modes")
    if given is None and config.getoption("--celeryflow-mode") is not None:
        return []
    return str(option(config, "modes") or "").replace(",", " ").split()


def seed(config: pytest.Config) -> int:
    """The seed that the session was given, or 0."""
    value = option(config, "seed")
    try:
        return int(value or 0)
    except ValueError:
        raise pytest.UsageError(f"celeryflow_seed={value!r} is not a whole number") from None


def _check_mode(where: str, mode: Any) -> None:
    if mode not in MODES:
        raise pytest.UsageError(f"{where}: {mode!r} is not a mode; valid are {', '.join(MODES)}")


def _check_modes(where: str, modes: Sequence[Any]) -> None:
    for number, mode in enumerate(modes):
        _check_mode(where, mode)
        if mode in modes[:number]:
            raise pytest.UsageError(f"{where}: {mode!r} is named twice")


# --- the marker ---


def marked(node: pytest.Item) -> dict[str, Any]:
    """The keywords of all `celeryflow` markers on a test, the nearest winning.

    Raises:
        pytest.UsageError: One has positional arguments.
    """
    if any(marker.args for marker in node.iter_markers("celeryflow")):
        raise pytest.UsageError(
            f"{node.nodeid}: the marker celeryflow takes keywords only; valid are "
            f"{', '.join(_keywords())}"
        )
    return plugin_compare.keywords(node)


def _context(mode: str) -> Callable[..., Any]:
    return getattr(importlib.import_module("pytest_celeryflow"), MODES[mode])


def _accepts(mode: str) -> list[str]:
    return [name for name in inspect.signature(_context(mode)).parameters if name not in _APP]


def _keywords() -> list[str]:
    names = dict.fromkeys(["mode", "modes", *plugin_compare.KEYWORDS])
    for mode in MODES:
        names |= dict.fromkeys(_accepts(mode))
    return list(names)


def _check_marker(item: pytest.Item) -> None:
    told = marked(item)
    valid = _keywords()
    for name in told:
        if name not in valid:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker celeryflow has no keyword {name!r}; valid are "
                f"{', '.join(valid)}"
            )
    if told.get("mode") is not None and told.get("modes") is not None:
        raise pytest.UsageError(
            f"{item.nodeid}: the marker celeryflow takes mode= or modes=, and not both"
        )
    if told.get("mode") is not None:
        mode = told["mode"]
        _check_mode(f"{item.nodeid}: marker celeryflow(mode=…)", mode)
        own = ("mode", "modes", *plugin_compare.KEYWORDS)
        unfit = [n for n in told if n not in (*own, *_accepts(mode))]
        if unfit:
            raise pytest.UsageError(
                f"{item.nodeid}: mode {mode!r} has no keyword {unfit[0]!r}; valid are "
                f"{', '.join(_accepts(mode))}"
            )
    modes = told.get("modes")
    if modes is not None and (isinstance(modes, str) or not modes):
        raise pytest.UsageError(
            f"{item.nodeid}: marker celeryflow(modes={modes!r}) must be a list of modes; valid "
            f"are {', '.join(MODES)}"
        )
    _check_modes(f"{item.nodeid}: marker celeryflow(modes=…)", modes or ())
    plugin_compare.check(item, told)
    for mode in _modes_of(item, told):
        _check_values(item, mode, _fitting(mode, told))


def _modes_of(item: pytest.Item, told: Mapping[str, Any]) -> list[str]:
    """The modes in which a test, as it was collected, opens flows."""
    fixtures = getattr(item, "fixturenames", ())
    modes = [mode for mode in MODES if f"celeryflow_{mode}" in fixtures]
    if plugin_compare.is_compared(item):
        return [*modes, *plugin_compare.modes_of(item, told)]
    if "celeryflow" in fixtures:
        drawn = getattr(getattr(item, "callspec", None), "params", {}).get("celeryflow")
        modes.append(drawn or told.get("mode") or option(item.config, "mode") or "sim")
    return modes


def _check_values(item: pytest.Item, mode: str, options: Mapping[str, Any]) -> None:
    arguments = importlib.import_module("pytest_celeryflow.arguments")
    try:
        arguments.check_arguments(mode, options)
    except ValueError as exc:
        raise pytest.UsageError(f"{item.nodeid}: marker celeryflow: {exc}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Check every marker before the first test runs."""
    for item in items:
        if next(item.iter_markers("celeryflow"), None) is not None:
            _check_marker(item)
        if plugin_explore.is_explored(item):
            plugin_explore.check(item, _accepts("sim"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test in several modes, where the marker or the option asks for it."""
    if "celeryflow" not in metafunc.fixturenames:
        return
    if plugin_compare.is_compared(metafunc.definition):
        return
    told = plugin_compare.keywords(metafunc.definition)
    modes = told.get("modes")
    explored = plugin_explore.is_explored(metafunc.definition)
    if modes is None and told.get("mode") is None and not explored:
        modes = modes_option(metafunc.config)
    if modes and not isinstance(modes, str):
        metafunc.parametrize("celeryflow", list(modes), indirect=True, ids=map(str, modes))


# --- fixtures ---


@pytest.fixture
def celeryflow_app(request: pytest.FixtureRequest) -> Iterator[Celery]:
    """The app under test: what the ini option `celeryflow_app` names, or a fresh one.

    Override it in a conftest to use another.
    """
    path = request.config.getini("celeryflow_app")
    if path:
        yield _import_app(path)
        return
    from pytest_celeryflow.borrow import FreshApp  # noqa: PLC0415 - only when a test asks for it

    with FreshApp("celeryflow", set_as_current=False) as app:
        yield app


def _import_app(path: str) -> Celery:
    module_name, _, attribute = path.partition(":")
    hint = "set celeryflow_app to module:attribute, such as proj.celery:app"
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        said = f"celeryflow_app={path!r}: {module_name!r} cannot be imported: {exc}; {hint}"
        if not _names(exc, module_name):
            exc.add_note(said)
            raise  # it is there, and its traceback says what is wrong with it
    else:
        said = ""
    if said:
        pytest.fail(said, pytrace=False)
    found = getattr(module, attribute or "app", None)
    from celery import Celery  # noqa: PLC0415

    if not isinstance(found, Celery):
        there = sorted(name for name, value in vars(module).items() if isinstance(value, Celery))
        others = f"; apps in {module_name} are: {', '.join(there)}" if there else ""
        pytest.fail(
            f"celeryflow_app={path!r}: {attribute or 'app'!r} in {module_name!r} is "
            f"{'not a Celery app' if found is not None else 'missing'}{others}; {hint}",
            pytrace=False,
        )
    return found


def _names(exc: ImportError, module_name: str) -> bool:
    """Whether it is the module itself, or a package of it, that is not there."""
    missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
    return missing is not None and f"{module_name}.".startswith(f"{missing}.")


@pytest.fixture
def celeryflow(request: pytest.FixtureRequest, celeryflow_app: Celery) -> Iterator[Flow]:
    """A `Flow` in the mode that the marker, the command line or the ini file names."""
    if plugin_explore.is_explored(request.node) or plugin_compare.is_compared(request.node):
        yield None  # type: ignore[misc] # each schedule, or each mode, brings its own
        return
    told = marked(request.node)
    mode = getattr(request, "param", None) or told.get("mode") or option(request.config, "mode")
    if told.get("modes") is not None and not hasattr(request, "param"):
        raise pytest.UsageError(
            f"{request.node.nodeid}: marker celeryflow(modes=…) runs a test once in each when the "
            "fixture `celeryflow` is an argument of it or of its fixtures; here it is asked for later"
        )
    yield from opened(mode or "sim", celeryflow_app, request, told)


@pytest.fixture
def celeryflow_eager(request: pytest.FixtureRequest, celeryflow_app: Celery) -> Iterator[Flow]:
    """A `Flow` in mode ``eager``."""
    yield from opened("eager", celeryflow_app, request, marked(request.node))


@pytest.fixture
def celeryflow_worker(request: pytest.FixtureRequest, celeryflow_app: Celery) -> Iterator[Flow]:
    """A `Flow` in mode ``worker``."""
    yield from opened("worker", celeryflow_app, request, marked(request.node))


@pytest.fixture
def celeryflow_process(request: pytest.FixtureRequest, celeryflow_app: Celery) -> Iterator[Flow]:
    """A `Flow` in mode ``process``."""
    yield from opened("process", celeryflow_app, request, marked(request.node))


@pytest.fixture
def celeryflow_sim(request: pytest.FixtureRequest, celeryflow_app: Celery) -> Iterator[Flow]:
    """A `Flow` in mode ``sim``."""
    yield from opened("sim", celeryflow_app, request, marked(request.node))


def _fitting(mode: str, told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name in _accepts(mode)}


def options_of(item: pytest.Item) -> dict[str, Any]:
    """What the marker `celeryflow` of a test says for `simulate`."""
    return _fitting("sim", marked(item))


def opened(
    mode: str, app: Celery, request: pytest.FixtureRequest, told: Mapping[str, Any]
) -> Iterator[Flow]:
    """A flow in a mode, with the options of the marker that are for this mode.

    Args:
        mode: One of `MODES`.
        app: The app under test.
        request: That of the test.
        told: The keywords of the marker.
    """
    for name in _DATABASES:
        if name in request.fixturenames:
            request.getfixturevalue(name)
    options = _fitting(mode, told)
    if mode == "sim":
        options.setdefault("seed", seed(request.config))
    else:
        for place in ("broker", "backend"):
            if mode == "process":
                options.setdefault(place, "redis")
            if options.get(place) in ("redis", "rabbitmq"):
                url = option(request.config, f"{options[place]}-url")
                options[place] = url or options[place]
    with ExitStack() as stack:
        said = ""
        try:
            flow = stack.enter_context(_context(mode)(app, **options))
        except ValueError as exc:
            raise pytest.UsageError(f"{request.node.nodeid}: marker celeryflow: {exc}") from None
        except CeleryflowError as exc:
            if hasattr(exc, "service"):  # a `services.ServiceMissing`, which is not imported
                _missing(str(exc))
            said = str(exc)
        if said:
            pytest.fail(said, pytrace=False)
        yield flow


def _missing(reason: str) -> NoReturn:
    """Skip a test whose server is not there, or let it fail where servers are required."""
    if os.environ.get("CELERYFLOW_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{reason}\n\nCELERYFLOW_REQUIRE_SERVICES=1", pytrace=False)
    pytest.skip(reason)


# --- the report ---

#: Lines of a worker's output that are shown, the last ones.
_OUTPUT = 60

#: The tasks that there were before a test.
_KNOWN = pytest.StashKey[Any]()


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain why two shapes differ, under a plain ``assert``."""
    if op != "==" or "pytest_celeryflow.shape._model" not in sys.modules:
        return None
    difference = importlib.import_module("pytest_celeryflow.shape._difference")
    return difference.explain_eq(left, right)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget the flows of the test before."""
    hooks.recent_flows.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> None:
    """Know the tasks from before a test's own fixtures; those of wider scope are set up earlier."""
    if fixturedef.scope == "function":
        _know_tasks(request.node)


def _know_tasks(item: pytest.Item) -> None:
    of_ours = "celeryflow_app" in getattr(item, "fixturenames", ())
    if _KNOWN not in item.stash and (of_ours or "pytest_celeryflow.contexts" in sys.modules):
        module = importlib.import_module("pytest_celeryflow.local_tasks")
        item.stash[_KNOWN] = module.KnownTasks()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Forget the tasks that the test and its fixtures defined within themselves."""
    __tracebackhide__ = True
    try:
        return (yield)
    finally:
        known = item.stash.get(_KNOWN, None)
        if known is not None:
            del item.stash[_KNOWN]  # items stay until the session ends
            known.forget_others()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let a stub or a fault that was never used fail the test itself, not its teardown."""
    _know_tasks(item)
    result = yield
    for said in filter(None, map(_complaint, hooks.open_flows)):
        pytest.fail(said, pytrace=False)
    return result


def _complaint(flow: Flow) -> str | None:
    try:
        flow.check()
    except CeleryflowAssertionError as exc:
        return str(exc)
    return None


def _says(report: pytest.TestReport, text: str) -> bool:
    """Whether a report has this text already, in the message of an exception, say."""
    lines = (line.removeprefix("E").strip() for line in report.longreprtext.splitlines())
    return "\n".join(map(str.strip, text.splitlines())) in "\n".join(lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what happened to the report of a failure, once a test."""
    report = yield
    if call.excinfo is not None:  # failed, skipped or expected to fail: nothing else is complained of
        for flow in hooks.recent_flows:
            flow.test_failed = True
    if report.failed and plugin_explore.is_explored(item):
        story = plugin_explore.section(item)
        if story is not None and report.when == "call":
            report.sections.append(("celeryflow: the smallest schedule that fails", story))
        return report
    if report.failed and plugin_compare.is_compared(item):
        report.sections.extend(plugin_compare.sections(item) if report.when == "call" else ())
        return report
    flows = list(hooks.recent_flows) if report.failed else []
    if flows:
        for flow in flows:
            flow_text = flow.report(report.longreprtext)
            if flow.mode == "sim" and seed(item.config):
                flow_text += f"\n\nreproduce: {plugin_html.again(item)}"
            if not _says(report, flow_text):
                report.sections.append((f"celeryflow: what happened in mode {flow.mode}", flow_text))
            for name, output in flow.outputs().items():
                shown = "\n".join(output.splitlines()[-_OUTPUT:]) or "(nothing)"
                report.sections.append((f"celeryflow: output of worker {name}", shown))
        pytest_runtest_setup(item)
    return report
