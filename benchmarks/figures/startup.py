"""What a session pays that has the plugin installed and uses none of its fixtures."""

from __future__ import annotations

from statistics import median

from figures.row import Row
from figures.sessions import ALONE, NEUTRAL
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
import pytest
began = time.process_time()
sys.argv = ["pytest"]
code = pytest.main([*{arguments}, "figures/cases/empty.py"])
took = time.process_time() - began
heavy = ["celery", "kombu", "freezegun", "greenlet", "hypothesis"]
print(json.dumps([took, int(code), [name for name in heavy if name in sys.modules]]))
"""


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
            note=f"processor time, the best of {times} sessions each",
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
    python(["-c", _IMPORT])  # compiles
    return median(float(python(["-c", _IMPORT])) for _ in range(times))


def sessions(times: int) -> tuple[list[str], float]:
    """What the plugin loads in a session, and the processor seconds that it adds to one."""
    took: list[float] = []
    took_without: list[float] = []
    loaded: list[str] = []
    _session("pytest_celeryflow.plugin")  # compiles
    for _ in range(times):
        with_it, code, loaded = _session("pytest_celeryflow.plugin")
        without, code_without, _ = _session(None)
        if code or code_without:
            raise RuntimeError("the empty test failed")
        took.append(with_it)
        took_without.append(without)
    return loaded, min(took) - min(took_without)


def _session(plugin: str | None) -> tuple[float, int, list[str]]:
    arguments = [*NEUTRAL, *(["-p", plugin] if plugin is not None else [])]
    took, code, loaded = python(["-c", _SESSION.format(arguments=arguments)], **ALONE)
    return took, code, loaded
