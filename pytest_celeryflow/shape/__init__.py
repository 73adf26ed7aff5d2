"""Shapes: say what a Celery workflow looks like, assert it, draw it.

Importing this package does not import celery; the matchers that are signatures, `ANY_TASK`,
`any_order` and `repeated`, do when they are first used.

The package has the name of its main function, and importing a submodule binds its name in
the parent package. So that `pytest_celeryflow.shape` may be called whichever of the two it
is bound to, the module is callable.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_celeryflow.shape._assert import assert_shape, shape
from pytest_celeryflow.shape._matchers import ANY, ANY_ARGS
from pytest_celeryflow.shape._model import Shape

if TYPE_CHECKING:
    from pytest_celeryflow.shape._canvas import ANY_TASK, any_order, repeated

__all__ = [
    "ANY",
    "ANY_ARGS",
    "ANY_TASK",
    "Shape",
    "any_order",
    "assert_shape",
    "repeated",
    "shape",
]


class _CallableModule(ModuleType):
    __call__ = staticmethod(shape)


sys.modules[__name__].__class__ = _CallableModule
#: Where `inspect.signature` looks first.
__signature__ = inspect.signature(shape)


def __getattr__(name: str) -> Any:
    if name not in ("ANY_TASK", "any_order", "repeated"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytest_celeryflow.shape import _canvas  # noqa: PLC0415

    value = getattr(_canvas, name)
    globals()[name] = value
    return value
