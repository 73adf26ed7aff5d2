"""The one-line text of a shape: reads like Celery code, and equal shapes have equal text.

    fetch('u') | chord([resize(100), resize(200)], publish()) | notify.si('done')

Tasks are called by the last parts of their names, as few as tell the tasks of this shape
apart. A run of equal steps is folded, `poll() × 5`; in a run of more than ten members that
differ only in their arguments these are left out too, `group(resize(…) × 40)`. The text
without any omission is `full_text`, which `repr` uses.

Relies on no Celery symbol. Not written: ids, and anything else a `Shape` does not hold.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from pytest_celeryflow.shape._matchers import ANY_ARGS
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._value import literal

__all__ = ["METHODS", "WORDS", "Writer", "folded", "full_text", "short_names", "text"]

#: Words with a meaning of their own in the text: a task named so is written `signature('…')`.
WORDS = frozenset(
    ["ANY", "ANY_ARGS", "ANY_TASK", "any_order", "chain", "chord", "group", "repeated", "signature"]
)
#: What may follow a dot after a task or a call.
METHODS = frozenset(
    ["chunks", "clone", "link", "map", "on_error", "s", "set", "si", "stamp", "starmap"]
)

#: From how many equal neighbours on they are written once.
FOLD_EQUAL = 3
#: From how many neighbours on that differ in arguments only, these are left out.
FOLD_ALIKE = 11
#: How many items of a map are written out.
MAP_ITEMS = 12


def text(shape: Shape) -> str:
    """Write a shape on one line, wide groups folded."""
    return Writer(short_names(shape)).write(shape)


def full_text(shape: Shape) -> str:
    """Write a shape on one line with full names and every argument."""
    return Writer({}, fold=False).write(shape)


def short_names(*shapes: Shape) -> dict[str, str]:
    """Map each task name of the shapes to the shortest ending that names no other task."""
    names = sorted({node.name for shape in shapes for node in shape.walk() if node.name})
    parts = {name: name.split(".") for name in names}
    out: dict[str, str] = {}
    for name, own in parts.items():
        for length in range(1, len(own) + 1):
            ending = own[-length:]
            short = ".".join(ending)
            rivals = [each for each in names if each != name and parts[each][-length:] == ending]
            if not rivals and _is_plain(short):
                out[name] = short
                break
        else:
            out[name] = name
    return out


def _is_plain(name: str) -> bool:
    parts = name.split(".")
    return (
        all(
            part.isidentifier() and part.isascii() and not keyword.iskeyword(part) for part in parts
        )
        and parts[0] not in WORDS
        and parts[-1] not in METHODS
    )


@dataclass(frozen=True)
class Writer:
    """Writes nodes with one choice of names.

    Attributes:
        names: Full name to the name to write.
        fold: Leave out what repeats.
        elide: Leave out the arguments of every task.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    fold: bool = True
    elide: bool = False
    #: A node is written at each level above it, so what was written is kept, with the node
    #: itself, whose identity is the key.
    _written: dict[tuple[int, bool], tuple[Shape, str]] = field(default_factory=dict)

    def write(self, shape: Shape) -> str:
        """Write a node and all below it."""
        key = (id(shape), self.elide)
        if key not in self._written:
            chain = _is_plain_chain(shape)
            self._written[key] = (shape, self._steps(shape) if chain else self._one(shape))
        return self._written[key][1]

    def name(self, shape: Shape) -> str:
        """Write the name of a task."""
        name = self.names.get(shape.name, shape.name)
        return name if _is_plain(name) else f"signature({name!r})"

    def _steps(self, chain: Shape) -> str:
        return " | ".join(self._sequence(chain.children))

    def _one(self, shape: Shape) -> str:
        match shape.kind:
            case "any" | "any_task":
                out = shape.kind.upper()
            case "repeated":
                return f"repeated({self.write(shape.children[0])}, ANY)"
            case "task":
                out = self._call(shape)
            case "map" | "starmap" | "chunks":
                out = self._map(shape)
            case "chain":
                out = f"chain({', '.join(self._sequence(shape.children))})"
            case "group":
                out = f"group({', '.join(self._sequence(shape.children))})"
            case _:
                header = ", ".join(self._sequence(shape.children))
                body = f", {self.write(shape.body)}" if shape.body else ""
                out = f"chord([{header}]{body})"
        out += self._extras(shape)
        return f"any_order({out})" if shape.any_order else out

    def _call(self, shape: Shape) -> str:
        name = self.name(shape) + (".si" if shape.immutable else "")
        if self.elide and (shape.args or shape.kwargs):
            return f"{name}(…)"
        return f"{name}({arguments(shape.args, shape.kwargs)})"

    def _map(self, shape: Shape) -> str:
        inner = shape.children[0] if shape.children else None
        plain = inner is None or inner == Shape(kind="task", name=shape.name, short=shape.short)
        mapped = self.name(shape) if plain or inner is None else self._one(inner)
        items = list(shape.items)
        if self.fold and len(items) > MAP_ITEMS:
            written = f"[ANY × {len(items)}]"
        else:
            written = literal(items)
        size = f", {shape.size}" if shape.kind == "chunks" else ""
        return f"{mapped}.{shape.kind}({written}{size})"

    def _extras(self, shape: Shape) -> str:
        out = ""
        composed = shape.kind in ("chain", "group", "chord")
        if composed and (shape.args or shape.kwargs):
            out += f".clone({literal(list(shape.args))}, {literal(dict(shape.kwargs))})"
        options = dict(shape.options)
        if shape.immutable and shape.kind != "task":
            options["immutable"] = True
        if options:
            out += f".set({arguments((), options)})"
        if shape.stamps:
            out += f".stamp({arguments((), shape.stamps)})"
        for link in shape.links:
            out += f".link({self.write(link)})"
        for errback in shape.errbacks:
            out += f".on_error({self.write(errback)})"
        return out

    def _sequence(self, shapes: Iterable[Shape]) -> list[str]:
        """Write steps or members, neighbours that are alike folded into one."""
        out: list[str] = []
        for shape, times in folded(shapes, self):
            written = self.write(shape)
            if times > 1:
                written = f"({written})" if _is_plain_chain(shape) else written
                written += f" × {times}"
            out.append(written)
        return out


def folded(shapes: Iterable[Shape], writer: Writer) -> Iterator[tuple[Shape, int]]:
    """Yield siblings and how many each stands for.

    Three or more equal neighbours become one. More than ten that differ only in their
    arguments become one whose arguments are `ANY_ARGS`.
    """
    if not writer.fold:
        yield from ((shape, 1) for shape in shapes)
        return
    without = replace(writer, elide=True)
    for _, run in groupby(shapes, key=without.write):
        alike = list(run)
        equal = [list(same) for _, same in groupby(alike, key=writer.write)]
        if len(alike) >= FOLD_ALIKE and len(equal) > 1:
            yield _without_arguments(alike[0]), len(alike)
            continue
        for same in equal:
            if len(same) >= FOLD_EQUAL:
                yield same[0], len(same)
            else:
                yield from ((shape, 1) for shape in same)


def _without_arguments(shape: Shape) -> Shape:
    """Put `ANY_ARGS` for the arguments of every task below."""
    any_args: dict[str, Any] = {"args": (ANY_ARGS,), "kwargs": {}}
    called = shape.kind == "task" and (shape.args or shape.kwargs)
    return replace(
        shape,
        **(any_args if called else {}),
        children=tuple(map(_without_arguments, shape.children)),
        body=shape.body and _without_arguments(shape.body),
        links=tuple(map(_without_arguments, shape.links)),
        errbacks=tuple(map(_without_arguments, shape.errbacks)),
    )


def _is_plain_chain(shape: Shape) -> bool:
    """Whether `a | b` says it all: two steps or more, no chain among them, nothing of its own."""
    return (
        shape.kind == "chain"
        and len(shape.children) > 1
        and not any(child.kind == "chain" for child in shape.children)
        and not (shape.args or shape.kwargs or shape.options or shape.stamps)
        and not (shape.links or shape.errbacks or shape.immutable)
    )


def arguments(args: Iterable[Any], kwargs: Mapping[Any, Any]) -> str:
    """Write the arguments of a call, keywords sorted."""
    out = ["…" if each is ANY_ARGS else literal(each) for each in args]
    odd: dict[str, Any] = {}
    for key, value in sorted(kwargs.items(), key=lambda pair: str(pair[0])):
        if isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key):
            out.append(f"{key}={literal(value)}")
        else:
            odd[key] = value
    if odd:
        out.append(f"**{literal(odd)}")
    return ", ".join(out)
