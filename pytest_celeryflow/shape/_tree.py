"""Draw a shape for a terminal.

    fetch('u')
    chord
    ├─┬ resize(100)
    │ └ resize(200)
    └─▶ publish()
    notify.si('done')

Steps of a chain stand one under the other; what runs at once hangs on a bracket; what waits
for all of it follows after `▶`. Callbacks are marked `╌ link`, errbacks `╌ on_error`.

Relies on no Celery symbol. Not drawn: arguments that differ in a wide group (they are
counted, as in the one-line text).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import Writer, folded, short_names

__all__ = ["tree"]


def tree(shape: Shape, *, width: int = 100) -> str:
    """Draw a shape with box-drawing characters; see `Shape.tree`."""
    lines = _lines(shape, Writer(short_names(shape)))
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines)


def _lines(shape: Shape, writer: Writer) -> Iterator[str]:
    """Yield the lines of a node and of all that is below it."""
    if shape.kind == "chain":
        steps = (_counted(step, times, writer) for step, times in folded(shape.children, writer))
        lines = [line for step in steps for line in step]
        own = _own(shape, writer)
        if own or shape.links or shape.errbacks or not lines:
            yield f"chain{own}"
            yield from _hung(lines, "  ", "  ")
        else:
            yield from lines
    elif shape.kind in ("group", "chord"):
        title = f"any order {shape.kind}" if shape.any_order else shape.kind
        yield f"{title}{_own(shape, writer)}"
        yield from _members(shape, writer)
        if shape.body is not None:
            yield from _hung(list(_lines(shape.body, writer)), "└─▶ ", "    ")
    else:
        yield writer.write(replace(shape, links=(), errbacks=()))
    for word, callbacks in (("link", shape.links), ("on_error", shape.errbacks)):
        for callback in callbacks:
            yield from _hung(list(_lines(callback, writer)), f"  ╌ {word} ", "    ")


def _own(shape: Shape, writer: Writer) -> str:
    """Write the options of a composition."""
    bare = replace(shape, children=(), body=None, links=(), errbacks=(), any_order=False)
    return writer.write(bare).partition(")")[2]


def _members(shape: Shape, writer: Writer) -> Iterator[str]:
    runs = list(folded(shape.children, writer))
    last = len(runs) - 1
    for index, (member, times) in enumerate(runs):
        lines = list(_counted(member, times, writer))
        if shape.body is None:
            first, rest = ("└─ ", "   ") if index == last else ("├─ ", "│  ")
        elif index == 0:
            first, rest = ("├─┬ ", "│ │ ") if last else ("├── ", "│   ")
        else:
            first, rest = ("│ └ ", "│   ") if index == last else ("│ ├ ", "│ │ ")
        yield from _hung(lines, first, rest)


def _counted(shape: Shape, times: int, writer: Writer) -> Iterator[str]:
    """Yield the lines of a node that stands for several alike."""
    if times == 1:
        yield from _lines(shape, writer)
        return
    lines = list(_lines(shape, writer))
    yield f"{lines[0]} × {times}" if len(lines) == 1 else f"× {times}"
    if len(lines) > 1:
        yield from _hung(lines, "  ", "  ")


def _hung(lines: list[str], first: str, rest: str) -> Iterator[str]:
    for index, line in enumerate(lines):
        yield f"{rest if index else first}{line}"
