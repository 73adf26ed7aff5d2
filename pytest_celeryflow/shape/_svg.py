"""Draw a shape as an SVG image, with nothing but the standard library.

Time runs from left to right. What runs at once stands one above the other; a wide group of
plain tasks is a framed grid. A thick bar is the barrier of a chord: what is left of it has
to finish before what is right of it starts. Dashed lines lead to links, red ones to errbacks.
A long chain goes on in the next row.

Relies on no Celery symbol, and no font: labels are monospaced, so their width is known. The
layout itself is in `_layout.py`. Not drawn: arguments longer than a label (they are in the
tooltip of the node).
"""

from __future__ import annotations

from html import escape

from pytest_celeryflow.shape._layout import Bar, Box, Line, Turn, layout
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._text import text

__all__ = ["STYLE", "heads", "svg"]

_MARGIN = 16

STYLE = """
  svg { --ink: #1f2933; --soft: #7b8794; --node: #f5f7fa; --rim: #9aa5b1; --frame: #cbd2d9;
        --bar: #3e4c59; --bad: #c0392b; --badfill: #fdecea; --call: #eef6ee; --callrim: #6b9a6b }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e4e7eb; --soft: #9aa5b1; --node: #27313b; --rim: #616e7c; --frame: #4b5763;
          --bar: #cbd2d9; --bad: #ff7b6b; --badfill: #40231f; --call: #22302a; --callrim: #7fb08a }
  }
  text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace;
         fill: var(--ink) }
  .soft { fill: var(--soft) } .name { font-weight: 600 }
  rect { fill: var(--node); stroke: var(--rim) }
  .frame { fill: none; stroke: var(--frame); stroke-dasharray: 2 3 }
  .grid { fill: none; stroke: var(--frame) }
  .link rect { fill: var(--call); stroke: var(--callrim) }
  .error rect { fill: var(--badfill); stroke: var(--bad) }
  path { fill: none; stroke: var(--soft); stroke-width: 1.2 }
  path.link { stroke: var(--callrim); stroke-dasharray: 5 4 }
  path.error { stroke: var(--bad); stroke-dasharray: 5 4 }
  path.head { stroke-dasharray: none }
  .bar { fill: var(--bar); stroke: none }
"""


def svg(shape: Shape, *, alone: bool = True) -> str:
    """Draw the image; see `Shape.svg`.

    Args:
        shape: The shape.
        alone: It brings its style sheet and its arrow heads.
    """
    block = layout(shape)
    width, height = block.width + 2 * _MARGIN, block.height + 2 * _MARGIN
    title = escape(text(shape), quote=False)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}" role="img">'
    )
    place = f'<g transform="translate({_MARGIN} {_MARGIN})">'
    own = [f"<style>{STYLE}</style>", _heads()] if alone else []
    out = [head, f"<title>{title}</title>", *own, place]
    for part in block.parts:
        match part:
            case Line():
                out.append(_line(part))
            case Turn():
                out.append(_turn(part))
            case Bar(x=x, y=y, height=tall):
                out.append(
                    f'<rect class="bar" x="{x:g}" y="{y:g}" width="4" height="{tall:g}" rx="2"/>'
                )
            case Box():
                out.extend(_box(part))
    return "\n".join([*out, "</g>", "</svg>"]) + "\n"


def _heads() -> str:
    """Define an arrow head for each kind of line, in its colour."""
    marker = (
        '<marker id="celeryflow-{0}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path class="head {0}" d="M0 0.5 7 4 0 7.5"/></marker>'
    )
    return f"<defs>{''.join(map(marker.format, ('then', 'link', 'error')))}</defs>"


def heads() -> str:
    """The arrow heads by themselves, as an image that takes no room."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0" style="position:absolute"'
        f' aria-hidden="true">{_heads()}</svg>'
    )


def _end(kind: str = "then") -> str:
    return f' marker-end="url(#celeryflow-{kind})"'


def _line(line: Line) -> str:
    (x, y), (to_x, to_y) = line.start, line.end
    if line.kind == "then":
        bend = (to_x - x) / 2
        curve = f"C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
        shape = f"L{to_x:g} {to_y:g}" if y == to_y else curve
        arrow = _end() if line.arrow else ""
        return f'<path d="M{x:g} {y:g} {shape}"{arrow}/>'
    return f'<path class="{line.kind}" d="M{x:g} {y:g} V{to_y:g} H{to_x:g}"{_end(line.kind)}/>'


def _turn(turn: Turn) -> str:
    """A rounded way from the end of a row to the start of the next."""
    (x, y), (to_x, to_y), middle = turn.start, turn.end, turn.between
    right, left, bend = x + 16, to_x - 16, 8
    return (
        f'<path d="M{x:g} {y:g} H{right - bend:g} Q{right:g} {y:g} {right:g} {y + bend:g}'
        f" V{middle - bend:g} Q{right:g} {middle:g} {right - bend:g} {middle:g} H{left + bend:g}"
        f" Q{left:g} {middle:g} {left:g} {middle + bend:g} V{to_y - bend:g}"
        f' Q{left:g} {to_y:g} {left + bend:g} {to_y:g} H{to_x:g}"{_end() if turn.arrow else ""}/>'
    )


def _box(box: Box) -> list[str]:
    rectangle = (
        f'<rect{{}} x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
        f' rx="{5 if box.kind != "frame" else 8}"/>'
    )
    if box.kind in ("frame", "grid"):
        label = escape(box.label, quote=False)
        out = [rectangle.format(f' class="{box.kind}"')]
        if label:
            out.append(f'<text class="soft" x="{box.x + 8:g}" y="{box.y + 14:g}">{label}</text>')
        return out
    name, call, rest = box.label.partition("(")
    label = (
        f'<text x="{box.x + 9:g}" y="{box.y + box.height / 2 + 4:g}"><tspan class="name">'
        f'{escape(name, quote=False)}</tspan><tspan class="soft">'
        f"{escape(call + rest, quote=False)}</tspan></text></g>"
    )
    title = f'<g class="{box.kind}"><title>{escape(box.title, quote=False)}</title>'
    return [title, rectangle.format(""), label]
