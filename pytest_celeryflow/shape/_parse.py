"""Read the one-line text back: `Shape.parse`.

The text is a Python expression but for two signs, `×` and `…`, which are written `@` and
`...` before Python's own parser sees them. Nothing is evaluated.

Relies on no Celery symbol. Not read back: objects that have no literal (their text is only
for the eye), and what the text leaves out (`resize(…) × 40` is read as forty tasks with any
arguments, which equal the forty that were meant).
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import METHODS, WORDS
from pytest_celeryflow.shape._unrolled import spliced, unrolled
from pytest_celeryflow.shape._value import dotted, from_literal

__all__ = ["parse", "parse_value"]

_STRING = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""")
_FORM = "fetch('u') | chord([resize(…) × 40], publish()) | notify.si('done')"


def parse(text: str) -> Shape:
    """Read a shape from its text; see `Shape.parse`."""
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}, not str")
    source = _as_python(text)
    try:
        tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise ValueError(
            f"not the text of a shape: {error.msg}, at column {error.offset}\n"
            f"  {text}\nThe form is: {_FORM}"
        ) from None
    try:
        return _shape(tree)
    except ValueError as error:
        raise ValueError(
            f"not the text of a shape: {error}\n  {text}\nThe form is: {_FORM}"
        ) from None


def parse_value(text: str) -> Any:
    """Read one value from its literal text.

    Raises:
        ValueError: The text is not a literal.
    """
    try:
        return from_literal(ast.parse(_as_python(text), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"{text!r} is not a literal: {error.msg}") from None


def _as_python(text: str) -> str:
    """Write the two signs in ASCII, outside of strings; a text of many lines as one."""
    pieces = _STRING.split(" ".join(text.split("\n")))
    pieces[::2] = [each.replace("×", "@").replace("…", "...") for each in pieces[::2]]
    return "".join(pieces).strip()


def _shape(node: ast.expr) -> Shape:
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return Shape(kind="chain", children=_steps(_operands(node)))
        case ast.BinOp(op=ast.MatMult()):  # nothing but one step, several times
            return Shape(kind="chain", children=_steps([node]))
        case ast.Name(id="ANY"):
            return Shape(kind="any")
        case ast.Name(id="ANY_TASK"):
            return Shape(kind="any_task")
        case ast.Call(func=ast.Name(id=word)) if word in WORDS and word != "signature":
            return _composed(word, node)
        case ast.Call(func=ast.Attribute(value=target, attr=method)) if method in METHODS:
            return _method(target, method, node)
        case ast.Call(func=func):
            return _with_arguments(_task(func), node)
    raise ValueError(f"{ast.unparse(node)!r} is not a step; write a call, such as fetch('u')")


def _operands(node: ast.expr) -> list[ast.expr]:
    """Take `a | b | c` apart, without a Python frame for each bar."""
    out: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        out.append(node.right)
        node = node.left
    return [node, *reversed(out)]


def _steps(nodes: list[ast.expr]) -> tuple[Shape, ...]:
    """The steps of a chain; a chord with a chain for its body is several."""
    return spliced((_is_chord(node), step) for node in nodes for step in _many([node]))


def _is_chord(node: ast.expr) -> bool:
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "chord"


def _many(nodes: list[ast.expr]) -> tuple[Shape, ...]:
    out: list[Shape] = []
    for node in nodes:
        match node:
            case (
                ast.BinOp(left=one, op=ast.MatMult(), right=times)
                | ast.Call(func=ast.Name(id="repeated"), args=[one, times])
            ):
                out.extend(_repeat(_shape(one), times))
            case _:
                out.append(_shape(node))
    return tuple(out)


def _repeat(one: Shape, times: ast.expr) -> list[Shape]:
    match times:
        case ast.Constant(value=int(number)) if number >= 0:
            return [one] * number
        case ast.Name(id="ANY"):
            return [Shape(kind="repeated", children=(one,))]
    raise ValueError(f"{ast.unparse(times)!r} is not a number of times")


def _composed(word: str, node: ast.Call) -> Shape:
    if word == "repeated":
        found = _many([node])
        return found[0] if len(found) == 1 else Shape(kind="chain", children=found)
    if word == "any_order":
        if len(node.args) != 1 or (inner := _shape(node.args[0])).kind not in ("group", "chord"):
            raise ValueError("any_order() takes one group or chord")
        return replace(inner, any_order=True)
    if word == "chord":
        match node.args:
            case [ast.List(elts=header)]:
                return Shape(kind="chord", children=_many(header))
            case [ast.List(elts=header), body]:
                return unrolled(Shape(kind="chord", children=_many(header), body=_shape(body)))
        raise ValueError("chord() takes a list, the header, and the body")
    if word not in ("chain", "group"):
        raise ValueError(f"{word} is not called")
    if word == "chain":
        return Shape(kind="chain", children=_steps(node.args))
    return Shape(kind="group", children=_many(node.args))


def _task(node: ast.expr) -> Shape:
    match node:
        case ast.Call(func=ast.Name(id="signature"), args=[ast.Constant(value=str(given))]):
            return Shape(kind="task", name=given, short=True)
    if (name := dotted(node)) is not None:
        return Shape(kind="task", name=name, short=True)
    raise ValueError(f"{ast.unparse(node)!r} does not name a task")


def _with_arguments(shape: Shape, call: ast.Call) -> Shape:
    return replace(
        shape, args=tuple(from_literal(each) for each in call.args), kwargs=_keywords(call)
    )


def _keywords(call: ast.Call) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for each in call.keywords:
        out.update({each.arg: from_literal(each.value)} if each.arg else from_literal(each.value))
    return out


def _method(target: ast.expr, method: str, call: ast.Call) -> Shape:
    if method in ("s", "si"):
        return _with_arguments(replace(_task(target), immutable=method == "si"), call)
    if method in ("map", "starmap", "chunks"):
        return _map(target, method, call)
    shape = _shape(target)
    if method == "clone":
        args, kwargs = (from_literal(each) for each in call.args)
        return replace(shape, args=tuple(args), kwargs=kwargs)
    if method == "set":
        options = _keywords(call)
        immutable = bool(options.pop("immutable", shape.immutable))
        return replace(shape, options={**shape.options, **options}, immutable=immutable)
    if method == "stamp":
        return replace(shape, stamps={**shape.stamps, **_keywords(call)})
    callbacks = _many(call.args)
    if method == "link":
        return replace(shape, links=shape.links + callbacks)
    return replace(shape, errbacks=shape.errbacks + callbacks)


def _map(target: ast.expr, kind: str, call: ast.Call) -> Shape:
    named = dotted(target) is not None or (
        isinstance(target, ast.Call) and dotted(target.func) == "signature"
    )
    inner = _task(target) if named else _shape(target)
    items, *rest = (from_literal(each) for each in call.args)
    return Shape(
        kind=kind,  # type: ignore[arg-type]
        name=inner.name,
        short=inner.short,
        children=(inner,),
        items=tuple(items),
        size=rest[0] if rest else None,
    )
