"""Exploration: finds the schedule that breaks a test, makes it small, and replays it.

The package has the name of its main function, and importing a submodule binds its name in
the parent package. So that `pytest_celeryflow.explore` may be called whichever of the two it
is bound to, the module is callable.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType

from pytest_celeryflow.explore.explorer import explore
from pytest_celeryflow.explore.helpers import assert_idempotent, crash_everywhere
from pytest_celeryflow.explore.replay import ReplayMismatch
from pytest_celeryflow.explore.result import Exploration, Failure

__all__ = [
    "Exploration",
    "Failure",
    "ReplayMismatch",
    "assert_idempotent",
    "crash_everywhere",
    "explore",
]


class _CallableModule(ModuleType):
    __call__ = staticmethod(explore)


sys.modules[__name__].__class__ = _CallableModule
#: Where `inspect.signature` looks first.
__signature__ = inspect.signature(explore)
