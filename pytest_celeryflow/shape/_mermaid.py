"""Draw a shape as a Mermaid flowchart, for READMEs and wikis whose host renders Mermaid.

An arrow means "then"; what has no arrow between it runs at once. Dashed arrows are links, red
dashed ones errbacks. A composition that has options or callbacks of its own is framed.

Relies on no Celery symbol. Not drawn: the members of a wide group one by one (neighbours that
differ in arguments only are one node, `resize(…) × 40`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import Writer, folded, short_names

__all__ = ["mermaid"]

_LABEL = 48
_ERRBACK = "stroke:#c0392b,color:#c0392b"
_ESCAPES = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "&": "#amp;"}


def mermaid(shape: Shape) -> str:
    """Write the flowchart; see `Shape.mermaid`."""
    chart = _Chart(Writer(short_names(shape)))
    chart.add(shape)
    lines = ["flowchart LR", *chart.lines]
    if chart.errbacks:
        lines.append(f"  linkStyle {','.join(map(str, chart.errbacks))} {_ERRBACK}")
        lines.append(f"  classDef errback {_ERRBACK}")
    return "\n".join(lines) + "\n"


@dataclass
class _Ends:
    """The nodes a part begins and ends with."""

    first: list[str]
    last: list[str]


@dataclass
class _Chart:
    writer: Writer
    lines: list[str] = field(default_factory=list)
    errbacks: list[int] = field(default_factory=list)
    edges: int = 0
    nodes: int = 0
    indent: str = "  "

    def add(self, shape: Shape, times: int = 1, style: str = "") -> _Ends:
        """Write a part of the chart and return where it begins and ends."""
        if shape.is_task or shape.kind == "any":
            ends = self._task(shape, times, style)
            self._callbacks(shape, ends.last[0])
            return ends
        framed = times > 1 or shape.options or shape.stamps or shape.links or shape.errbacks
        if not framed and not shape.any_order:
            return self._inside(shape, style)
        frame = self._new()
        self._line(f'subgraph {frame}["{self._title(shape, times)}"]')
        self.indent += "  "
        self._line("direction LR")
        ends = self._inside(shape, style)
        self.indent = self.indent[:-2]
        self._line("end")
        self._callbacks(shape, frame)
        return ends

    def _inside(self, shape: Shape, style: str) -> _Ends:
        runs = folded(shape.children, self.writer)
        parts = [self.add(child, times, style) for child, times in runs]
        if shape.kind == "chain":
            return self._one_after_the_other(parts) if parts else self._empty(shape)
        if not parts and shape.body is None:
            return self._empty(shape)
        header = _Ends([n for p in parts for n in p.first], [n for p in parts for n in p.last])
        if shape.body is None:
            return header
        body = self.add(shape.body, 1, style)
        return self._one_after_the_other([header, body]) if parts else body

    def _one_after_the_other(self, parts: list[_Ends]) -> _Ends:
        for before, after in pairwise(parts):
            self._then(before.last, after.first)
        return _Ends(parts[0].first, parts[-1].last)

    def _then(self, before: list[str], after: list[str]) -> None:
        if len(before) > 1 and len(after) > 1:
            meeting = self._new()
            self._line(f"{meeting}(( ))")
            self._then(before, [meeting])
            before = [meeting]
        for one in before:
            for other in after:
                self._edge(f"{one} --> {other}")

    def _callbacks(self, shape: Shape, of: str) -> None:
        for link in shape.links:
            for entry in self.add(link).first:
                self._edge(f"{of} -. link .-> {entry}")
        for errback in shape.errbacks:
            for entry in self.add(errback, style=":::errback").first:
                self.errbacks.append(self.edges)
                self._edge(f"{of} -. on_error .-> {entry}")

    def _task(self, shape: Shape, times: int, style: str) -> _Ends:
        node = self._new()
        label = _escaped(self.writer.write(replace(shape, links=(), errbacks=())), times)
        left, right = ("[[", "]]") if times > 1 else ("[", "]")
        self._line(f'{node}{left}"{label}"{right}{style}')
        return _Ends([node], [node])

    def _empty(self, shape: Shape) -> _Ends:
        node = self._new()
        self._line(f'{node}["empty {shape.kind}"]')
        return _Ends([node], [node])

    def _title(self, shape: Shape, times: int) -> str:
        bare = replace(shape, children=(), body=None, links=(), errbacks=(), any_order=False)
        own = self.writer.write(bare).partition(")")[2]
        order = "any order " if shape.any_order else ""
        return _escaped(f"{order}{shape.kind}{own}", times)

    def _new(self) -> str:
        self.nodes += 1
        return f"n{self.nodes}"

    def _edge(self, line: str) -> None:
        self.edges += 1
        self._line(line)

    def _line(self, line: str) -> None:
        self.lines.append(self.indent + line)


def _escaped(label: str, times: int) -> str:
    """Cut a label, count it, and write what Mermaid would take for its own."""
    cut = label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
    count = f" × {times}" if times > 1 else ""
    return "".join(_ESCAPES.get(sign, sign) for sign in cut) + count
