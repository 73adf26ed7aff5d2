"""A measured figure, with the bound that it must keep, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Row", "table"]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: What was measured.
        value: The figure.
        unit: ``"s"``, ``"x"`` for a ratio, ``"MiB"``, or ``""`` for a count.
        at_most: The bound from above, if there is one.
        at_least: The bound from below, if there is one.
        note: How it was measured, in a few words.
    """

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bounds are kept; ``None`` without any."""
        if self.at_most is None and self.at_least is None:
            return None
        above = self.at_least is None or self.value >= self.at_least
        below = self.at_most is None or self.value <= self.at_most
        return above and below

    @property
    def bound(self) -> str:
        """The bounds, for the table."""
        said = []
        if self.at_most is not None:
            said.append(f"at most {_quantity(self.at_most, self.unit)}")
        if self.at_least is not None:
            said.append(f"at least {_quantity(self.at_least, self.unit)}")
        return ", ".join(said)


def _quantity(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:,.2f} s" if abs(value) >= 1 else f"{value * 1000:.3g} ms"
    number = f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
    return f"{number}{unit}" if unit == "x" else f"{number} {unit}".rstrip()


_VERDICTS = {True: "yes", False: "NO", None: ""}


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown that can also be read as it is."""
    head = ("what", "measured", "bound", "holds", "how")
    lines = [
        (r.what, _quantity(r.value, r.unit), r.bound, _VERDICTS[r.holds], r.note) for r in rows
    ]
    widths = [max(len(line[n]) for line in [head, *lines]) for n in range(len(head))]

    def text(line: tuple[str, ...]) -> str:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        return f"| {' | '.join(cells)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([text(head), rule, *map(text, lines)])
