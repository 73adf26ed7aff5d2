"""What a canvas is made of, and what can stand where: the grammar of random workflows.

`pytest_celeryflow.strategies.canvases` throws the dice (`Dice`); what is asked of them is here.
Celery's own canvas classes are called as a user would call them. Left out is what Celery
accepts and does not carry out:

* ``link`` on anything but a single task: a group gives it to its first member alone
  (`celery/canvas.py:group.link`); ``link_error`` likewise, for it is handed on to members and
  bodies by rules that differ (`chain`, `chord`, `task_allow_error_cb_on_chord_header`);
* ``chunks`` as it is within another canvas: it would be a task that returns a `GroupResult`.
  Its ``group()`` stands there instead;
* a group or a header of one: within a chain Celery takes it for its one member, and what comes
  next is given no list (`celery/canvas.py:maybe_unroll_group`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from celery import chain, chord, group
from celery.canvas import Signature

from pytest_celeryflow.explore.takes import Results, Takes

__all__ = ["KINDS", "NOTHING", "Bounds", "Dice", "Drawing", "Part"]

#: Kinds of canvas, simplest first.
KINDS = (
    "signature",
    "immutable",
    "link",
    "errback",
    "chain",
    "group",
    "chord",
    "map",
    "starmap",
    "chunks",
)

#: How many signatures the smallest of a kind has, where it is not one.
_LEAST = {"link": 2, "errback": 2, "chain": 2, "group": 2, "chord": 3}

_DEEP = ("chain", "group", "chord")
_MAPS = ("map", "starmap", "chunks")

#: Nothing comes before: a canvas must bring all its arguments.
NOTHING: Any = object()

#: The most members of a chain, a group or a header.
_MEMBERS = 3


class Dice(Protocol):
    """Chance. Small and early is what shrinking leads to."""

    def pick(self, options: Sequence[Any]) -> Any:
        """One of these."""

    def between(self, least: int, most: int) -> int:
        """A whole number."""

    def value(self, values: Any) -> Any:
        """One of the values of a strategy."""

    def rows(self, values: Sequence[Any], least: int) -> list[tuple[Any, ...]]:
        """At least so many rows, and not many more, each of a value of every strategy."""


@dataclass(frozen=True)
class Part:
    """A task, and what its arguments are drawn from.

    Attributes:
        task: The task.
        takes: What it takes and gives.
        positional: Strategies of its arguments, in order.
        keywords: Strategies of those that are given by keyword.
        body: It can be given a list of results.
    """

    task: Any
    takes: Takes
    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]
    body: bool

    def follows(self, given: Any) -> bool:
        """Whether it can be given what came before."""
        if isinstance(given, Results):
            return self.body and self.takes.joins(given)
        return self.takes.fits(given)

    def signature(self, dice: Dice, *, after: bool, immutable: bool) -> Signature:
        """One call of it; the first argument is left out where it comes from before."""
        args = [dice.value(values) for values in self.positional[1 if after else 0 :]]
        kwargs = {name: dice.value(values) for name, values in self.keywords.items()}
        return (self.task.si if immutable else self.task.s)(*args, **kwargs)


@dataclass(frozen=True)
class Bounds:
    """Of what a workflow is made, and how large it is at most.

    Attributes:
        parts: The tasks.
        kinds: Some of `KINDS`.
        tasks: The most signatures.
        depth: How deep a canvas may lie in another.
    """

    parts: tuple[Part, ...]
    kinds: tuple[str, ...]
    tasks: int
    depth: int


class Drawing:
    """One workflow being drawn. Each method gives a canvas, and what the canvas gives."""

    def __init__(self, dice: Dice, bounds: Bounds) -> None:
        self._dice, self._bounds = dice, bounds
        #: How many signatures there may still be.
        self._left = bounds.tasks
        self._draws: dict[str, Callable[[int, Any], tuple[Signature, Any]]] = {
            "signature": self._signature,
            "immutable": self._immutable,
            "link": self._link,
            "errback": self._errback,
            "chain": self._chain,
            "group": self._group,
            "chord": self._chord,
            "map": self._map,
            "starmap": self._starmap,
            "chunks": self._chunks,
        }

    def canvas(self, depth: int, given: Any) -> tuple[Signature, Any]:
        """A canvas that comes after something that is given."""
        # An immutable signature can stand everywhere.
        kind = self._dice.pick(self.possible(depth, given) or ["immutable"])
        return self._draws[kind](depth - 1, given)

    def possible(self, depth: int, given: Any) -> list[str]:
        """Kinds that can stand here."""
        return [
            kind
            for kind in self._bounds.kinds
            if self._left >= _LEAST.get(kind, 1)
            and (depth or kind not in _DEEP)
            and (kind not in ("signature", "link", "errback") or self._following(given))
            and (kind != "link" or self._linkable(given))
            and (kind not in _MAPS or self._mapped(kind))
        ]

    # --- one task ---

    def _following(self, given: Any) -> list[Part]:
        parts = self._bounds.parts
        return list(parts) if given is NOTHING else [p for p in parts if p.follows(given)]

    def _signature(self, _: int, given: Any) -> tuple[Signature, Any]:
        self._left -= 1
        part = self._dice.pick(self._following(given))
        after = given is not NOTHING
        return part.signature(self._dice, after=after, immutable=False), part.takes.gives

    def _immutable(self, *_: Any) -> tuple[Signature, Any]:
        self._left -= 1
        part = self._dice.pick(self._bounds.parts)
        return part.signature(self._dice, after=False, immutable=True), part.takes.gives

    def _linkable(self, given: Any) -> list[Part]:
        """Tasks whose result one of them can be given."""
        return [one for one in self._following(given) if self._following(one.takes.gives)]

    def _link(self, depth: int, given: Any) -> tuple[Signature, Any]:
        self._left -= 1
        part = self._dice.pick(self._linkable(given))
        first = part.signature(self._dice, after=given is not NOTHING, immutable=False)
        first.link(self._signature(depth, part.takes.gives)[0])
        return first, part.takes.gives

    def _errback(self, depth: int, given: Any) -> tuple[Signature, Any]:
        """Immutable: what Celery gives to an errback depends on how many arguments it takes."""
        made, gives = self._signature(depth, given)
        made.link_error(self._immutable()[0])
        return made, gives

    # --- one task, many times ---

    def _mapped(self, kind: str) -> list[Part]:
        """Tasks that take what a map gives them: one argument, or a row of them."""
        return [
            part
            for part in self._bounds.parts
            if not part.keywords
            and (len(part.positional) == 1 if kind == "map" else part.positional)
        ]

    def _map(self, *_: Any) -> tuple[Signature, Any]:
        self._left -= 1
        part = self._dice.pick(self._mapped("map"))
        values = [value for (value,) in self._dice.rows(part.positional, 1)]
        return part.task.map(values), Results((part.takes.gives,))

    def _starmap(self, *_: Any) -> tuple[Signature, Any]:
        self._left -= 1
        part = self._dice.pick(self._mapped("starmap"))
        rows = self._dice.rows(part.positional, 1)
        return part.task.starmap(rows), Results((part.takes.gives,))

    def _chunks(self, *_: Any) -> tuple[Signature, Any]:
        self._left -= 1
        part = self._dice.pick(self._mapped("chunks"))
        rows = self._dice.rows(part.positional, 2)
        size = self._dice.between(1, len(rows) - 1)
        parts = part.task.chunks(rows, size).group()
        return group(list(parts.tasks)), Results((Results((part.takes.gives,)),))

    # --- of several ---

    def _several(
        self, least: int, draw_one: Callable[[], tuple[Signature, Any]]
    ) -> tuple[list[Signature], tuple[Any, ...]]:
        number = self._dice.between(least, max(least, min(_MEMBERS, self._left)))
        made: list[tuple[Signature, Any]] = []
        while len(made) < number and (self._left or len(made) < least):
            kept = max(least - len(made) - 1, 0)  # so that there is one for each that must be
            self._left -= kept
            made.append(draw_one())
            self._left += kept
        return [canvas for canvas, _ in made], tuple(gives for _, gives in made)

    def _chain(self, depth: int, given: Any) -> tuple[Signature, Any]:
        gives = given

        def step() -> tuple[Signature, Any]:
            nonlocal gives
            made, gives = self.canvas(depth, gives)
            return made, gives

        return chain(*self._several(2, step)[0]), gives

    def _group(self, depth: int, given: Any) -> tuple[Signature, Any]:
        members, gives = self._several(_LEAST["group"], lambda: self.canvas(depth, given))
        return group(members), Results(gives)

    def _chord(self, depth: int, given: Any) -> tuple[Signature, Any]:
        self._left -= 1  # the body's
        header, results = self._several(_LEAST["group"], lambda: self.canvas(depth, given))
        self._left += 1
        draw = self._signature if self._following(Results(results)) else self._immutable
        body, gives = draw(depth, Results(results))
        return chord(header, body), gives
