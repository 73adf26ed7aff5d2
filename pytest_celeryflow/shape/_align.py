"""Lay two shapes side by side: which nodes belong together, and what differs in each.

Siblings are aligned in four steps: equal ends are taken off; of the rest, the longest common
subsequence stays in place; an equal node found elsewhere has *moved*; what is left between
two nodes that stayed is paired by likeness, in order. So a changed argument is one
difference, a swapped member is a move, and an inserted step leaves its neighbours alone.

Relies on no Celery symbol. Not modelled: the fewest edits of whole trees (a step that moved
into another branch is reported as missing here and unexpected there).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from pytest_celeryflow.shape._match import Matching, expand, items_asked_for, pair_up
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import full_text
from pytest_celeryflow.shape._values_apart import Change, calls_apart, mappings_apart, values_apart

__all__ = ["Pair", "align"]

#: Above this many cells, siblings are told apart by their text, so matchers among them are
#: taken for what they are; it is the explanation of a failure that suffers, not the verdict.
_MOST_CELLS = 160_000


@dataclass
class Pair:
    """Two nodes that belong together, or one that has no counterpart.

    Attributes:
        path: Where it is, readable as Python on the shape: `chain[1].header[3]`.
        label: Its place among its siblings, as the tree shows it.
        expected: The pattern, or None where nothing was expected.
        actual: The node, or None where it is missing.
        changes: What differs in the node itself.
        children: What is below.
        slot: Which attribute of the parent it is in; "" for the root.
        moved_to: Path of the place where the expected node was found instead.
        lone: `actual` is one step, seen as a chain of one, because a chain was expected.
    """

    path: str
    label: str
    slot: str
    expected: Shape | None
    actual: Shape | None
    changes: list[Change] = field(default_factory=list)
    children: list[Pair] = field(default_factory=list)
    moved_to: str | None = None
    lone: bool = False

    def all_changes(self) -> Iterator[Change]:
        """Yield every difference, in the order of the text."""
        yield from self.changes
        for child in self.children:
            yield from child.all_changes()

    @property
    def is_same(self) -> bool:
        """Whether nothing differs here and below."""
        return next(self.all_changes(), None) is None


@dataclass(frozen=True)
class _Place:
    """How the path of a sibling is written."""

    slot: str
    path: str
    label: str = ""

    def at(self, index: int) -> str:
        return f"{self.path}[{index}]"

    def label_at(self, index: int) -> str:
        return f"{self.label}[{index}]"


def align(expected: Shape, actual: Shape, matching: Matching) -> Pair:
    """Lay a shape beside the pattern it was compared with.

    Args:
        expected: The pattern.
        actual: The shape.
        matching: What counts.

    Returns:
        The pair of roots.
    """
    chain = "chain" in (expected.kind, actual.kind)
    root = Pair("chain" if chain else actual.kind, "", "", expected, actual)
    return _compared(root, expected, actual, matching)


def _compared(pair: Pair, expected: Shape, actual: Shape, matching: Matching) -> Pair:
    """Fill in what differs in a pair that has both sides."""
    path = pair.path
    if matching.matches(expected, actual):
        return pair
    if not matching.same_kind(expected, actual):
        if actual.kind == "chain" and any(
            matching.matches(expected, one) for one in actual.children
        ):
            pair.expected = expected = _chain_of_one(expected)
        elif expected.kind == "chain" and any(
            matching.matches(one, actual) for one in expected.children
        ):
            pair.actual = actual = _chain_of_one(actual)
            pair.lone = True
        else:
            pair.changes.append(_other_kind(expected, actual, path))
            return pair
    if expected.immutable != actual.immutable:
        pair.changes.append(
            Change(f"{path}.immutable", str(expected.immutable), str(actual.immutable))
        )
    if not matching.same_call(expected, actual):
        pair.changes += calls_apart(expected, actual, path)
        pair.changes += values_apart(*items_asked_for(expected, actual), f"{path}.items")
        if expected.size != actual.size:
            pair.changes.append(Change(f"{path}.size", str(expected.size), str(actual.size)))
    if not matching.same_options(expected, actual):
        pair.changes += mappings_apart(expected.options, actual.options, f"{path}.options")
        pair.changes += mappings_apart(expected.stamps, actual.stamps, f"{path}.stamps")
    pair.children = _below(expected, actual, path, matching)
    return pair


def _chain_of_one(step: Shape) -> Shape:
    return Shape(kind="chain", children=(step,))


def _other_kind(expected: Shape, actual: Shape, path: str) -> Change:
    if expected.kind == actual.kind == "task":
        return Change(f"{path}.name", expected.name, actual.name, names=True)
    return Change(path, expected, actual)


def _below(expected: Shape, actual: Shape, path: str, matching: Matching) -> list[Pair]:
    if expected.kind == "chord":
        place = _Place("children", f"{path}.header", "header")
    elif expected.kind in ("map", "starmap", "chunks"):
        place = _Place("children", f"{path}.children", "task")
    else:
        place = _Place("children", path)
    out = _siblings(
        expected.children, actual.children, place, matching, any_order=expected.any_order
    )
    if expected.body is not None or actual.body is not None:
        body = Pair(f"{path}.body", "body", "body", expected.body, actual.body)
        out.append(_one_sided(body) or _compared(body, expected.body, actual.body, matching))  # type: ignore[arg-type]
    links = _Place("links", f"{path}.links", "link")
    errbacks = _Place("errbacks", f"{path}.errbacks", "on_error")
    out += _siblings(expected.links, actual.links, links, matching)
    out += _siblings(expected.errbacks, actual.errbacks, errbacks, matching)
    return out


def _one_sided(pair: Pair) -> Pair | None:
    """Note what is missing or unexpected; None if both sides are there."""
    if pair.expected is None or pair.actual is None:
        pair.changes.append(Change(pair.path, pair.expected, pair.actual))
        return pair
    return None


def _siblings(
    patterns: Sequence[Shape],
    actual: Sequence[Shape],
    place: _Place,
    matching: Matching,
    *,
    any_order: bool = False,
) -> list[Pair]:
    expected = expand(patterns, len(actual))
    if any_order:
        stay = pair_up(expected, actual, matching.matches)
        left = [index for index in range(len(expected)) if index not in stay]
        moved: dict[int, int] = {}
    else:
        stay = _in_place(expected, actual, matching)
        left, moved = _moves(expected, actual, stay, matching)
    taken = set(stay.values()) | set(moved.values())
    free = [index for index in range(len(actual)) if index not in taken]
    changed = _likely(left, free, expected, actual, {} if any_order else stay)
    rows: list[tuple[tuple[int, int], Pair]] = []

    def pair(index: int, one: Shape | None, two: Shape | None) -> Pair:
        return Pair(place.at(index), place.label_at(index), place.slot, one, two)

    for here, pattern in enumerate(expected):
        there = stay.get(here, changed.get(here))
        if there is not None:
            both = pair(there, pattern, actual[there])
            rows.append(((there, 1), _compared(both, pattern, actual[there], matching)))
        elif here in moved:
            to = moved[here]
            both = pair(here, pattern, actual[to])
            both.moved_to = place.at(to)
            both.changes.append(Change(both.path, pattern, actual[to], moved_to=both.moved_to))
            rows.append(((to, 1), both))
        else:
            gone = pair(here, pattern, None)
            rows.append(((here, 0), _one_sided(gone) or gone))
    for there in sorted(set(free) - set(changed.values())):
        new = pair(there, None, actual[there])
        rows.append(((there, 1), _one_sided(new) or new))
    return [each for _, each in sorted(rows, key=lambda row: row[0])]


def _in_place(
    expected: Sequence[Shape], actual: Sequence[Shape], matching: Matching
) -> dict[int, int]:
    """Pair equal nodes without crossing: equal ends, then the longest common subsequence."""
    most = min(len(expected), len(actual))
    head = 0
    while head < most and matching.matches(expected[head], actual[head]):
        head += 1
    tail = 0
    while tail < most - head and matching.matches(expected[-1 - tail], actual[-1 - tail]):
        tail += 1
    stay = {index: index for index in range(head)}
    stay.update({len(expected) - 1 - n: len(actual) - 1 - n for n in range(tail)})
    rows, columns = len(expected) - head - tail, len(actual) - head - tail
    if rows * columns > _MOST_CELLS:
        end_expected, end_actual = len(expected) - tail, len(actual) - tail
        ones = [full_text(each) for each in expected[head:end_expected]]
        others = [full_text(each) for each in actual[head:end_actual]]
        for block in SequenceMatcher(None, ones, others, autojunk=False).get_matching_blocks():
            stay |= {head + block.a + n: head + block.b + n for n in range(block.size)}
        return stay
    longest = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            longest[row][column] = (
                longest[row + 1][column + 1] + 1
                if matching.matches(expected[head + row], actual[head + column])
                else max(longest[row + 1][column], longest[row][column + 1])
            )
    row = column = 0
    while row < rows and column < columns:
        if matching.matches(expected[head + row], actual[head + column]):
            stay[head + row] = head + column
            row, column = row + 1, column + 1
        elif longest[row + 1][column] >= longest[row][column + 1]:
            row += 1
        else:
            column += 1
    return stay


def _moves(
    expected: Sequence[Shape], actual: Sequence[Shape], stay: dict[int, int], matching: Matching
) -> tuple[list[int], dict[int, int]]:
    """Split the patterns that did not stay into those left over and those that moved where."""
    gone = [index for index in range(len(expected)) if index not in stay]
    taken = set(stay.values())
    free = [index for index in range(len(actual)) if index not in taken]
    if len(gone) * len(free) > _MOST_CELLS:
        moved = _moved_by_text(gone, free, expected, actual)
    else:
        found = pair_up([expected[n] for n in gone], [actual[n] for n in free], matching.matches)
        moved = {gone[here]: free[there] for here, there in found.items()}
    return [index for index in gone if index not in moved], moved


def _moved_by_text(
    gone: list[int], free: list[int], expected: Sequence[Shape], actual: Sequence[Shape]
) -> dict[int, int]:
    where: dict[str, list[int]] = {}
    for there in reversed(free):
        where.setdefault(full_text(actual[there]), []).append(there)
    return {here: places.pop() for here in gone if (places := where.get(full_text(expected[here])))}


def _likely(
    left: list[int],
    free: list[int],
    expected: Sequence[Shape],
    actual: Sequence[Shape],
    stay: dict[int, int],
) -> dict[int, int]:
    """Pair what is left by likeness: first the same task, then whatever stands in its place.

    Nodes are paired only between the same two that stayed.
    """
    fixed, fixed_to = sorted(stay), sorted(stay.values())
    gaps: dict[int, list[int]] = {}
    for there in free:
        gaps.setdefault(bisect(fixed_to, there), []).append(there)
    out: dict[int, int] = {}
    likeness: list[Callable[[Shape, Shape], bool]] = [
        Matching.same_kind,
        lambda one, two: one.is_task == two.is_task,
    ]
    for like in likeness if len(left) * len(free) <= _MOST_CELLS else likeness[1:]:
        for here in left:
            gap = gaps.get(bisect(fixed, here), [])
            found = next((at for at in gap if like(expected[here], actual[at])), None)
            if found is not None and here not in out:
                gap.remove(found)
                out[here] = found
    return out
