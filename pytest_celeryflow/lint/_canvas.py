"""A canvas as rules see it: every place in it, how Celery calls it, and what came before.

It is walked as a `Shape`, so that a path means in a finding what it means in a failure of
`assert_shape`, and so that a canvas that came through JSON is read alike. What Celery does with
it is told here once: which task is given the result of which
(`celery/canvas.py:_chain.prepare_steps`, `group._prepared`, `_chord.run`), which tasks a chord
counts (`_chord._descend`), and how long a task waits before it is published.

Not modelled: arguments given to `apply_async` itself, so that what the first task still
lacks is unknown; a task that replaces itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.shape import Shape

__all__ = ["Canvas", "Place"]


@dataclass(frozen=True)
class Place:
    """One node of a canvas.

    Attributes:
        shape: What stands there.
        path: Where it is.
        given: How many results Celery puts before its arguments; None if that is unknown.
        keywords: Names of keyword arguments that it is given besides its own.
        before: The tasks whose results it is given.
        role: What it is to what it stands in.
        precedes: Another step of its chain comes after it.
        counted: A chord waits for it to report.
        waits: Seconds until it is published, by countdowns and ETAs before it.
    """

    shape: Shape
    path: str
    given: int | None = None
    keywords: frozenset[str] = frozenset()
    before: tuple[Place, ...] = ()
    role: str = "root"
    precedes: bool = False
    counted: bool = False
    waits: float = 0.0

    @property
    def is_task(self) -> bool:
        """Whether a task stands here, not a composition or a map."""
        return self.shape.kind == "task"

    @property
    def short_name(self) -> str:
        """Last part of the name of its task."""
        return self.shape.name.rpartition(".")[2]

    @property
    def becomes_header(self) -> bool:
        """Whether its members are the header of a chord."""
        return self.shape.kind == "chord" or (self.shape.kind == "group" and self.precedes)


@dataclass
class Canvas:
    """A canvas and the app that would publish it."""

    root: Shape
    app: AppView
    _ends: dict[str, tuple[Place, ...]] = field(default_factory=dict)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every place, in the order of the text, callbacks included."""
        return tuple(self._walk(Place(self.root, self.root.kind)))

    @property
    def tasks(self) -> Iterator[Place]:
        """The places where a task stands."""
        return (place for place in self.places if place.is_task)

    def members(self, place: Place) -> tuple[Place, ...]:
        """The places of a group's members, or of a chord's header."""
        within = f"{place.path}.header" if place.shape.kind == "chord" else place.path
        paths = {f"{within}[{index}]" for index in range(len(place.shape.children))}
        return tuple(each for each in self.places if each.path in paths)

    def in_header(self, place: Place) -> Iterator[Place]:
        """The places of all tasks within a chord's header, or within a group, callbacks included."""
        within = f"{place.path}.header[" if place.shape.kind == "chord" else f"{place.path}["
        return (each for each in self.places if each.is_task and each.path.startswith(within))

    # -- walking --------------------------------------------------------------------------

    def _walk(self, place: Place) -> Iterator[Place]:
        yield place
        kind = place.shape.kind
        if kind == "chain":
            yield from self._steps(place)
        elif kind in ("group", "chord"):
            yield from self._header_and_body(place)
        else:
            self._ends[place.path] = (place,)
        yield from self._callbacks(place)

    def _inner(self, place: Place) -> Place:
        """What the first tasks within a composition are called with."""
        inherited = 0 if place.shape.immutable else place.given
        return replace(
            place,
            given=None if inherited is None else inherited + len(place.shape.args),
            keywords=place.keywords | frozenset(map(str, place.shape.kwargs)),
            waits=place.waits + self.app.delay(place.shape.options),
            precedes=False,
        )

    def _steps(self, place: Place) -> Iterator[Place]:
        now, steps = self._inner(place), place.shape.children
        working = {index for index, step in enumerate(steps) if not _is_empty(step)}
        last = max(working, default=0)
        for index, step in enumerate(steps):
            now = replace(
                now,
                shape=step,
                path=f"{place.path}[{index}]",
                role="step",
                precedes=place.precedes or index < last,
                counted=place.counted and index == last,
            )
            yield from self._walk(now)
            if index not in working:
                continue
            ends = self._ends.get(now.path, ())
            now = replace(now, given=1, keywords=frozenset(), before=ends, waits=self._done(ends))
        self._ends[place.path] = now.before if working else place.before

    def _header_and_body(self, place: Place) -> Iterator[Place]:
        shape, inner = place.shape, self._inner(place)
        ends: tuple[Place, ...] = ()
        within = f"{place.path}.header" if shape.kind == "chord" else place.path
        for index, member in enumerate(shape.children):
            here = replace(
                inner,
                shape=member,
                path=f"{within}[{index}]",
                role="member",
                counted=place.becomes_header or place.counted,
            )
            yield from self._walk(here)
            ends += self._ends.get(here.path, ())
        self._ends[place.path] = ends
        if shape.body is not None:
            body = replace(
                inner,
                shape=shape.body,
                path=f"{place.path}.body",
                given=1,
                keywords=frozenset(),
                before=ends,
                role="body",
                counted=place.counted,
                precedes=place.precedes,
                waits=max(inner.waits, self._done(ends)),
            )
            yield from self._walk(body)
            self._ends[place.path] = self._ends.get(body.path, ())

    def _callbacks(self, place: Place) -> Iterator[Place]:
        ends = self._ends.get(place.path, ())
        for index, shape in enumerate(place.shape.links):
            path = f"{place.path}.links[{index}]"
            yield from self._walk(Place(shape, path, given=1, before=ends, role="callback"))
        for index, shape in enumerate(place.shape.errbacks):
            yield from self._walk(Place(shape, f"{place.path}.errbacks[{index}]", role="errback"))

    def _done(self, ends: tuple[Place, ...]) -> float:
        return max((end.waits + self.app.delay(end.shape.options) for end in ends), default=0.0)


def _is_empty(shape: Shape) -> bool:
    return shape.kind in ("chain", "group") and not shape.children
