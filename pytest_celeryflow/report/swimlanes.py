"""Draw a history as an SVG image: bars in lanes, over time.

Nothing but the standard library; colours come from the style sheet of the page that holds the
image (`report.look`), so that light and dark are one drawing. Colour never says anything alone:
each end of a bar has a sign, too.
"""

from __future__ import annotations

from html import escape

from pytest_celeryflow.report.lanes import BAR, Bar, Lanes, Mark

__all__ = ["AXIS", "swimlanes"]

#: Height of the axis above the lanes.
AXIS = 22

#: How an execution ended -> the class of its bar, and a sign.
_LOOKS = {
    "SUCCESS": ("ok", "✓"),
    "FAILURE": ("bad", "✗"),
    "RETRY": ("again", "↻"),
    "LOST": ("lost", "☠"),
    "REJECTED": ("other", "⊘"),
    "REVOKED": ("other", "⊘"),
    "IGNORED": ("other", "–"),
    "STARTED": ("open", "…"),
}
_SIGNS_ROOM = 15


def swimlanes(drawing: Lanes) -> str:
    """The image, without the names of the lanes."""
    width, height = drawing.width, drawing.height + AXIS
    # Without a viewBox: what is wider than the drawing shows more lane, and no larger bars.
    head = (
        f'<svg class="swim" width="{width:g}" height="{height:g}" role="img"'
        f' aria-label="{len(drawing.bars)} executions in {len(drawing.lanes)} lanes">'
    )
    out = [head]
    for n, lane in enumerate(drawing.lanes):
        out.append(
            f'<rect class="lane{" odd" if n % 2 else ""}" x="0" y="{AXIS + lane.y:g}"'
            f' width="100%" height="{lane.height:g}"/>'
        )
    out += [
        (
            f'<rect class="pause" x="{pause.x:g}" y="{AXIS}" width="{pause.width:g}"'
            f' height="{drawing.height:g}"><title>{escape(pause.lasts)} pass</title></rect>'
        )
        for pause in drawing.pauses
    ]
    for x, name in drawing.moments:
        out.append(f'<path class="tick" d="M{x:g} {AXIS - 4} V{height:g}"/>')
        out.append(f'<text class="moment" x="{x:g}" y="{AXIS - 8}">{escape(name)}</text>')
    out += [_tie(*tie) for tie in drawing.ties]
    out += [_bar(drawing, bar) for bar in drawing.bars]
    out += [_mark(drawing, mark) for mark in drawing.marks]
    return "\n".join([*out, "</svg>"])


def _tie(kind: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + AXIS, to_y + AXIS
    bend = max(10, (to_x - x) / 2)
    way = f"L{to_x:g} {to_y:g}" if y == to_y else (
        f"C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
    )
    return f'<path class="tie {kind}" d="M{x:g} {y:g} {way}"/>'


def _bar(drawing: Lanes, bar: Bar) -> str:
    look, sign = _LOOKS.get(bar.state, _LOOKS["STARTED"])
    y = AXIS + drawing.lane(bar.lane).middle(bar.row)
    right = bar.x + bar.width
    name, _, number = bar.label.partition("#")
    return (
        f'<g class="bar {look}"><title>{escape(bar.title)}</title>'
        f'<rect x="{bar.x:g}" y="{y - BAR / 2:g}" width="{bar.width:g}" height="{BAR}" rx="4"/>'
        f'<text x="{bar.x + 6:g}" y="{y + 4:g}">{escape(name)}'
        f'<tspan class="soft">#{escape(number)}</tspan></text>'
        f'<text class="sign" x="{right - _SIGNS_ROOM:g}" y="{y + 4:g}">{sign}</text></g>'
    )


def _mark(drawing: Lanes, mark: Mark) -> str:
    y = AXIS + drawing.lane(mark.lane).middle(mark.row)
    return (
        f'<g class="mark {mark.kind}"><title>{escape(mark.title)}</title>'
        f'<circle cx="{mark.x:g}" cy="{y:g}" r="9"/>'
        f'<text x="{mark.x:g}" y="{y + 4:g}">{mark.sign}</text></g>'
    )
