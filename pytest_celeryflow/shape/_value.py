"""Argument and option values inside a shape: copied, compared, hashed over, written and read.

A shape holds what a JSON message would carry, so a tuple counts as a list, a subclass of
`str` or `int` as its plain value, and the order of a mapping's keys as nothing. Numbers are
compared with their type: 1, 1.0 and True are three values, as they are in a message. Any
other object is compared by its own `__eq__`, which is how matchers work.

Relies on no Celery symbol. Not modelled: serializers other than JSON keep more apart (a
tuple and a list differ under pickle).
"""

from __future__ import annotations

import ast
import datetime as dt
import math
import re
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NoReturn, Self

from pytest_celeryflow.shape._matchers import ANY, ANY_ARGS

#: Types whose equal values may be written differently (1 and True, 0.0 and -0.0, one instant
#: in two time zones): equal here means of one type and written alike.
_EXACT = (bool, int, float, Decimal, dt.datetime, dt.time)

#: From how many equal items of a list on they are written once.
_FOLD = 5

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def normal(value: Any) -> Any:
    """Copy a value into the form a JSON message gives it.

    Args:
        value: Any argument of a task. Generators are left alone, never consumed.

    Returns:
        The value with tuples as lists and subclasses of `str`, `int` and `float` as plain
        values, containers copied; any other object itself.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return [normal(each) for each in value]
    if isinstance(value, Mapping):
        return {normal(key): normal(each) for key, each in value.items()}
    return value


def same(left: Any, right: Any) -> bool:
    """Tell whether two normal values are equal."""
    if left is right:
        return True
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, _EXACT) and isinstance(right, _EXACT):
        return type(left) is type(right) and repr(left) == repr(right)
    try:
        return bool(left == right)
    except (TypeError, ValueError):  # arrays of numpy compare by element
        return repr(left) == repr(right)


def same_call(
    left: tuple[tuple[Any, ...], Mapping[str, Any]],
    right: tuple[tuple[Any, ...], Mapping[str, Any]],
    equal: Callable[[Any, Any], bool] = same,
) -> bool:
    """Tell whether two calls have the same arguments; `ANY_ARGS` in either stands for the rest."""
    (args, kwargs), (other_args, other_kwargs) = left, right
    here, there = cut_at_any_args(args), cut_at_any_args(other_args)
    if here is None and there is None:
        return (
            len(args) == len(other_args)
            and len(kwargs) == len(other_kwargs)
            and all(map(equal, args, other_args))
            and kwargs.keys() == other_kwargs.keys()
            and all(equal(kwargs[key], other_kwargs[key]) for key in kwargs)
        )
    first, second = args[:here], other_args[:there]
    if (here is None and len(args) < len(second)) or (
        there is None and len(other_args) < len(first)
    ):
        return False
    if (here is None and not other_kwargs.keys() <= kwargs.keys()) or (
        there is None and not kwargs.keys() <= other_kwargs.keys()
    ):
        return False
    return all(equal(one, two) for one, two in zip(first, second, strict=False)) and all(
        equal(kwargs[key], other_kwargs[key]) for key in kwargs.keys() & other_kwargs.keys()
    )


def cut_at_any_args(args: tuple[Any, ...]) -> int | None:
    """Return where `ANY_ARGS` stands among positional arguments, or None."""
    for index, each in enumerate(args):
        if each is ANY_ARGS:
            return index
    return None


def literal(value: Any) -> str:
    """Write a value on one line, the same for equal values, without memory addresses.

    >>> literal({"b": (1, 2), "a": "x"})
    "{'a': 'x', 'b': [1, 2]}"
    """
    if value is ANY_ARGS:
        return "…"
    if isinstance(value, list | tuple):
        return f"[{_listed(map(literal, value))}]"
    if isinstance(value, dict):
        pairs = sorted((literal(key), literal(each)) for key, each in value.items())
        return "{" + ", ".join(f"{key}: {each}" for key, each in pairs) + "}"
    if isinstance(value, set | frozenset):
        inside = "{" + _listed(sorted(map(literal, value))) + "}" if value else ""
        if isinstance(value, frozenset):
            return f"frozenset({inside})"
        return inside or "set()"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, type):
        return _type_name(value)
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return " ".join(_ADDRESS.sub("", repr(value)).split("\n"))


class Values(dict[str, Any]):
    """A mapping that cannot be changed; unlike `types.MappingProxyType` it can be copied."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a Shape cannot be changed; use dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Values, (dict(self),)


class Written:
    """Stands for an object of which only its literal text was kept, and equals such an object."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return literal(other) == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def _type_name(value: type) -> str:
    return value.__name__ if value.__module__ == "builtins" else value.__qualname__


def _listed(written: Any) -> str:
    """Join, folding a run of five or more equal values into `x × n`."""
    out: list[tuple[str, int]] = []
    for each in written:
        if out and out[-1][0] == each:
            out[-1] = (each, out[-1][1] + 1)
        else:
            out.append((each, 1))
    return ", ".join(
        f"{each} × {times}" if times >= _FOLD else ", ".join([each] * times) for each, times in out
    )


#: Names that may stand in the text for a value, and what they mean.
_NAMES: dict[str, Any] = {
    "ANY": ANY,
    "ANY_ARGS": ANY_ARGS,
    "datetime.timezone.utc": dt.timezone.utc,  # noqa: UP017 - the repr of a datetime says so
    **{each.__name__: each for each in (bool, bytes, dict, float, int, list, set, str, tuple)},
}

_CALLS: dict[str, Callable[..., Any]] = {
    "datetime.datetime": dt.datetime,
    "datetime.date": dt.date,
    "datetime.time": dt.time,
    "datetime.timedelta": dt.timedelta,
    "datetime.timezone": dt.timezone,
    "zoneinfo.ZoneInfo": zoneinfo.ZoneInfo,
    "Decimal": Decimal,
    "UUID": uuid.UUID,
    "set": set,
    "frozenset": frozenset,
    "float": float,
}


def dotted(node: ast.AST) -> str | None:
    """Return the dotted name an expression consists of, or None if it is something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def from_literal(node: ast.expr) -> Any:
    """Read a value from the syntax tree of its `literal`.

    Raises:
        ValueError: The text names an object that text cannot carry.
    """
    match node:
        case ast.Constant(value=value):
            return ANY_ARGS if value is Ellipsis else value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = from_literal(operand)
            return -number if isinstance(sign, ast.USub) else number
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return _from_items(items)
        case ast.Set(elts=items):
            return set(_from_items(items))
        case ast.Dict(keys=keys, values=values):
            return {
                from_literal(key): from_literal(each)
                for key, each in zip(keys, values, strict=True)
                if key is not None
            }
        case ast.Name() | ast.Attribute() if (name := dotted(node)) in _NAMES:
            return _NAMES[name or ""]
        case ast.Call(func=func, args=args, keywords=keywords) if (name := dotted(func)) in _CALLS:
            return _CALLS[name or ""](
                *(from_literal(each) for each in args),
                **{each.arg: from_literal(each.value) for each in keywords if each.arg},
            )
    raise ValueError(f"{ast.unparse(node)!r} is not a value that text can carry")


def _from_items(items: list[ast.expr]) -> list[Any]:
    out: list[Any] = []
    for item in items:
        match item:
            case ast.BinOp(left=one, op=ast.MatMult(), right=ast.Constant(value=int(times))):
                out.extend(from_literal(one) for _ in range(times))
            case _:
                out.append(from_literal(item))
    return out
