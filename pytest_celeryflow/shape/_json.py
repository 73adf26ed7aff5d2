"""A shape as JSON and back, for histories and reports.

What JSON has is left as it is; any other value becomes `{"literal": text}` and is read back
from its text, or, if the text is no literal, kept as a value that equals it.

Relies on no Celery symbol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._parse import parse_value
from pytest_celeryflow.shape._value import Written, literal

__all__ = ["from_json", "to_json"]

_PLAIN = ("name", "immutable", "size", "any_order", "short")
_LISTS = ("args", "items")
_MAPPINGS = ("kwargs", "options", "stamps")
_SHAPES = ("children", "links", "errbacks")

_JSON = (type(None), bool, int, float, str)
_LITERAL = "literal"


def to_json(shape: Shape) -> dict[str, Any]:
    """Write a shape as plain data; see `Shape.to_json`."""
    out: dict[str, Any] = {"kind": shape.kind}
    out |= {name: getattr(shape, name) for name in _PLAIN if getattr(shape, name)}
    for name in _LISTS + _MAPPINGS:
        if found := getattr(shape, name):
            out[name] = _value_to_json(list(found) if name in _LISTS else dict(found))
    for name in _SHAPES:
        if found := getattr(shape, name):
            out[name] = [to_json(child) for child in found]
    if shape.body is not None:
        out["body"] = to_json(shape.body)
    return out


def from_json(data: Mapping[str, Any]) -> Shape:
    """Build a shape from plain data; see `Shape.from_json`."""
    known = dict(data)
    if unknown := known.keys() - Shape.__dataclass_fields__.keys():
        valid = ", ".join(Shape.__dataclass_fields__)
        raise ValueError(f"unknown attributes {sorted(unknown)}; valid are {valid}")
    for name in known.keys() & {*_LISTS, *_MAPPINGS}:
        known[name] = _value_from_json(known[name])
    for name in known.keys() & set(_SHAPES):
        known[name] = tuple(from_json(child) for child in known[name])
    if known.get("body") is not None:
        known["body"] = from_json(known["body"])
    return Shape(**known)


def _value_to_json(value: Any) -> Any:
    if isinstance(value, _JSON):
        return value
    if isinstance(value, list):
        return [_value_to_json(each) for each in value]
    plain_keys = isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if plain_keys and value.keys() != {_LITERAL}:
        return {key: _value_to_json(each) for key, each in value.items()}
    return {_LITERAL: literal(value)}


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_value_from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {_LITERAL}:
        return {key: _value_from_json(each) for key, each in value.items()}
    try:
        return parse_value(value[_LITERAL])
    except ValueError:
        return Written(value[_LITERAL])
