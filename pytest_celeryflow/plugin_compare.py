"""The pytest side of `compare_modes`: ``@pytest.mark.celeryflow(modes=[…], compare=True)``.

The test is one test. Its body runs once in each mode, each time with a flow of its own, and what
``flow.run`` brought the first time is compared with what it brought the first time in the other
modes, and so on. Like `plugin`, this file translates and does nothing else.

Not compared: what a test does beside ``flow.run``, with ``delay()`` and ``flow.drain()``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_celeryflow import hooks
from pytest_celeryflow.errors import CeleryflowAssertionError

if TYPE_CHECKING:
    from pytest_celeryflow.compare import Comparison
    from pytest_celeryflow.flow import Flow
    from pytest_celeryflow.seen import Seen

__all__ = [
    "KEYWORDS", "check", "is_compared", "keywords", "modes_of", "pytest_pyfunc_call", "sections"
]

#: What the marker `celeryflow` takes besides the modes and their options.
KEYWORDS = ("compare", "ignore")

#: What is compared when neither the marker nor the command line says it: what needs no server.
_MODES = ("eager", "worker", "sim")
_SECTIONS = pytest.StashKey[list[tuple[str, str]]]()
_WIDEST = 72


def keywords(node: Any) -> dict[str, Any]:
    """What all markers `celeryflow` of a test say; the nearest wins, be it mode or modes."""
    told: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers("celeryflow"))):
        if "mode" in marker.kwargs or "modes" in marker.kwargs:
            told = {name: value for name, value in told.items() if name not in ("mode", "modes")}
        told |= marker.kwargs
    return told


def is_compared(node: Any) -> bool:
    """Whether a test is marked with ``compare=True``."""
    return bool(keywords(node).get("compare"))


def check(item: pytest.Item, told: Mapping[str, Any]) -> None:
    """Check a marker before the first test runs.

    Args:
        item: A marked test.
        told: The marker's keywords.

    Raises:
        pytest.UsageError: It cannot be used so.
    """
    where = f"{item.nodeid}: marker celeryflow"
    compare = told.get("compare", False)
    if not isinstance(compare, bool):
        raise pytest.UsageError(f"{where}(compare={compare!r}) must be True or False")
    if not compare:
        if "ignore" in told:
            raise pytest.UsageError(f"{where}(ignore=…) says what compare=True accepts; add that")
        return
    if told.get("mode") is not None:
        raise pytest.UsageError(
            f"{where}(mode={told['mode']!r}, compare=True): compare=True needs two modes or more; "
            "give modes=[…] instead of mode, or neither"
        )
    if told.get("modes") is not None and len(set(told["modes"])) < 2:  # noqa: PLR2004 - two differ
        raise pytest.UsageError(
            f"{where}(modes={told['modes']!r}, compare=True): compare=True needs two modes or more"
        )
    _check_function(item, where)
    if "ignore" in told:
        try:
            importlib.import_module("pytest_celeryflow.seen").check_ignore(told["ignore"])
        except ValueError as exc:
            raise pytest.UsageError(f"{where}: {exc}") from None


def _check_function(item: pytest.Item, where: str) -> None:
    if item.get_closest_marker("celeryflow_explore") is not None:
        raise pytest.UsageError(
            f"{where}(compare=True) and celeryflow_explore are for two tests: one compares modes, "
            "the other explores mode 'sim'"
        )
    if inspect.iscoroutinefunction(getattr(item, "obj", None)):
        raise pytest.UsageError(f"{where}(compare=True) is for plain functions, not coroutines")
    info = getattr(item, "_fixtureinfo", None)
    if info is None or "celeryflow" not in info.argnames:
        raise pytest.UsageError(
            f"{where}(compare=True) is for tests that take the fixture `celeryflow` themselves"
        )
    for name, definitions in info.name2fixturedefs.items():
        if "celeryflow" in definitions[-1].argnames:
            raise pytest.UsageError(
                f"{where}(compare=True): the fixture `{name}` takes `celeryflow`, but fixtures are "
                "set up once, and a flow is opened for each mode. Do in the test what it does"
            )


def modes_of(item: pytest.Item, told: Mapping[str, Any]) -> list[str]:
    """The modes that are compared."""
    plugin = importlib.import_module("pytest_celeryflow.plugin")
    modes = list(told.get("modes") or plugin.modes_option(item.config))
    return modes if len(set(modes)) > 1 else list(_MODES)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test once in each mode, and compare."""
    __tracebackhide__ = True
    if not is_compared(pyfuncitem):
        return None
    plugin = importlib.import_module("pytest_celeryflow.plugin")
    told = plugin.marked(pyfuncitem)
    modes = modes_of(pyfuncitem, told)
    seen: dict[str, list[Seen]] = {}
    raised: dict[str, BaseException] = {}
    said: list[tuple[str, str]] = []
    for mode in modes:
        try:
            _run(pyfuncitem, mode, told, seen.setdefault(mode, []), said)
        except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001 - told below, after all
            raised[mode] = exc
    ignore = told.get("ignore", ())
    found = _comparisons(seen, ignore)
    tables = _tables(found, seen)
    if tables and raised:
        said.insert(0, ("celeryflow: what differs between modes", tables))
    pyfuncitem.stash[_SECTIONS] = said
    if raised:
        mode, error = next(iter(raised.items()))
        also = _also(mode, modes, raised)
        if isinstance(error, _Unused):
            pytest.fail(f"{error}\n\n{also}", pytrace=False)
        error.add_note(also)
        raise error
    if tables:
        pytest.fail(f"the test does not do the same in {_listed(modes)}\n\n{tables}", pytrace=False)
    if not any(seen.values()):
        del pyfuncitem.stash[_SECTIONS]
        pytest.fail(
            "compare=True compares what celeryflow.run() brings, and this test never calls it",
            pytrace=False,
        )
    every = [each for own in seen.values() for each in own]
    try:
        importlib.import_module("pytest_celeryflow.seen").check_tasks(ignore, every)
    except ValueError as exc:
        pytest.fail(f"marker celeryflow: {exc}", pytrace=False)
    return True


class _Unused(Exception):
    """A stub or a fault was never used: no line of the test is to blame."""


def _run(
    item: pytest.Function,
    mode: str,
    told: Mapping[str, Any],
    seen: list[Seen],
    said: list[tuple[str, str]],
) -> None:
    """Run the test's body in one mode, and note what it does."""
    __tracebackhide__ = True
    plugin = importlib.import_module("pytest_celeryflow.plugin")
    request = item._request
    app = request.getfixturevalue("celeryflow_app")
    given = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    opened = contextmanager(plugin.opened)(mode, app, request, told)
    databases = importlib.import_module("pytest_celeryflow.databases")
    local_tasks = importlib.import_module("pytest_celeryflow.local_tasks")
    forgotten = local_tasks.local_tasks_forgotten()
    with forgotten, databases.rolled_back(), opened as flow, _listening(seen):
        try:
            item.obj(**{**given, "celeryflow": flow})
        except BaseException:
            flow.test_failed = True  # nothing else is to be complained of
            raise
        else:
            _check_end(flow)
        finally:
            said.append((f"celeryflow: what happened in mode {mode}", flow.report()))


def _check_end(flow: Flow) -> None:
    try:
        flow.check()
    except CeleryflowAssertionError as exc:
        raise _Unused(str(exc)) from None


@contextmanager
def _listening(seen: list[Seen]) -> Iterator[None]:
    made = importlib.import_module("pytest_celeryflow.seen").Seen

    def ran(flow: Any, canvas: Any, run: Any) -> None:
        failed = isinstance(run, BaseException)
        seen.append(made(canvas, None if failed else run, run if failed else None))

    hooks.ran.append(ran)
    try:
        yield
    finally:
        hooks.ran.remove(ran)


def _comparisons(seen: Mapping[str, Sequence[Seen]], ignore: Sequence[str]) -> list[Comparison]:
    """One for each `flow.run` that every mode came to."""
    compared = importlib.import_module("pytest_celeryflow.compare").compared
    rows = zip(*seen.values(), strict=False)
    return [compared(dict(zip(seen, row, strict=True)), ignore) for row in rows]


def _tables(found: Sequence[Comparison], seen: Mapping[str, Sequence[Seen]]) -> str:
    """What differs, for people; empty if nothing does."""
    parts = []
    most = max(map(len, seen.values()))
    for number, comparison in enumerate(found):
        if comparison.same:
            continue
        canvas = next(iter(seen.values()))[number].canvas
        which = f"run {number + 1} of {most}: " if most > 1 else ""
        parts.append(f"{which}{_canvas(canvas)}\n\n{comparison}")
    if len({len(each) for each in seen.values()}) > 1:
        counts = ", ".join(f"{len(each)} in {mode}" for mode, each in seen.items())
        parts.append(f"calls of celeryflow.run: {counts}")
    aspects = dict.fromkeys(d.aspect for comparison in found for d in comparison.differences)
    if aspects:
        listed = ", ".join(f'"{aspect}"' for aspect in aspects)
        comma = "," if len(aspects) == 1 else ""
        parts.append(
            "If it is meant to differ, say so in the marker:\n"
            f"  @pytest.mark.celeryflow(…, compare=True, ignore=({listed}{comma}))"
        )
    return "\n\n".join(parts)


def _canvas(canvas: Any) -> str:
    shape = importlib.import_module("pytest_celeryflow.shape").shape
    try:
        text = str(shape(canvas))
    except TypeError:  # a task, with its arguments given apart
        text = str(getattr(canvas, "name", canvas))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _also(mode: str, modes: Sequence[str], raised: Mapping[str, BaseException]) -> str:
    """Where a test failed, and where it did not."""
    others = [each for each in raised if each != mode]
    passed = [each for each in modes if each not in raised]
    said = f"celeryflow: this is in mode {mode}"
    if others:
        said += f"; the test failed in {', '.join(others)} too"
    return f"{said}; it passed in {', '.join(passed)}" if passed else said


def sections(item: pytest.Item) -> list[tuple[str, str]]:
    """What to tell of a comparison that failed: one timeline a mode."""
    return item.stash.get(_SECTIONS, [])
