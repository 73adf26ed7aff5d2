"""Where two values, or the arguments of two calls, differ: the finest path to each difference.

Relies on no Celery symbol. Not modelled: the fewest edits between two lists; they are
compared place by place, and their lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_celeryflow.shape._match import value_matches
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._value import cut_at_any_args, literal

__all__ = ["Change", "calls_apart", "mappings_apart", "values_apart"]

#: No value on this side.
NOTHING: Final = type("_Nothing", (), {"__repr__": lambda _: "nothing"})()


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        path: Where it is.
        expected: What was expected there: text, a node, a value, or None for nothing.
        actual: What is there.
        moved_to: Where the expected node is instead.
        names: Both are names of tasks.
    """

    path: str
    expected: Any
    actual: Any
    moved_to: str | None = None
    names: bool = False


def calls_apart(expected: Shape, actual: Shape, path: str) -> list[Change]:
    """List the differences between the arguments of two calls."""
    args, kwargs = expected.args, dict(expected.kwargs)
    given, given_by_name = actual.args, dict(actual.kwargs)
    cut = cut_at_any_args(args)
    if cut is not None:
        args, given = args[:cut], given[: max(cut, 0)]
        given_by_name = {key: each for key, each in given_by_name.items() if key in kwargs}
    return [
        *values_apart(list(args), list(given), f"{path}.args"),
        *mappings_apart(kwargs, given_by_name, f"{path}.kwargs"),
    ]


def mappings_apart(
    expected: Mapping[str, Any], actual: Mapping[str, Any], path: str
) -> list[Change]:
    """List the differences between two mappings."""
    return values_apart(dict(expected), dict(actual), path)


def values_apart(expected: Any, actual: Any, path: str) -> list[Change]:
    """List the differences between two values, each at its own path."""
    if value_matches(expected, actual):
        return []
    if isinstance(expected, list) and isinstance(actual, list):
        pairs = [
            (index, _get(expected, index), _get(actual, index))
            for index in range(max(len(expected), len(actual)))
        ]
    elif isinstance(expected, dict) and isinstance(actual, dict):
        keys = sorted({**expected, **actual}, key=literal)
        pairs = [(key, expected.get(key, NOTHING), actual.get(key, NOTHING)) for key in keys]
    else:
        return [Change(path, _written(expected), _written(actual))]
    out: list[Change] = []
    for key, one, two in pairs:
        out += values_apart(one, two, f"{path}[{literal(key)}]")
    return out


def _get(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else NOTHING


def _written(value: Any) -> str:
    if isinstance(value, type):
        return f"any {literal(value)}"
    if callable(value) and hasattr(value, "__name__"):
        return f"what {literal(value)} accepts"
    return literal(value)
