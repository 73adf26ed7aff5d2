"""Where everything goes in the SVG drawing of a shape.

A part of the drawing is a `Block`: a size, an axis (the height at which it is joined to its
neighbours), the points where arrows come in and go out, and what is drawn. Blocks are put
side by side for a chain, one above the other for a group; nothing else is needed, because a
canvas is series-parallel.

Relies on no Celery symbol and measures no font: a sign is 7.25 wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import Writer, folded, short_names

__all__ = ["Bar", "Block", "Box", "Line", "Turn", "layout"]

_SIGN = 7.25
_LABEL = 44
_NODE = 28
_CELL = 22
_GAP = 48
_STACK = 10
_PAD = 12
#: A group of more plain tasks than this is drawn as a grid.
_STACKED = 12
#: Up to so many members are drawn each for itself, however alike.
_EACH = 4
#: A chain wider than this goes on in the next row.
_ROW = 1180

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A task (kind "task", "link" or "error"), or a frame around several."""

    x: float
    y: float
    width: float
    height: float
    label: str
    title: str = ""
    kind: str = "task"


@dataclass(frozen=True)
class Bar:
    """The barrier of a chord."""

    x: float
    y: float
    height: float


@dataclass(frozen=True)
class Line:
    """An arrow: "then", "link" or "error"."""

    start: Point
    end: Point
    kind: str = "then"
    arrow: bool = True


@dataclass(frozen=True)
class Turn:
    """An arrow from the end of a row to the start of the next, at height `between`."""

    start: Point
    end: Point
    between: float
    arrow: bool = True


Part = Box | Bar | Line | Turn


@dataclass(frozen=True)
class Block:
    """A laid-out part of the drawing; its left upper corner is the origin."""

    width: float
    height: float
    axis: float
    ins: tuple[Point, ...]
    outs: tuple[Point, ...]
    parts: tuple[Part, ...]

    def moved(self, x: float, y: float) -> Block:
        """Return the block at another place."""
        return replace(
            self,
            axis=self.axis + y,
            ins=tuple((a + x, b + y) for a, b in self.ins),
            outs=tuple((a + x, b + y) for a, b in self.outs),
            parts=tuple(_moved(part, x, y) for part in self.parts),
        )


def _moved(part: Part, x: float, y: float) -> Part:
    match part:
        case Box() | Bar():
            return replace(part, x=part.x + x, y=part.y + y)
        case Line(start=(a, b), end=(c, d)):
            return replace(part, start=(a + x, b + y), end=(c + x, d + y))
        case Turn(start=(a, b), end=(c, d)):
            return replace(part, start=(a + x, b + y), end=(c + x, d + y), between=part.between + y)


def layout(shape: Shape) -> Block:
    """Lay out a whole shape."""
    return _Layout(Writer(short_names(shape))).block(shape)


@dataclass(frozen=True)
class _Layout:
    writer: Writer
    kind: str = "task"

    def block(self, shape: Shape, times: int = 1) -> Block:
        """Lay out a node, what is below it and its callbacks."""
        if shape.is_task or shape.kind == "any" or (not shape.children and shape.body is None):
            return self._with_callbacks(shape, self._task(shape, times))
        inside = self._inside(shape)
        own = self._own(shape)
        if times > 1 or own or shape.any_order or shape.links or shape.errbacks:
            order = "any order " if shape.any_order else ""
            count = f"{times} × " if times > 1 else ""
            inside = _framed(inside, f"{count}{order}{shape.kind}{own}", several=times > 1)
        return self._with_callbacks(shape, inside)

    def _inside(self, shape: Shape) -> Block:
        if shape.kind == "chain":
            return _row([self.block(child) for child in shape.children])
        if shape.body is None:
            return self._members(shape)
        body = self.block(shape.body)
        return _row([_barred(self._members(shape)), body]) if shape.children else body

    def _members(self, shape: Shape) -> Block:
        children = shape.children
        plain = all(each.is_task and not each.links and not each.errbacks for each in children)
        if plain and len(children) > _STACKED:
            return self._grid(children)
        return _stack([self.block(child, times) for child, times in self._runs(children)])

    def _runs(self, children: Sequence[Shape]) -> list[tuple[Shape, int]]:
        """Fold members that are alike, unless they are few."""
        if len(children) <= _EACH:
            return [(child, 1) for child in children]
        return list(folded(children, self.writer))

    def _task(self, shape: Shape, times: int = 1) -> Block:
        title = self.writer.write(replace(shape, links=(), errbacks=()))
        label = _cut(title) + (f" × {times}" if times > 1 else "")
        width = round(len(label) * _SIGN) + 18
        box = Box(0, 0, width, _NODE, label, title, self.kind)
        back = (replace(box, x=6, y=-6, label=""), replace(box, x=3, y=-3, label=""))
        middle = _NODE / 2
        fan = _fan(middle, 5) if times > 1 else [middle]
        return Block(
            width, _NODE, middle, tuple((0, y) for y in fan), tuple((width, y) for y in fan),
            (*(back if times > 1 else ()), box),
        )  # fmt: skip

    def _grid(self, children: Sequence[Shape]) -> Block:
        """Lay out many plain tasks in columns, in a frame; arrows come in at each row."""
        titles = [self.writer.write(child) for child in children]
        labels = [_cut(title, 24) for title in titles]
        cell = round(max(map(len, labels)) * _SIGN) + 18
        step_x, step_y, top = cell + 6, _CELL + 4, 22
        rows = max(8, math.ceil(math.sqrt(len(labels) * step_x / step_y / 1.2)))
        columns = math.ceil(len(labels) / min(rows, len(labels)))
        rows = math.ceil(len(labels) / columns)
        width, height = columns * step_x + 2 * _PAD - 6, top + rows * step_y + _PAD - 4
        boxes = tuple(
            Box(
                _PAD + index // rows * step_x, top + index % rows * step_y, cell, _CELL,
                label, title, self.kind,
            )
            for index, (label, title) in enumerate(zip(labels, titles, strict=True))
        )  # fmt: skip
        heights = [top + row * step_y + _CELL / 2 for row in range(rows)]
        frame = Box(0, 0, width, height, f"{len(labels)} at once", kind="grid")
        return Block(
            width, height, top + (rows * step_y - 4) / 2,
            tuple((0, y) for y in heights), tuple((width, y) for y in heights), (frame, *boxes),
        )  # fmt: skip

    def _own(self, shape: Shape) -> str:
        bare = replace(shape, children=(), body=None, links=(), errbacks=(), any_order=False)
        return _cut(self.writer.write(bare).partition(")")[2])

    def _with_callbacks(self, shape: Shape, main: Block) -> Block:
        """Hang the callbacks of a node under it."""
        parts, width, height = list(main.parts), main.width, main.height
        bottom = max((b.y + b.height for b in main.parts if isinstance(b, Box)), default=height)
        for kind, callbacks in (("link", shape.links), ("error", shape.errbacks)):
            x = 12 if kind == "link" else 20
            for callback in callbacks:
                block = replace(self, kind=kind).block(callback).moved(44, height + _STACK)
                parts += block.parts
                entry = block.ins[len(block.ins) // 2]
                parts.append(Line((x, bottom), (entry[0], block.axis), kind))
                width, height = max(width, 44 + block.width), height + _STACK + block.height
        return replace(main, width=width, height=height, parts=tuple(parts))


def _row(blocks: Sequence[Block]) -> Block:
    """Put blocks side by side on one axis; go on in the next row when it gets too wide."""
    rows: list[list[Block]] = [[]]
    width = 0.0
    for block in blocks:
        if rows[-1] and width + _GAP + block.width > _ROW:
            rows.append([])
            width = 0.0
        width += block.width + (_GAP if rows[-1] else 0)
        rows[-1].append(block)
    placed = [_one_row(row) for row in rows]
    if len(placed) == 1:
        return placed[0]
    parts: list[Part] = []
    y, before = 0.0, None
    indent = 24 + (_GAP if any(len(row.ins) > 1 for row in placed[1:]) else 0)
    for row in placed:
        here = row.moved(indent, y)
        parts += here.parts
        if before is not None:
            edge = indent + before.width
            end = (min(x for x, _ in here.ins), here.axis)
            if len(here.ins) > 1:
                end = (24.0, here.axis)
                parts += [Line(end, into) for into in here.ins]
            parts += [Line(out, (edge, before.axis), arrow=False) for out in before.outs]
            parts.append(Turn((edge, before.axis), end, y - 16, arrow=len(here.ins) == 1))
        before, y = here, y + row.height + 32
    assert before is not None
    return Block(
        max(row.width for row in placed) + indent + 24, y - 32, placed[0].axis,
        placed[0].moved(indent, 0).ins, before.outs, tuple(parts),
    )  # fmt: skip


def _one_row(blocks: Sequence[Block]) -> Block:
    axis = max(block.axis for block in blocks)
    x, parts = 0.0, list[Part]()
    placed: list[Block] = []
    for block in blocks:
        here = block.moved(x, axis - block.axis)
        if placed:
            parts += _joined(placed[-1].outs, here.ins, x - _GAP)
        parts += here.parts
        placed.append(here)
        x += block.width + _GAP
    height = max(axis - block.axis + block.height for block in blocks)
    return Block(x - _GAP, height, axis, placed[0].ins, placed[-1].outs, tuple(parts))


def _joined(outs: Sequence[Point], ins: Sequence[Point], edge: float) -> list[Part]:
    """Draw the arrows between two neighbours, the first of which reaches to `edge`."""
    reach = [Line(out, (edge, out[1]), arrow=False) for out in outs if out[0] < edge]
    outs = [(edge, y) for _, y in outs]
    if len(outs) == 1 or len(ins) == 1:
        return [*reach, *(Line(out, into) for out in outs for into in ins)]
    right = min(x for x, _ in ins)
    middle = ((edge + right) / 2, sum(y for _, y in ins) / len(ins))
    return [
        *reach,
        *(Line(out, middle, arrow=False) for out in outs),
        *(Line(middle, into) for into in ins),
    ]


def _stack(blocks: Sequence[Block]) -> Block:
    """Put blocks one above the other."""
    width = max(block.width for block in blocks)
    y, placed = 0.0, list[Block]()
    for block in blocks:
        placed.append(block.moved(0, y))
        y += block.height + _STACK
    return Block(
        width, y - _STACK, (placed[0].axis + placed[-1].axis) / 2,
        tuple(point for block in placed for point in block.ins),
        tuple(point for block in placed for point in block.outs),
        tuple(part for block in placed for part in block.parts),
    )  # fmt: skip


def _barred(header: Block) -> Block:
    """Draw the barrier of a chord behind its header."""
    x = header.width + 20
    low, high = min(y for _, y in header.outs), max(y for _, y in header.outs)
    bar = Bar(x, low - 11, high - low + 22)
    lines = tuple(Line(out, (x, out[1]), arrow=False) for out in header.outs)
    return replace(
        header, width=x + 4, outs=((x + 4, header.axis),), parts=(*header.parts, bar, *lines)
    )


def _framed(block: Block, label: str, *, several: bool) -> Block:
    """Draw a frame around a block; three, one behind the other, if it stands for several."""
    inside = block.moved(_PAD, 24)
    width = max(block.width + 2 * _PAD, len(label) * _SIGN + 20)
    height = block.height + 24 + _PAD
    frame = Box(0, 0, width, height, label, kind="frame")
    behind = [replace(frame, x=n, y=-n, label="") for n in (8, 4)] if several else []
    if several:
        fan = _fan(inside.axis, 7)
        ins, outs = [(0.0, y) for y in fan], [(width, y) for y in fan]
        return Block(
            width, height, inside.axis, tuple(ins), tuple(outs), (*behind, frame, *inside.parts)
        )
    into = tuple(Line((0, y), (x, y), arrow=False) for x, y in inside.ins)
    out = tuple(Line((x, y), (width, y), arrow=False) for x, y in inside.outs)
    return Block(
        width, height, inside.axis,
        tuple((0, y) for _, y in inside.ins), tuple((width, y) for _, y in inside.outs),
        (frame, *into, *out, *inside.parts),
    )  # fmt: skip


def _fan(axis: float, apart: float) -> list[float]:
    """Heights of the arrows to something that stands for several."""
    return [axis + n * apart for n in (-2, -1, 0, 1, 2)]


def _cut(label: str, width: int = _LABEL) -> str:
    return label if len(label) <= width else f"{label[: width - 1]}…"
