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
import cProfile, json, pstats, sys, time
import pytest
sys.argv = ["pytest"]
arguments = [*{arguments}, "figures/cases/empty.py"]
profile = cProfile.Profile() if {profiled} else None
began = time.process_time()
code = profile.runcall(pytest.main, arguments) if profile else pytest.main(arguments)
took = time.process_time() - began
if profile:
    stats = pstats.Stats(profile).stats
    took = sum(
        cumulative
        for (file, _, name), (_, _, _, cumulative, _) in stats.items()
        if file.endswith("pytest_celeryflow/plugin.py")
        and (name == "<module>" or name.startswith("pytest_"))
    )
heavy = ["celery", "kombu", "freezegun", "greenlet", "hypothesis"]
print(json.dumps([took, int(code), [name for name in heavy if name in sys.modules]]))
"""

_PLUGIN = "pytest_celeryflow.plugin"


def rows(times: int) -> list[Row]:
    """Import cost, session cost, and what is loaded."""
    own, loaded = in_session(times)
    return [
        Row(
            "entry point imported",
            import_cost(times),
            "s",
            at_most=0.005,
            note=f"pytest loaded before; median of {times} processes",
        ),
        Row(
            "import and hooks of the plugin in a session with one empty test",
            own,
            "s",
            at_most=0.005,
            note=f"profiled, so rather too much; median of {times} sessions",
        ),
        Row(
            "that session, with the plugin more than without",
            difference(times),
            "s",
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


def in_session(times: int) -> tuple[float, list[str]]:
    """Seconds in the plugin's own module and hooks, and what is loaded at the end."""
    _session(_PLUGIN)  # compiles
    told = [_session(_PLUGIN, profiled=True) for _ in range(times)]
    return median(took for took, _ in told), sorted({name for _, names in told for name in names})


def difference(times: int) -> float:
    """Processor seconds that the plugin adds to a whole session: little among much."""
    took, took_without = [], []
    for _ in range(times):
        took.append(_session(_PLUGIN)[0])
        took_without.append(_session(None)[0])
    return min(took) - min(took_without)


def _session(plugin: str | None, *, profiled: bool = False) -> tuple[float, list[str]]:
    arguments = [*NEUTRAL, *(["-p", plugin] if plugin is not None else [])]
    script = _SESSION.format(arguments=arguments, profiled=profiled)
    took, code, loaded = python(["-c", script], **ALONE)
    if code:
        raise RuntimeError("the empty test failed")
    return took, loaded
