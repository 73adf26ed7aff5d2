"""A difference between mode ``eager`` and a worker, as a case that can be run.

A case is a function that is given an app, defines its tasks there and returns the canvas. What is
told of it on the page stands in its decorator; the page's table comes from running it.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.compare import Comparison, compared, observed

__all__ = ["Lie", "lie"]


@dataclass(frozen=True, kw_only=True)
class Lie:
    """One difference.

    Attributes:
        make: Given an app, defines tasks and returns the canvas.
        title: What eager mode makes believe, in a few words.
        eager: What happens eagerly.
        worker: What a worker does.
        why: The place in Celery that makes it so.
        differs: What must differ, as `Difference.what` names it.
        against: The mode that it is compared with: ``worker``, or ``sim`` where a thread cannot.
        options: Keywords of that mode's context manager.
        eager_options: Those of `run_eager`.
        varies: What of it differs otherwise in older versions of Celery; ``worker`` says how.
        needs_redis: Whether redis-py is needed.
    """

    make: Callable[[Celery], Any]
    title: str
    eager: str
    worker: str
    why: str
    differs: tuple[str, ...]
    against: str = "worker"
    options: Mapping[str, Any] = field(default_factory=dict)
    eager_options: Mapping[str, Any] = field(default_factory=dict)
    varies: tuple[str, ...] = ()
    needs_redis: bool = False

    @property
    def name(self) -> str:
        """The case's name, and the id of its test."""
        return self.make.__name__

    def __str__(self) -> str:
        return self.name

    def compared(self) -> Comparison:
        """Run it eagerly and in the other mode, each with tasks and objects of its own."""
        seen = {}
        for mode in ("eager", self.against):
            options = self.options if mode == self.against else self.eager_options
            with FreshApp("shop", set_as_current=False) as app:
                seen[mode] = observed(app, mode, self.make(app), options)
        return compared(seen, ())

    def source(self) -> str:
        """The tasks and the canvas, as a user would write them."""
        lines = inspect.getsource(self.make).splitlines()
        start = next(n for n, line in enumerate(lines) if line.startswith("def ")) + 1
        return textwrap.dedent("\n".join(lines[start:])).strip().replace("\nreturn ", "\ncanvas = ")


def lie(**told: Any) -> Callable[[Callable[[Celery], Any]], Lie]:
    """Make a case of a function."""

    def decorate(make: Callable[[Celery], Any]) -> Lie:
        return Lie(make=make, **told)

    return decorate
