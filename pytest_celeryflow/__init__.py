"""Test Celery workflows eagerly, on real workers in and beside the process, and in a simulation.

Importing this package costs next to nothing: a public name is loaded, with what it needs,
when it is first used (PEP 562). Neither celery, kombu, hypothesis, freezegun nor greenlet
is imported before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pytest_celeryflow.compare import Comparison, compare_modes
    from pytest_celeryflow.contexts import run_eager, run_process, run_worker, simulate
    from pytest_celeryflow.errors import (
        CeleryflowAssertionError,
        CeleryflowError,
        UnsupportedFault,
        WorkflowStalled,
    )
    from pytest_celeryflow.explore import (
        Exploration,
        assert_idempotent,
        crash_everywhere,
        explore,
    )
    from pytest_celeryflow.faults import CrashPoint, Fault
    from pytest_celeryflow.flow import Flow
    from pytest_celeryflow.history import Event, Execution, History
    from pytest_celeryflow.lint import Finding, assert_clean, lint
    from pytest_celeryflow.run import Run
    from pytest_celeryflow.shape import (
        ANY,
        ANY_ARGS,
        ANY_TASK,
        Shape,
        any_order,
        assert_shape,
        repeated,
        shape,
    )

#: Public name -> the module that defines it.
_HOME = {
    "ANY": "shape",
    "ANY_ARGS": "shape",
    "ANY_TASK": "shape",
    "CeleryflowAssertionError": "errors",
    "CeleryflowError": "errors",
    "Comparison": "compare",
    "CrashPoint": "faults",
    "Event": "history",
    "Execution": "history",
    "Exploration": "explore",
    "Fault": "faults",
    "Finding": "lint",
    "Flow": "flow",
    "History": "history",
    "Run": "run",
    "Shape": "shape",
    "UnsupportedFault": "errors",
    "WorkflowStalled": "errors",
    "any_order": "shape",
    "assert_clean": "lint",
    "assert_idempotent": "explore",
    "assert_shape": "shape",
    "compare_modes": "compare",
    "crash_everywhere": "explore",
    "explore": "explore",
    "lint": "lint",
    "repeated": "shape",
    "run_eager": "contexts",
    "run_process": "contexts",
    "run_worker": "contexts",
    "shape": "shape",
    "simulate": "contexts",
}

__all__ = [
    "ANY",
    "ANY_ARGS",
    "ANY_TASK",
    "CeleryflowAssertionError",
    "CeleryflowError",
    "Comparison",
    "CrashPoint",
    "Event",
    "Execution",
    "Exploration",
    "Fault",
    "Finding",
    "Flow",
    "History",
    "Run",
    "Shape",
    "UnsupportedFault",
    "WorkflowStalled",
    "__version__",
    "any_order",
    "assert_clean",
    "assert_idempotent",
    "assert_shape",
    "compare_modes",
    "crash_everywhere",
    "explore",
    "lint",
    "repeated",
    "run_eager",
    "run_process",
    "run_worker",
    "shape",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
