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
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import Writer, short_names, text
from pytest_celeryflow.shape._value import cut_at_any_args
from pytest_celeryflow.shape._values_apart import Change

__all__ = ["Difference", "difference", "explain_eq"]

_FIRST_LINE = 80
_LINE = 100
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
    return [found.summary(), "- right side   + left side", *found.tree()][:_EXPLANATION]


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
        if first.moved_to:
            others = sum(1 for each in self.changes if each.moved_to) - 1
            to = first.moved_to[first.moved_to.rindex("[") :]
            what = f"moved to {to}: {self._written(first.actual, first)}"
            what = f"moved to {to}, and {others} more moved" if others else what
            more -= others
        else:
            what = self._what(first)
        end = f" (and {more} more)" if more > 0 else ""
        path = _cut_middle(first.path, _FIRST_LINE * 2 // 3)
        return f"{path}: {_cut(what, _FIRST_LINE - len(path) - len(end) - 2)}{end}"

    def _what(self, change: Change) -> str:
        expected, actual = (
            self._written(each, change) for each in (change.expected, change.actual)
        )
        if actual is None or change.actual is None:
            return f"missing: {expected}"
        if expected is None or change.expected is None:
            return f"unexpected: {actual}"
        room = (_FIRST_LINE - min(len(change.path), _FIRST_LINE * 2 // 3) - 30) // 2
        expected, actual = _cut_apart(expected, actual, max(room, 12))
        return f"expected {expected}, got {actual}"

    def _written(self, side: object, change: Change) -> str | None:
        if isinstance(side, Shape):
            return self._writer.write(side)
        if change.names:
            return self._writer.names.get(str(side), str(side))
        return None if side is None else str(side)

    def tree(self) -> list[str]:
        """Return the lines of the aligned tree."""
        return [_cut(line, _LINE) for line in self._lines(self.root, 0)]

    def _lines(self, pair: Pair, level: int) -> Iterator[str]:
        indent = "  " * level + (f"{pair.label} " if pair.label else "")
        if pair.moved_to and pair.actual is not None:
            to = pair.moved_to[pair.moved_to.rindex("[") :]
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
            yield f"  {indent}{self._head(pair.actual)}"
        yield from self._children(pair, level + 1)

    def _details(self, pair: Pair, level: int) -> Iterator[str]:
        for change in pair.changes[:5]:
            tail = change.path.removeprefix(pair.path).lstrip(".")
            yield f"  {'  ' * (level + 1)}{tail}: {self._what(change)}"
        if len(pair.changes) > 5:
            yield f"  {'  ' * (level + 1)}… {len(pair.changes) - 5} more in this task"

    def _sides(self, pair: Pair) -> tuple[str, str]:
        """Write both sides of a pair that differs in itself."""
        expected, actual = pair.expected, pair.actual
        assert expected is not None and actual is not None
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
        for child in [*pair.children, None]:
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
        return text(_merged(self.root))

    @property
    def only_moved(self) -> bool:
        """Whether members moved and nothing else differs."""
        return all(each.moved_to for each in self.changes)


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


def _merged(pair: Pair) -> Shape:
    """Take the pattern where it matched, the actual shape where it did not."""
    expected, actual = pair.expected, pair.actual
    if actual is None or expected is None:
        found = actual or expected
        assert found is not None
        return found
    if pair.is_same or pair.moved_to:
        return expected
    if pair.lone:
        return next(_merged(child) for child in pair.children if child.actual is not None)
    if expected.kind != actual.kind:
        return actual
    slots: dict[str, list[Shape]] = {"children": [], "body": [], "links": [], "errbacks": []}
    for child in pair.children:
        if child.actual is not None:
            slots[child.slot].append(_merged(child))
    return replace(
        actual,
        args=_merged_args(expected, actual),
        kwargs={
            key: _kept(expected.kwargs.get(key, value), value)
            for key, value in actual.kwargs.items()
        },
        any_order=expected.any_order,
        children=tuple(slots["children"]),
        body=slots["body"][0] if slots["body"] else None,
        links=tuple(slots["links"]),
        errbacks=tuple(slots["errbacks"]),
    )


def _merged_args(expected: Shape, actual: Shape) -> tuple[object, ...]:
    if cut_at_any_args(expected.args) is not None or len(expected.args) != len(actual.args):
        return actual.args
    return tuple(map(_kept, expected.args, actual.args))


def _kept(expected: object, actual: object) -> object:
    return expected if value_matches(expected, actual) else actual


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(width - 1, 1)] + "…"


def _cut_middle(path: str, width: int) -> str:
    if len(path) <= width:
        return path
    half = (width - 1) // 2
    return f"{path[:half]}…{path[-half:]}"


def _cut_apart(one: str, two: str, width: int) -> tuple[str, str]:
    """Cut two long texts so that the place where they part stays in sight."""
    if len(one) <= width and len(two) <= width:
        return one, two
    at = next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), 0)
    start = max(0, at - width // 2)
    return tuple(  # type: ignore[return-value]
        _cut(("…" if start else "") + each[start:], width) for each in (one, two)
    )
