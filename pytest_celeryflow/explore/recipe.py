"""The replay string: how a schedule departed from the default one, as text.

Format ``cf1:``, version 1. After the prefix, URL-safe base64 without padding of: four bytes,
the CRC-32 of the rest, most significant first; then zlib-compressed UTF-8 JSON, a list of

* the seed of the simulation;
* the kinds of faults that could strike, the most of them, and the seconds of a delay, because
  what is asked, and when, depends on them;
* for each choice that was not answered by option 0, a list of its number among all choices
  of the schedule, from 0, and the words of the option.

A later version has another prefix; a reader refuses what it does not know.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_celeryflow.sim.oracle import Step

__all__ = ["Departure", "Recipe", "departures"]

_PREFIX = "cf1:"


@dataclass(frozen=True, slots=True)
class Departure:
    """One choice that was not the default's: its number, and the option's words."""

    step: int
    option: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """What it takes to make a schedule again.

    >>> recipe = Recipe(7, ("crash",), 1, 5.0, (Departure(3, "w1 is killed"),))
    >>> Recipe.read(str(recipe)) == recipe
    True
    """

    seed: int
    faults: tuple[str, ...]
    max_faults: int
    delay: float
    departures: tuple[Departure, ...]

    def __str__(self) -> str:
        steps = [[d.step, d.option] for d in self.departures]
        plain = [self.seed, self.faults, self.max_faults, self.delay, steps]
        text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
        packed = zlib.compress(text.encode(), 9)
        checked = zlib.crc32(packed).to_bytes(4, "big") + packed
        return _PREFIX + base64.urlsafe_b64encode(checked).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Recipe:
        """Read a replay string.

        Raises:
            ValueError: It is none, or was damaged on its way.
        """
        if not isinstance(text, str) or not text.startswith(_PREFIX):
            raise ValueError(
                f"replay={text!r} is not a replay string of this version: it must begin with "
                f"{_PREFIX!r}, as the report of a failed exploration prints it"
            )
        encoded = text.removeprefix(_PREFIX).strip()
        try:
            checked = base64.b64decode(
                encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True
            )
            checksum, packed = checked[:4], checked[4:]
            _check(packed, checksum)
            seed, faults, most, delay, steps = json.loads(zlib.decompress(packed))
            return cls(
                int(seed),
                tuple(map(str, faults)),
                int(most),
                float(delay),
                tuple(Departure(int(step), str(option)) for step, option in steps),
            )
        except (ValueError, TypeError, binascii.Error, zlib.error) as exc:
            raise ValueError(
                f"replay={text!r} was damaged, perhaps cut off when it was copied: {exc}"
            ) from None


def _check(packed: bytes, checksum: bytes) -> None:
    if zlib.crc32(packed).to_bytes(4, "big") != checksum:
        raise ValueError("its checksum is wrong")


def departures(steps: Sequence[Step]) -> tuple[Departure, ...]:
    """How a schedule departed from the default one."""
    return tuple(Departure(n, step.said) for n, step in enumerate(steps) if step.taken)
