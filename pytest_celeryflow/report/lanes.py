"""Where everything goes in a drawing of a history: a lane a worker, time from left to right.

The axis is one of events, not of seconds. Virtual time jumps: three retries an hour apart are
six events at three moments, and on a scale of seconds all of them would be three dots. So each
event has a place of its own, in the order of the history, and time that passes between two of
them widens the space between them, by its logarithm.

Not drawn: messages that were received and acknowledged, and moves of the clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_celeryflow.durations import duration
from pytest_celeryflow.history import ENDINGS, Event, Execution, History
from pytest_celeryflow.report.timeline import MARKS, in_words

__all__ = ["BAR", "ROW", "SIGNS", "Bar", "Lane", "Lanes", "Mark", "Pause", "lanes"]

#: The signs of a timeline where fonts are not those of a terminal: few have a stopwatch, and
#: some draw these two as coloured pictures unless they are told (U+FE0E).
SIGNS = MARKS | {"timeout": "◷", "fault": "⚡\ufe0e", "lost": "☠\ufe0e", "dropped": "☠\ufe0e"}

#: The distance of two rows of a lane, and the height of a bar.
ROW, BAR = 26, 18
_SIGN = 6.7
#: The room in a bar beside its label: an edge, and the sign of how it ended.
_BESIDE = 28
_STEP = 20
_EDGE = 14
_ABOVE = 6
#: A pause of so much room says how long it is.
_TELLING = 20
#: Two moments nearer than this would be written over each other.
_APART = 10

_UNSEEN = frozenset({"published", "received", "acked", "clock"})
_BROKER = "broker"


@dataclass(frozen=True)
class Bar:
    """An execution.

    Attributes:
        execution: What it was.
        x: Where it begins.
        width: How long it is.
        row: Which row of its lane, from 0.
        lane: Name of its lane.
        label: What stands in it.
        title: What is told when one points at it.
        state: ``"SUCCESS"`` and so on; ``"STARTED"`` if it had not ended.
    """

    execution: Execution
    x: float
    width: float
    row: int
    lane: str
    label: str
    title: str
    state: str


@dataclass(frozen=True)
class Mark:
    """Something that happened to a task or to a worker, drawn as a sign.

    Attributes:
        x: Where.
        row: Which row of its lane.
        lane: Name of its lane.
        sign: The sign.
        kind: Kind of the event.
        title: What is told when one points at it.
    """

    x: float
    row: int
    lane: str
    sign: str
    kind: str
    title: str


@dataclass(frozen=True)
class Pause:
    """Time that passes between two events.

    Attributes:
        x: Where it begins.
        width: How much room it has.
        lasts: How long it is, in words.
    """

    x: float
    width: float
    lasts: str


@dataclass(frozen=True)
class Lane:
    """A worker, or the broker.

    Attributes:
        name: Its name.
        y: Where it begins.
        rows: How many things happen in it at a time.
    """

    name: str
    y: float
    rows: int

    @property
    def height(self) -> float:
        """From its upper to its lower edge."""
        return self.rows * ROW + 2 * _ABOVE

    def middle(self, row: int) -> float:
        """The height of the middle of a row."""
        return self.y + _ABOVE + (row + 0.5) * ROW


@dataclass(frozen=True)
class Lanes:
    """A drawing: sizes and places, no ink.

    Attributes:
        width: Its width.
        height: Its height.
        lanes: The lanes, from above to below.
        bars: The executions.
        marks: The signs.
        pauses: Where time passes.
        moments: Place and name of the moments on the axis.
        ties: From a place to another: what published what (``"publishes"``), and which attempt
            followed which (``"again"``).
        left_out: How many executions there was no room for.
    """

    width: float
    height: float
    lanes: Sequence[Lane]
    bars: Sequence[Bar]
    marks: Sequence[Mark]
    pauses: Sequence[Pause]
    moments: Sequence[tuple[float, str]]
    ties: Sequence[tuple[str, tuple[float, float], tuple[float, float]]] = ()
    left_out: int = 0

    def lane(self, name: str) -> Lane:
        """The lane of this name."""
        return next(lane for lane in self.lanes if lane.name == name)


@dataclass
class _Open:
    """An execution whose place is being found."""

    event: Event
    execution: Execution
    lane: str
    first: int
    last: int | None = None
    row: int = 0
    said: list[str] = field(default_factory=list)


def lanes(history: History, *, began: float = 0.0, most: int = 120, home: str = "test") -> Lanes:
    """Find a place for everything.

    Args:
        history: What happened.
        began: The time, in seconds, that counts as zero.
        most: The most executions to draw; the first ones are.
        home: Name of the lane of what runs in no worker.
    """
    events, left_out = _within(history, most)
    columns = [e for e in events if e.kind not in _UNSEEN]
    place = {event.number: n for n, event in enumerate(columns)}
    opened = _executions(history, events, place, home)
    rows = _rows_of(opened, len(columns))
    x = _places(columns, opened)
    bars = [_bar(one, x, began) for one in opened]
    marks, rows = _marks(columns, opened, x, rows, home, began)
    there, y = [], 0.0
    for name in sorted(rows, key=lambda name: (name != _BROKER, name)):
        there.append(Lane(name, y, rows[name]))
        y += there[-1].height
    drawing = Lanes(
        width=(x[-1] if x else 0) + 2 * _EDGE,
        height=y,
        lanes=there,
        bars=bars,
        marks=marks,
        pauses=_pauses(columns, x),
        moments=_moments(columns, x, began),
        left_out=left_out,
    )
    return Lanes(**{**vars(drawing), "ties": _ties(drawing, events, opened, x, place)})


def _within(history: History, most: int) -> tuple[list[Event], int]:
    begun = [e for e in history if e.kind == "started" and e.execution is not None]
    if len(begun) <= most:
        return list(history), 0
    end = begun[most].number
    return [e for e in history if e.number < end], len(begun) - most


def _executions(
    history: History, events: Sequence[Event], place: dict[int, int], home: str
) -> list[_Open]:
    numbers = sorted(e.execution for e in history.only("started") if e.execution is not None)
    known = dict(zip(numbers, history.executions(), strict=True))
    opened: dict[int, _Open] = {}
    begun: dict[int, Event] = {}
    for event in events:
        if event.execution is None:
            continue
        if event.kind == "started":
            begun[event.execution] = event
            opened[event.execution] = _Open(
                event, known[event.execution], event.worker or home, place[event.number]
            )
        one = opened.get(event.execution)
        said = in_words(event, begun)
        if one is not None and said is not None:
            one.said.append(said)
            if event.number in place:
                one.last = place[event.number]
    for one in opened.values():
        if one.last == one.first:  # it had not ended, or not within what is drawn
            one.last = None
    return list(opened.values())


def _rows_of(opened: Sequence[_Open], columns: int) -> dict[str, int]:
    """Give each execution the first row of its lane that is free as long as it lasts."""
    free: dict[str, list[int]] = {}
    for one in opened:
        rows = free.setdefault(one.lane, [])
        one.row = next((n for n, until in enumerate(rows) if until <= one.first), len(rows))
        until = columns if one.last is None else one.last
        if one.row == len(rows):
            rows.append(until)
        else:
            rows[one.row] = until
    return {name: len(rows) for name, rows in free.items()}


def _places(columns: Sequence[Event], opened: Sequence[_Open]) -> list[float]:
    """Where each event is: after the one before, and clear of the label of its bar."""
    needs: dict[int, list[tuple[int, float]]] = {}
    for one in opened:
        last = len(columns) if one.last is None else one.last
        label = len(_label(one)) * _SIGN
        needs.setdefault(last, []).append((one.first, label + _BESIDE))
        for n in range(one.first + 1, last):
            if columns[n].id == one.execution.id:  # a sign on the bar
                needs.setdefault(n, []).append((one.first, label + _BESIDE - _EDGE / 2))
    x: list[float] = []
    for n, event in enumerate(columns):
        at = x[-1] + _STEP + _room(event.at - columns[n - 1].at) if x else float(_EDGE)
        for first, room in needs.get(n, ()):
            at = max(at, (x[first] if first < n else at) + room)
        x.append(at)
    end = x[-1] + _STEP if x else 0.0
    for first, room in needs.get(len(columns), ()):
        end = max(end, x[first] + room)
    return [*x, end]


def _room(seconds: float) -> float:
    return 10 * math.log10(1 + max(seconds, 0) * 200)


def _label(one: _Open) -> str:
    retries = one.execution.retries
    return one.execution.label + (f" ↻{retries}" if retries else "")


def _bar(one: _Open, x: Sequence[float], began: float) -> Bar:
    end = x[-1] if one.last is None else x[one.last]
    did = one.execution
    when = duration(did.started_at - began)
    until = f" to {duration(did.finished_at - began)}" if did.finished_at is not None else ""
    title = "\n".join([f"{did.label} on {one.lane}, {when}{until}", *one.said])
    return Bar(did, x[one.first], end - x[one.first], one.row, one.lane, _label(one), title, did.state)


def _marks(
    columns: Sequence[Event],
    opened: Sequence[_Open],
    x: Sequence[float],
    rows: dict[str, int],
    home: str,
    began: float,
) -> tuple[list[Mark], dict[str, int]]:
    """What is no end of an execution: on the bar it concerns, or else in a lane."""
    marks, rows = [], dict(rows)
    for n, event in enumerate(columns):
        if event.kind == "started" or (event.execution is not None and event.kind in ENDINGS):
            continue
        said = in_words(event, {})
        if said is None:
            continue
        on = next(
            (
                one
                for one in opened
                if one.execution.id == event.id
                and one.first <= n
                and (one.last is None or n <= one.last)
            ),
            None,
        )
        lane = on.lane if on is not None else event.worker or _BROKER
        rows.setdefault(lane, 1)
        when = duration(event.at - began)
        who = f"{event.label} " if event.label else ""
        marks.append(
            Mark(
                x[n],
                on.row if on is not None else 0,
                lane,
                SIGNS.get(event.kind, "·"),
                event.kind,
                f"{who}{said}, {when}",
            )
        )
    return marks, rows


def _pauses(columns: Sequence[Event], x: Sequence[float]) -> list[Pause]:
    found = []
    for n in range(1, len(columns)):
        passed = columns[n].at - columns[n - 1].at
        if _room(passed) >= _TELLING:
            found.append(Pause(x[n - 1] + 4, x[n] - x[n - 1] - 8, duration(passed)))
    return found


def _moments(
    columns: Sequence[Event], x: Sequence[float], began: float
) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    free = 0.0
    for n, event in enumerate(columns):
        name = duration(event.at - began)
        if (found and found[-1][1] == name) or x[n] < free:
            continue
        found.append((x[n], name))
        free = x[n] + len(name) * _SIGN + _APART
    return found


def _ties(
    drawing: Lanes,
    events: Sequence[Event],
    opened: Sequence[_Open],
    x: Sequence[float],
    place: dict[int, int],
) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
    """Lines between bars: a task and what it publishes, an attempt and the next."""
    ties = []
    middle = {
        id(bar.execution): drawing.lane(bar.lane).middle(bar.row) for bar in drawing.bars
    }
    before: dict[str, _Open] = {}
    for one in opened:
        y = middle[id(one.execution)]
        to = (x[one.first], y)
        earlier = before.get(one.execution.id)
        if earlier is not None:
            end = x[-1] if earlier.last is None else x[earlier.last]
            ties.append(("again", (end, middle[id(earlier.execution)]), to))
        else:
            parent = before.get(one.execution.parent or "")
            if parent is not None:
                at = _published_at(one, events, place)
                start = x[parent.first if at is None else max(at, parent.first)]
                ties.append(("publishes", (start, middle[id(parent.execution)]), to))
        before[one.execution.id] = one
    return ties


def _published_at(one: _Open, events: Sequence[Event], place: dict[int, int]) -> int | None:
    """The last column before the task was published."""
    last = None
    for event in events:
        if event.number in place:
            last = place[event.number]
        if event.kind == "published" and event.id == one.execution.id:
            return last
    return None
