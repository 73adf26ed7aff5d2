"""Lint: the known traps of Celery, found in a canvas or an app before anything is published.

Nothing runs and nothing is connected: rules read signatures, settings, the attributes and the
source of tasks, and the class behind a URL. Importing this package imports celery.

The package has the name of its main function, and importing a submodule binds its name in
the parent package. So that `pytest_celeryflow.lint` may be called whichever of the two it
is bound to, the module is callable.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType

from pytest_celeryflow.lint._assert import assert_clean
from pytest_celeryflow.lint._finding import Finding
from pytest_celeryflow.lint._lint import lint

__all__ = ["Finding", "assert_clean", "lint"]


class _CallableModule(ModuleType):
    __call__ = staticmethod(lint)


sys.modules[__name__].__class__ = _CallableModule
#: Where `inspect.signature` looks first.
__signature__ = inspect.signature(lint)
