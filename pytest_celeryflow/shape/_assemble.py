"""Put a `Shape` together from messages: those that would be sent, or those that were.

A message says which message it follows and in which group it counts. Messages that were
published together are a group; when all that count in a chord are known, they are its header,
and what its completion published is its body. What follows the first task of a body is
written after the chord, `chord([…], publish()) | notify()`: in messages there is no
difference between that and a longer body.

Relies on no Celery symbol. Not modelled: why a message was sent. Links and errbacks stay
callbacks of their task; their own messages are not to be given.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_celeryflow.shape._model import Shape

__all__ = ["Sent", "assemble"]


@dataclass(frozen=True)
class Sent:
    """One message.

    Attributes:
        id: Task id.
        shape: The task, with its arguments, options, links and errbacks.
        after: Id of the message whose chain went on with this one; None for a first message.
        group: Id of the group it belongs to.
        counts: It counts towards the chord of its group (its message carries the body).
        body_of: Id of the group whose completion published it.
    """

    id: str
    shape: Shape
    after: str | None = None
    group: str | None = None
    counts: bool = False
    body_of: str | None = None


@dataclass(frozen=True)
class _Thread:
    """Steps one after the other, and the chords that their last messages count in."""

    steps: tuple[Shape, ...]
    ends: tuple[str | None, ...]

    @property
    def shape(self) -> Shape:
        if len(self.steps) == 1:
            return self.steps[0]
        return Shape(kind="chain", children=self.steps)


def assemble(messages: Iterable[Sent]) -> Shape:
    """Build the shape of a workflow from its messages, in the order they were published.

    Args:
        messages: All messages of one workflow but those of links and errbacks. A workflow
            that did not finish gives the shape of what was sent.

    Returns:
        The shape. No messages at all are an empty group.
    """
    known = list(messages)
    return _Assembly(known).together([m for m in known if not (m.after or m.body_of)]).shape


class _Assembly:
    def __init__(self, messages: Sequence[Sent]) -> None:
        self.next: dict[str, list[Sent]] = defaultdict(list)
        self.bodies: dict[str, list[Sent]] = defaultdict(list)
        self.counting = Counter(m.group for m in messages if m.counts)
        for message in messages:
            if message.after:
                self.next[message.after].append(message)
            elif message.body_of:
                self.bodies[message.body_of].append(message)

    def together(self, messages: Sequence[Sent]) -> _Thread:
        """Join messages that were published at once, with all that followed from them."""
        threads = [self._from(message) for message in messages]
        while (group := self._complete(threads)) is not None:
            threads = self._joined(threads, group)
        if len(threads) == 1:
            return threads[0]
        members = tuple(thread.shape for thread in threads)
        ends = tuple(end for thread in threads for end in thread.ends)
        return _Thread((Shape(kind="group", children=members),), ends)

    def _from(self, message: Sent) -> _Thread:
        steps: tuple[Shape, ...] = (message.shape,)
        following = self.next.get(message.id, [])
        while len(following) == 1:
            message = following[0]
            steps += (message.shape,)
            following = self.next.get(message.id, [])
        if following:
            rest = self.together(following)
            return _Thread(steps + rest.steps, rest.ends)
        return _Thread(steps, (message.group if message.counts else None,))

    def _complete(self, threads: Sequence[_Thread]) -> str | None:
        """Find a chord whose whole header is among these threads."""
        found = Counter(end for thread in threads for end in thread.ends)
        for group, count in found.items():
            if group is not None and count == self.counting[group]:
                header = [thread for thread in threads if group in thread.ends]
                if all(set(thread.ends) == {group} for thread in header):
                    return group
        return None

    def _joined(self, threads: Sequence[_Thread], group: str) -> list[_Thread]:
        header = tuple(thread.shape for thread in threads if group in thread.ends)
        if bodies := self.bodies.get(group):
            flow = self.together(bodies)
            chord = Shape(kind="chord", children=header, body=flow.steps[0])
            joined = _Thread((chord, *flow.steps[1:]), flow.ends)
        else:
            joined = _Thread((Shape(kind="chord", children=header),), (None,))
        at = next(index for index, thread in enumerate(threads) if group in thread.ends)
        rest = [thread for thread in threads if group not in thread.ends]
        return [*rest[:at], joined, *rest[at:]]
