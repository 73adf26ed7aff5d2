"""`Shape`: what a workflow looks like, as an immutable tree of plain data.

Knows nothing of Celery; `_read.py` makes one from a canvas, `_sent.py` from what Celery
publishes, `_assemble.py` from recorded messages, `_text.py` from text.

Not modelled: task ids, the app, and what a task's class or the app's routing adds when the
task is sent. Two canvases of one shape are written alike; they need not run alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pytest_celeryflow.shape._value import Values, normal, same, same_call

__all__ = ["Kind", "Shape"]

#: What a node is. The last three are patterns: any subtree, any one task, any number of one step.
Kind = Literal[
    "task", "chain", "group", "chord", "map", "starmap", "chunks", "any", "any_task", "repeated"
]

_MAPS = ("map", "starmap", "chunks")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Shape:
    """One node of a workflow and everything below it.

    `str(shape)` is one line that reads like Celery code and that `Shape.parse` reads back;
    `repr` is the same without anything left out. `shape[1]` is the second step of a chain or
    the second member of a group.

    Attributes:
        kind: What the node is.
        name: Full name of the task; of `map`, `starmap` and `chunks`, the task they map.
        args: Positional arguments; of a chain, group or chord those to be prepended.
        kwargs: Keyword arguments.
        options: Execution options such as `queue` or `countdown`; never ids.
        stamps: Stamped headers.
        immutable: Takes no result of the step before (`.si()`).
        children: Steps of a chain, members of a group, header of a chord, the mapped task.
        body: Body of a chord.
        links: Callbacks (`link`).
        errbacks: Error callbacks (`link_error`).
        items: What `map`, `starmap` and `chunks` go over.
        size: Items a chunk.
        any_order: Pattern: the members may come in any order.
        short: The name is an abbreviation that stands for any name ending so.

    Example:
        >>> Shape.parse("fetch('u') | group(resize(1), resize(2))").width
        2
    """

    kind: Kind
    name: str = ""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=Values)
    options: Mapping[str, Any] = field(default_factory=Values)
    stamps: Mapping[str, Any] = field(default_factory=Values)
    immutable: bool = False
    children: tuple[Shape, ...] = ()
    body: Shape | None = None
    links: tuple[Shape, ...] = ()
    errbacks: tuple[Shape, ...] = ()
    items: tuple[Any, ...] = ()
    size: int | None = None
    any_order: bool = False
    short: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is {self.kind!r}; valid are {', '.join(get_args(Kind))}")
        put = object.__setattr__
        for name in ("kwargs", "options", "stamps"):
            put(self, name, Values(normal(getattr(self, name))))
        for name in ("args", "items"):
            put(self, name, tuple(normal(each) for each in getattr(self, name)))
        for name in ("children", "links", "errbacks"):
            put(self, name, tuple(getattr(self, name)))

    # -- asking ---------------------------------------------------------------------------

    @property
    def header(self) -> tuple[Shape, ...]:
        """The header of a chord; empty for anything else."""
        return self.children if self.kind == "chord" else ()

    @property
    def is_task(self) -> bool:
        """Whether this is one task, or a map, rather than a composition."""
        return self.kind in ("task", "any_task", *_MAPS)

    def __getitem__(self, index: int) -> Shape:
        return self.children[index]

    def __len__(self) -> int:
        return len(self.children)

    def __bool__(self) -> bool:
        return True

    def walk(self, *, callbacks: bool = True) -> Iterator[Shape]:
        """Yield this node and every one below it, in the order of the text.

        Args:
            callbacks: Go into links and errbacks too.
        """
        yield self
        if self.kind not in _MAPS:
            for child in self.children:
                yield from child.walk(callbacks=callbacks)
        if self.body is not None:
            yield from self.body.walk(callbacks=callbacks)
        if callbacks:
            for callback in self.links + self.errbacks:
                yield from callback.walk(callbacks=True)

    def tasks(self, *, callbacks: bool = False) -> tuple[Shape, ...]:
        """Return the tasks, in the order of the text.

        Args:
            callbacks: Include the tasks of links and errbacks.
        """
        return tuple(node for node in self.walk(callbacks=callbacks) if node.is_task)

    @property
    def depth(self) -> int:
        """How many tasks run one after the other on the longest way through."""
        if self.kind == "chain":
            return sum(child.depth for child in self.children)
        if self.kind in ("group", "chord"):
            widest = max((child.depth for child in self.children), default=0)
            return widest + (self.body.depth if self.body else 0)
        return 1

    @property
    def width(self) -> int:
        """How many tasks can run at once, given enough workers."""
        if self.kind == "chain":
            return max((child.width for child in self.children), default=0)
        if self.kind in ("group", "chord"):
            header = sum(child.width for child in self.children)
            return max(header, self.body.width if self.body else 0)
        if self.kind == "chunks" and self.size:
            return -(-len(self.items) // self.size)
        return 1

    # -- equality -------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape):
            return NotImplemented
        return (
            self.same_node(other)
            and self.children == other.children
            and self.body == other.body
            and self.links == other.links
            and self.errbacks == other.errbacks
        )

    def same_node(self, other: Shape) -> bool:
        """Tell whether two nodes are equal, apart from the nodes below them."""
        return (
            self.kind == other.kind
            and self.same_name(other)
            and self.immutable == other.immutable
            and self.any_order == other.any_order
            and self.size == other.size
            and same_call((self.args, self.kwargs), (other.args, other.kwargs))
            and same(self.options, other.options)
            and same(self.stamps, other.stamps)
            and same(list(self.items), list(other.items))
        )

    def same_name(self, other: Shape) -> bool:
        """Tell whether both name one task; an abbreviation names any task that ends so."""
        return self.name == other.name or (
            (self.short and f".{other.name}".endswith(f".{self.name}"))
            or (other.short and f".{self.name}".endswith(f".{other.name}"))
        )

    def __hash__(self) -> int:
        # Arguments are left out (ANY equals all of them), and all of a name but its end.
        return hash((self.kind, self.name.rpartition(".")[2], self.children, self.body))

    def __deepcopy__(self, memo: object) -> Shape:
        return self

    # -- writing --------------------------------------------------------------------------

    def __str__(self) -> str:
        from pytest_celeryflow.shape._text import text  # noqa: PLC0415 - the model comes first

        return text(self)

    def __repr__(self) -> str:
        from pytest_celeryflow.shape._text import full_text  # noqa: PLC0415

        return f"Shape.parse({full_text(self)!r})"

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read a shape from its one-line text.

        Args:
            text: What `str(shape)` gives, on one line or many. `ANY`, `ANY_TASK`, `…` or
                `ANY_ARGS`, `any_order(…)`, `step × 3` and `repeated(step, 3)` may be used. A
                task may be named by its last dotted parts.

        Returns:
            The shape.

        Raises:
            ValueError: The text is not one; the message says where.
        """
        from pytest_celeryflow.shape._parse import parse  # noqa: PLC0415

        return parse(text)

    def tree(self, *, width: int = 100) -> str:
        """Draw the shape for a terminal.

        Args:
            width: Columns; longer lines are cut.
        """
        from pytest_celeryflow.shape._tree import tree  # noqa: PLC0415

        return tree(self, width=width)

    def mermaid(self) -> str:
        """Draw the shape as a Mermaid flowchart, which Markdown hosts render."""
        from pytest_celeryflow.shape._mermaid import mermaid  # noqa: PLC0415

        return mermaid(self)

    def svg(self) -> str:
        """Draw the shape as a self-contained SVG image."""
        from pytest_celeryflow.shape._svg import svg  # noqa: PLC0415

        return svg(self)

    def to_json(self) -> dict[str, Any]:
        """Return the shape as plain data, without the attributes that are at their default."""
        from pytest_celeryflow.shape._json import to_json  # noqa: PLC0415

        return to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shape:
        """Build a shape from what `to_json` returned.

        Args:
            data: Plain data; the keys are the attributes of a `Shape`.

        Returns:
            The shape. A value that was no JSON and has no literal is kept as its text.

        Raises:
            ValueError: An unknown attribute or kind.
        """
        from pytest_celeryflow.shape._json import from_json  # noqa: PLC0415

        return from_json(data)
