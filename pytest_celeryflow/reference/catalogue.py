"""All reference workflows, in the order of `workflows.MODULES`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from pytest_celeryflow.reference.declaration import Workflow
from pytest_celeryflow.reference.workflows import MODULES

__all__ = ["WORKFLOWS", "modules"]


def modules() -> list[ModuleType]:
    """The modules of the workflows; each has `WORKFLOWS`."""
    return [import_module(name) for name in MODULES]


WORKFLOWS: tuple[Workflow, ...] = tuple(each for module in modules() for each in module.WORKFLOWS)
