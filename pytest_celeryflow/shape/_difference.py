"""Say how two shapes differ: one line, an aligned tree, and what to write instead.

The first line has at most 80 characters and names the path of the first difference, readable
as Python on the shape (`chain[1].header[3].args[0]`). The tree opens only the branches that
differ; `-` is what was expected, `+` what is there instead, `~` what moved. A matcher that
matched is shown as the value it matched, so that a line shows real differences only.

Relies on no Celery symbol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_celeryflow.shape._align import Pair, align
from pytest_celeryflow.shape._match import Matching, value_matches
from pytest_celeryflow.shape._merge import merged
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import Writer, short_names, text
from pytest_celeryflow.shape._value import cut_at_any_args
from pytest_celeryflow.shape._values_apart import Change

__all__ = ["Difference", "difference", "explain_eq"]

_FIRST_LINE = 80
_LINE = 100
_MOST_LINES = 60
_MOST_DETAILS = 5
#: pytest cuts the explanation of an assert to eight lines.
_EXPLANATION = 7


def difference(expected: Shape, actual: Shape) -> Difference | None:
    """Compare a shape with a pattern.

    Args:
        expected: The pattern.
        actual: The shape.

    Returns:
        How they differ, or None if the shape is what was expected.
    """
    matching = Matching()
    if matching.matches(expected, actual):
        return None
    return Difference(align(expected, actual, matching))


def explain_eq(left: object, right: object) -> list[str] | None:
    """Explain why `left == right` does not hold, for pytest's assertion rewriting.

    Args:
        left: The shape found.
        right: The shape it was compared with.

    Returns:
        At most seven lines, or None if these are not two shapes.
    """
    if isinstance(left, Shape) and isinstance(right, str):
        return [
            "a Shape is never equal to text",
            "Write: assert_shape(canvas, text), or shape(canvas) == Shape.parse(text)",
        ]
    if not isinstance(left, Shape) or not isinstance(right, Shape):
        return None
    found = difference(right, left)
    if found is None:
        return ["the shapes match but are not equal: a matcher counts in assert_shape only"]
    return [found.summary(), "- right side   + left side", *found.tree()[1:]][:_EXPLANATION]


class Difference:
    """How a shape differs from what was expected of it."""

    def __init__(self, root: Pair) -> None:
        self.root = root
        self.changes: list[Change] = list(root.all_changes())
        shapes = [each for each in (root.expected, root.actual) if each is not None]
        self._writer = Writer(short_names(*shapes))

    @property
    def path(self) -> str:
        """Path of the first difference."""
        return self.changes[0].path

    def summary(self) -> str:
        """Return one line of at most 80 characters: the path and what differs there."""
        first, more = self.changes[0], len(self.changes) - 1
        path = _cut_middle(first.path, _FIRST_LINE * 2 // 3)
        if first.moved_to:
            others = sum(1 for each in self.changes if each.moved_to) - 1
            more -= others
        end = f" (and {more} more)" if more > 0 else ""
        room = _FIRST_LINE - len(f"{path}: {end}")
        if first.moved_to and others:
            what = f"moved to {_last_index(first.moved_to)}, and {others} more moved"
        else:
            what = self._what(first, room)
        return f"{path}: {_cut(what, room)}{end}"

    def _what(self, change: Change, room: int) -> str:
        """Say what differs, in so many signs if it can be helped."""
        expected, actual = (
            self._written(each, change) for each in (change.expected, change.actual)
        )
        if change.moved_to:
            return f"moved to {_last_index(change.moved_to)}: {actual}"
        if actual is None:
            return f"missing: {expected}"
        if expected is None:
            return f"unexpected: {actual}"
        expected, actual = _cut_apart(expected, actual, room - len("expected , got "))
        return f"expected {expected}, got {actual}"

    def _written(self, side: object, change: Change) -> str | None:
        if isinstance(side, Shape):
            return self._writer.write(side)
        if change.names:
            return self._writer.names.get(str(side), str(side))
        return None if side is None else str(side)

    def tree(self) -> list[str]:
        """Return the lines of the aligned tree, the signs explained first."""
        lines = [_cut(line, _LINE) for line in self._lines(self.root, 0)]
        if len(lines) > _MOST_LINES:
            lines = [*lines[:_MOST_LINES], f"  … {len(lines) - _MOST_LINES} more lines"]
        moved = "   ~ moved" if any(each.moved_to for each in self.changes) else ""
        return [f"- expected   + instead{moved}", *lines]

    def _lines(self, pair: Pair, level: int) -> Iterator[str]:
        indent = "  " * level + (f"{pair.label} " if pair.label else "")
        if pair.moved_to and pair.actual is not None:
            to = _last_index(pair.moved_to)
            yield f"~ {indent}→ {to} {self._writer.write(pair.actual)}"
            return
        if pair.expected is None or pair.actual is None:
            if pair.expected is not None:
                yield f"- {indent}{self._writer.write(pair.expected)}"
            if pair.actual is not None:
                yield f"+ {indent}{self._writer.write(pair.actual)}"
            return
        if pair.is_same:
            yield f"  {indent}{self._writer.write(pair.actual)}"
            return
        if pair.changes:
            one, two = self._sides(pair)
            yield f"- {indent}{one}"
            yield f"+ {indent}{two}"
            if max(len(one), len(two)) > _LINE - len(indent) - 2 or len(pair.changes) > 1:
                yield from self._details(pair, level)
        else:
            order = " in any order" if pair.expected.any_order else ""
            yield f"  {indent}{self._head(pair.actual)}{order}"
        yield from self._children(pair, level + 1)

    def _details(self, pair: Pair, level: int) -> Iterator[str]:
        for change in pair.changes[:_MOST_DETAILS]:
            tail = "  " * (level + 2) + change.path.removeprefix(pair.path).lstrip(".")
            yield f"{tail}: {self._what(change, _LINE - len(tail) - 2)}"
        if len(pair.changes) > _MOST_DETAILS:
            yield f"  {'  ' * (level + 1)}… {len(pair.changes) - _MOST_DETAILS} more in this task"

    def _sides(self, pair: Pair) -> tuple[str, str]:
        """Write both sides of a pair that differs in itself."""
        expected, actual = pair.expected, pair.actual
        assert expected is not None
        assert actual is not None
        shown = _with_matched_values(expected, actual)
        if pair.children and any(not child.is_same for child in pair.children):
            return self._head(shown), self._head(actual)
        return self._writer.write(shown), self._writer.write(actual)

    def _head(self, shape: Shape) -> str:
        """Write a composition without what is in it."""
        if shape.is_task:
            return self._writer.write(replace(shape, links=(), errbacks=()))
        bare = replace(shape, children=(), body=None, links=(), errbacks=())
        written = self._writer.write(bare)
        return (
            written.replace("([])", "", 1)
            if shape.kind == "chord"
            else written.replace("()", "", 1)
        )

    def _children(self, pair: Pair, level: int) -> Iterator[str]:
        """Write what is below, runs of unchanged siblings folded."""
        unchanged: list[Pair] = []
        mapped = pair.actual is not None and pair.actual.is_task
        below = [each for each in pair.children if not (mapped and each.is_same)]
        for child in [*below, None]:
            if child is not None and child.is_same and child.moved_to is None:
                unchanged.append(child)
                continue
            if len(unchanged) == 1:
                yield from self._lines(unchanged[0], level)
            elif unchanged:
                yield f"  {'  ' * level}… {len(unchanged)} unchanged"
            unchanged = []
            if child is not None:
                yield from self._lines(child, level)

    def rewritten(self) -> str:
        """Return the text of the actual shape, with the matchers that did match kept."""
        return text(merged(self.root))

    @property
    def only_members_moved(self) -> bool:
        """Whether members of groups changed places, and nothing else differs."""
        return all(each.moved_to for each in self.changes) and _moves_in_groups(self.root)


def _moves_in_groups(pair: Pair) -> bool:
    in_group = pair.actual is not None and pair.actual.kind in ("group", "chord")
    return all(
        _moves_in_groups(child) and (in_group or child.moved_to is None) for child in pair.children
    )


def _with_matched_values(expected: Shape, actual: Shape) -> Shape:
    """Put the real values where a matcher matched one."""
    if expected.kind != actual.kind or not expected.is_task:
        return expected
    cut = cut_at_any_args(expected.args)
    args = list(expected.args[:cut])
    for index, value in enumerate(actual.args[: len(args)]):
        if value_matches(args[index], value):
            args[index] = value
    kwargs = dict(expected.kwargs)
    if cut is not None:
        args += actual.args[cut:]
        kwargs = {**actual.kwargs, **kwargs}
    for key in kwargs.keys() & actual.kwargs.keys():
        if value_matches(kwargs[key], actual.kwargs[key]):
            kwargs[key] = actual.kwargs[key]
    return replace(expected, args=tuple(args), kwargs=kwargs)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(width - 1, 1)] + "…"


def _cut_middle(path: str, width: int) -> str:
    if len(path) <= width:
        return path
    half = (width - 1) // 2
    return f"{path[:half]}…{path[-half:]}"


def _cut_apart(one: str, two: str, room: int) -> tuple[str, str]:
    """Cut two long texts so that the place where they part stays in sight."""
    if len(one) + len(two) <= room:
        return one, two
    at = next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), 0)
    half = max(room // 2, 12)
    widths = [max(half, room - len(two)), max(half, room - len(one))]
    start = at - half // 2 if at > half * 2 // 3 else 0
    one, two = (("…" if start else "") + each[start:] for each in (one, two))
    return _cut(one, widths[0]), _cut(two, widths[1])


def _last_index(path: str) -> str:
    return path[path.rindex("[") :]
