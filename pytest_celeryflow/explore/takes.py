"""What a task takes and what it gives, read off its signature and its annotations.

For drawing workflows that hold together: what a task gives goes to the next task of a chain as
its first argument, and what a group gives goes to the body of a chord, as a list. Where
nothing is annotated, nothing is known, and everything fits.

Relies on ``task.run`` being the user's function, bound to the task for ``bind=True``
(`celery/app/base.py:Celery._task_from_fun`).
"""

from __future__ import annotations

import collections.abc
import inspect
import math
import typing
from dataclasses import dataclass
from typing import Any

__all__ = ["ANYTHING", "Results", "Takes", "takes"]

#: Not annotated, or annotated as `typing.Any`.
ANYTHING: Any = Any

_LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


@dataclass(frozen=True)
class Results:
    """What a group gives: a list of what its members give, or of lists."""

    members: tuple[Any, ...]


@dataclass(frozen=True)
class Takes:
    """What one task takes and gives.

    Attributes:
        positional: Names of the parameters that are given by position, in order, of those that
            must be given.
        keywords: Names of those that must be given by keyword.
        most: How many arguments it takes by position at most; infinity for ``*args``.
        annotations: Name -> annotation; `ANYTHING` where there is none.
        gives: The annotation of what it returns.
        first: The annotation of its first parameter, whether that must be given or not;
            ``None`` when it takes no argument by position.
    """

    positional: tuple[str, ...]
    keywords: tuple[str, ...]
    most: float
    annotations: dict[str, Any]
    gives: Any
    first: Any

    @property
    def a_list(self) -> bool:
        """Whether its first argument is a list."""
        return _is_list(self.first)

    def fits(self, given: Any) -> bool:
        """Whether it can be given, as its first argument, what another task gives.

        Args:
            given: What the other's ``gives`` says.
        """
        if self.first is None or given is None:
            return False
        if given == self.first and given is not ANYTHING:
            return True
        if self.a_list or _is_list(given):
            return False
        return self.first is ANYTHING or given is ANYTHING

    def joins(self, results: Results) -> bool:
        """Whether it can be given these as one list, if it can be given lists at all."""
        wanted = (*typing.get_args(self.first), ANYTHING)[0]
        return all(
            not isinstance(gives, Results) and (wanted is ANYTHING or gives in (wanted, ANYTHING))
            for gives in results.members
        )


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) in _LISTS or annotation in _LISTS


def takes(task: Any) -> Takes:
    """Read a task's signature.

    Raises:
        ValueError: Its annotations name something that cannot be found.
    """
    try:
        hints = typing.get_type_hints(task.run)
    except (NameError, TypeError) as exc:
        raise ValueError(f"tasks: the annotations of {task.name} cannot be read: {exc}") from exc
    parameters = list(inspect.signature(task.run).parameters.values())
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in by_position if p.default is p.empty]
    spread = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = {p.name: hints.get(p.name, ANYTHING) for p in parameters}
    first = named[by_position[0].name] if by_position else (ANYTHING if spread else None)
    return Takes(
        positional=tuple(p.name for p in needed),
        keywords=tuple(
            p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty
        ),
        most=math.inf if spread else len(by_position),
        annotations=named,
        gives=_given(hints),
        first=first,
    )


def _given(hints: dict[str, Any]) -> Any:
    if "return" not in hints:
        return ANYTHING
    return None if hints["return"] is type(None) else hints["return"]
