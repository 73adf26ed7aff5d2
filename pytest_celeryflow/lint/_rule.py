"""A rule: one generator function, its code, and its docstring as the documentation.

The docstring has a summary and five sections, each a paragraph that starts with its name:
`Sees`, `Why`, `Celery`, `Repair`, and the examples `Bad` and `Good`. `_page.py` makes a page of
it, and the tests run the examples. How to silence a rule is the same for all and is added
there.

There are two kinds, by what they are given. A canvas rule costs a walk over one canvas and
may be run on each that is published; an app rule reads the source of every task.

Relies on no Celery symbol.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pytest_celeryflow.lint._finding import Finding, Trouble

__all__ = ["PAGE", "SECTIONS", "Rule", "app_rule", "canvas_rule"]

#: Where the rules are described.
PAGE = "docs/reference/lint.md"

SECTIONS = ("Sees", "Why", "Celery", "Repair", "Bad", "Good")

_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):[ \n]", re.MULTILINE)

Check = Callable[[Any], Iterator[Trouble]]


@dataclass(frozen=True)
class Rule:
    """A rule of lint.

    Attributes:
        code: Stable: it is never given to another rule.
        name: A few words, for messages.
        about: What it is given.
        check: Yields what it sees.
        fixed_in: First Celery version without the trouble; the rule is silent from there on.
    """

    code: str
    name: str
    about: Literal["canvas", "app"]
    check: Check
    fixed_in: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        """Where the rule is described."""
        return f"{PAGE}#{self.code.lower()}-{self.name}"

    @cached_property
    def summary(self) -> str:
        """The first line of the docstring."""
        return inspect.getdoc(self.check).partition("\n")[0]  # type: ignore[union-attr]

    @cached_property
    def sections(self) -> Mapping[str, str]:
        """The docstring's sections by name; of the examples, the code."""
        parts = _SECTION.split(inspect.getdoc(self.check) or "")
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        for name in ("Bad", "Good"):
            sections[name] = inspect.cleandoc("\n" + sections[name])
        return {name: text.strip() for name, text in sections.items()}

    def findings(self, subject: Any) -> Iterator[Finding]:
        """Run the rule.

        Args:
            subject: The `Canvas` or `AppView` that it is about.
        """
        for seen in self.check(subject):
            yield Finding(
                code=self.code,
                rule=self.name,
                message=seen.message,
                path=seen.path,
                hint=seen.hint,
                url=self.url,
                task=seen.task,
            )


def canvas_rule(
    code: str, name: str, *, fixed_in: tuple[int, int] | None = None
) -> Callable[[Check], Rule]:
    """Make a rule on canvases of a function that is given a `Canvas`."""
    return lambda check: Rule(code, name, "canvas", check, fixed_in)


def app_rule(code: str, name: str) -> Callable[[Check], Rule]:
    """Make a rule on apps of a function that is given an `AppView`."""
    return lambda check: Rule(code, name, "app", check)
