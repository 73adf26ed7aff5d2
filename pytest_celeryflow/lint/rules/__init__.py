"""All rules. A module holds those about one thing; a new module is added to the list here."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_celeryflow.lint._rule import Rule
from pytest_celeryflow.lint.rules import (
    arguments,
    bodies,
    callbacks,
    calls,
    chords,
    delays,
    delivery,
    limits,
    maps,
    messages,
    options,
    queues,
    registry,
    retries,
)

__all__ = ["RULES", "check_codes", "rule_of"]

_MODULES = (
    chords,
    calls,
    arguments,
    maps,
    callbacks,
    options,
    delays,
    delivery,
    retries,
    limits,
    bodies,
    queues,
    registry,
    messages,
)

#: Every rule, in the order of the codes.
RULES: tuple[Rule, ...] = tuple(
    sorted(
        (each for module in _MODULES for each in vars(module).values() if isinstance(each, Rule)),
        key=lambda rule: rule.code,
    )
)

_BY_CODE = {rule.code: rule for rule in RULES}
assert len(_BY_CODE) == len(RULES), "a code is given twice"


def rule_of(code: str) -> Rule:
    """The rule with a code."""
    return _BY_CODE[code]


def check_codes(codes: Iterable[str], argument: str) -> frozenset[str]:
    """Make sure that codes are those of rules.

    Args:
        codes: What the user gave.
        argument: What it was given as, for the error.

    Raises:
        TypeError: It is one string.
        ValueError: A code is unknown; the message lists the valid ones.
    """
    if isinstance(codes, str):
        raise TypeError(f"{argument} is {codes!r}; write ({codes!r},)")
    given = frozenset(codes)
    unknown = sorted(map(repr, given - _BY_CODE.keys()))
    if unknown:
        valid = ", ".join(f"{rule.code} {rule.name}" for rule in RULES)
        raise ValueError(
            f"{argument}: no rule has the code {', '.join(unknown)}; valid are {valid}"
        )
    return given
