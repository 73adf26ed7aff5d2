"""Whether a shape matches a pattern, in polynomial time.

A pattern is a shape in which matchers may stand: `ANY`, `ANY_ARGS`, any object with an
`__eq__` of its own, types and predicates among the values; `ANY`, `ANY_TASK` and
`repeated(…, ANY)` among the nodes; groups marked `any_order`. Members in any order are paired
by Hopcroft and Karp's bipartite matching (1973), so that a member which fits two patterns
never costs backtracking. Each pair of nodes is compared at most once.

Relies on no Celery symbol. Not modelled: more than one `repeated(…, ANY)` among siblings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._value import cut_at_any_args, same, same_call

__all__ = ["Matching", "expand", "items_asked_for", "pair_up", "value_matches"]


def value_matches(expected: Any, actual: Any) -> bool:
    """Tell whether a value is what a pattern asks for.

    Args:
        expected: A value; a matcher; a type, of which `actual` may be an instance; or a
            predicate, which is called with `actual`.
        actual: A normal value.
    """
    if expected is actual:
        return True
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(value_matches, expected, actual))
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(
            value_matches(expected[key], actual[key]) for key in expected
        )
    if same(expected, actual):
        return True
    if isinstance(expected, type):
        return isinstance(actual, expected) and not (expected is int and isinstance(actual, bool))
    if callable(expected):
        return _predicate_holds(expected, actual)
    return False


def _predicate_holds(predicate: Callable[[Any], Any], actual: Any) -> bool:
    """A predicate that cannot take the value does not hold for it."""
    try:
        return bool(predicate(actual))
    except Exception:  # noqa: BLE001 - whatever a user's function raises on a foreign value
        return False


def items_asked_for(expected: Shape, actual: Shape) -> tuple[list[Any], list[Any]]:
    """What two maps go over, up to where the pattern lets anything follow."""
    cut = cut_at_any_args(expected.items)
    return list(expected.items[:cut]), list(actual.items[:cut])


def _maybe_empty_match(expected: Collection[Any], actual: Collection[Any]) -> bool:
    """Compare two tuples or mappings, fast where both are empty, as they mostly are."""
    if not expected and not actual:
        return True
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return value_matches(dict(expected), dict(actual))
    return value_matches(list(expected), list(actual))


@dataclass
class Matching:
    """Compares nodes and remembers each answer, which nested any-order groups ask for again.

    The nodes must outlive it: answers are kept by identity.
    """

    _known: dict[tuple[int, int], bool] = field(default_factory=dict)

    @staticmethod
    def same_call(expected: Shape, actual: Shape) -> bool:
        """Tell whether the arguments match."""
        return (
            expected.size == actual.size
            and same_call(
                (expected.args, expected.kwargs), (actual.args, actual.kwargs), value_matches
            )
            and _maybe_empty_match(*items_asked_for(expected, actual))
        )

    @staticmethod
    def same_options(expected: Shape, actual: Shape) -> bool:
        """Tell whether options and stamps match."""
        return _maybe_empty_match(expected.options, actual.options) and _maybe_empty_match(
            expected.stamps, actual.stamps
        )

    @staticmethod
    def same_kind(expected: Shape, actual: Shape) -> bool:
        """Tell whether two nodes are of one kind and, being tasks, of one name."""
        if expected.kind == "any_task":
            return actual.is_task
        return expected.kind == actual.kind and expected.same_name(actual)

    def matches(self, expected: Shape, actual: Shape) -> bool:
        """Tell whether a subtree matches a pattern."""
        key = (id(expected), id(actual))
        if key not in self._known:
            self._known[key] = self._matches(expected, actual)
        return self._known[key]

    def _matches(self, expected: Shape, actual: Shape) -> bool:
        if expected.kind == "any" or expected is actual:
            return True
        if not self.same_kind(expected, actual):
            return False
        if expected.kind == "any_task":
            return True
        if not (
            expected.immutable == actual.immutable
            and self.same_call(expected, actual)
            and self.same_options(expected, actual)
        ):
            return False
        return (
            self.all_match(expected.children, actual.children, any_order=expected.any_order)
            and self._maybe_match(expected.body, actual.body)
            and self.all_match(expected.links, actual.links)
            and self.all_match(expected.errbacks, actual.errbacks)
        )

    def _maybe_match(self, expected: Shape | None, actual: Shape | None) -> bool:
        if expected is None or actual is None:
            return expected is actual
        return self.matches(expected, actual)

    def all_match(
        self, expected: Sequence[Shape], actual: Sequence[Shape], *, any_order: bool = False
    ) -> bool:
        """Tell whether the nodes match one to one."""
        if not expected and not actual:
            return True
        patterns = expand(expected, len(actual))
        if len(patterns) != len(actual):
            return False
        if not any_order:
            return all(map(self.matches, patterns, actual))
        return len(pair_up(patterns, actual, self.matches)) == len(actual)


def expand(patterns: Sequence[Shape], count: int) -> tuple[Shape, ...]:
    """Write out a `repeated(…, ANY)` as often as makes the patterns `count` many.

    Raises:
        ValueError: More than one of them, so that the numbers are open.
    """
    open_ended = [index for index, each in enumerate(patterns) if each.kind == "repeated"]
    if not open_ended:
        return tuple(patterns)
    if len(open_ended) > 1:
        raise ValueError("only one repeated(…, ANY) may stand among siblings")
    (at,) = open_ended
    times = max(count - len(patterns) + 1, 0)
    return (*patterns[:at], *[patterns[at].children[0]] * times, *patterns[at + 1 :])


def pair_up(
    expected: Sequence[Shape], actual: Sequence[Shape], fits: Callable[[Shape, Shape], bool]
) -> dict[int, int]:
    """Pair as many patterns as possible with a node each (Hopcroft and Karp).

    Returns:
        Index of the pattern to index of its node; a fitting node of the same index is
        preferred, so that what stands in its place stays there.
    """
    fitting = [
        sorted(
            (there for there, node in enumerate(actual) if fits(pattern, node)),
            key=lambda there, here=here: there != here,  # type: ignore[misc]
        )
        for here, pattern in enumerate(expected)
    ]
    taken_by: dict[int, int] = {}
    pair: dict[int, int] = {}
    for here, options in enumerate(fitting):
        free = next((there for there in options if there not in taken_by), None)
        if free is not None:
            pair[here], taken_by[free] = free, here
    while (layers := _layers(fitting, pair, taken_by)) is not None:
        for here in range(len(fitting)):
            if here not in pair:
                _augment(here, fitting, pair, taken_by, layers)
    return pair


def _layers(
    fitting: list[list[int]], pair: dict[int, int], taken_by: dict[int, int]
) -> dict[int, int] | None:
    """Breadth-first layers from the free patterns, or None if no free node can be reached."""
    layers = {here: 0 for here in range(len(fitting)) if here not in pair}
    waiting = deque(layers)
    reached = False
    while waiting:
        here = waiting.popleft()
        for there in fitting[here]:
            owner = taken_by.get(there)
            if owner is None:
                reached = True
            elif owner not in layers:
                layers[owner] = layers[here] + 1
                waiting.append(owner)
    return layers if reached else None


def _augment(
    start: int,
    fitting: list[list[int]],
    pair: dict[int, int],
    taken_by: dict[int, int],
    layers: dict[int, int],
) -> None:
    """Depth-first search for a shorter way to a free node; without recursion, for depth."""
    path = [start]
    tries = {start: iter(fitting[start])}
    chosen: dict[int, int] = {}
    while path:
        here = path[-1]
        for there in tries[here]:
            owner = taken_by.get(there)
            if owner is None:
                chosen[here] = there
                for step in path:
                    pair[step], taken_by[chosen[step]] = chosen[step], step
                return
            if layers.get(owner) == layers[here] + 1 and owner not in tries:
                chosen[here] = there
                tries[owner] = iter(fitting[owner])
                path.append(owner)
                break
        else:
            layers[path.pop()] = -1
