"""What a session pays that has the plugin installed and uses none of its fixtures."""

from __future__ import annotations

from statistics import median

from figures.row import Row
from figures.stopwatch import python

__all__ = ["rows"]

_IMPORT = """
import json, sys, time, pytest
before = set(sys.modules)
began = time.perf_counter()
import pytest_celeryflow.plugin
print(json.dumps(time.perf_counter() - began))
"""

_SESSION = """
import json, sys, time
began = time.perf_counter()
import pytest
sys.argv = ["pytest"]
code = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *{plugin}, "figures/cases/empty.py"])
took = time.perf_counter() - began
heavy = ["celery", "kombu", "freezegun", "greenlet", "hypothesis"]
print(json.dumps([took, int(code), [name for name in heavy if name in sys.modules]]))
"""

_ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}


def rows(times: int) -> list[Row]:
    """Import cost, session cost, and what is loaded."""
    loaded, difference = sessions(times)
    return [
        Row(
            "entry point imported",
            import_cost(times),
            "s",
            at_most=0.005,
            note=f"pytest loaded before; median of {times} processes",
        ),
        Row(
            "session with one empty test, more than without the plugin",
            difference,
            "s",
            at_most=0.005,
            note=f"median difference of {times} pairs of sessions",
        ),
        Row(
            "celery, kombu, freezegun, greenlet, hypothesis loaded by it",
            len(loaded),
            "",
            at_most=0,
            note=", ".join(loaded) or "sys.modules when the session has ended",
        ),
    ]


def import_cost(times: int) -> float:
    """Seconds to import the plugin, with pytest already there."""
    return median(float(python(["-c", _IMPORT])) for _ in range(times))


def sessions(times: int) -> tuple[list[str], float]:
    """What the plugin loads in a session, and the seconds that it adds to one."""
    differences, loaded = [], []
    for _ in range(times):
        took, code, loaded = _session("pytest_celeryflow.plugin")
        without, code_without, _ = _session(None)
        if code or code_without:
            raise RuntimeError("the empty test failed")
        differences.append(took - without)
    return loaded, median(differences)


def _session(plugin: str | None) -> tuple[float, int, list[str]]:
    arguments = ["-p", plugin] if plugin is not None else []
    took, code, loaded = python(["-c", _SESSION.format(plugin=arguments)], **_ALONE)
    return took, code, loaded
