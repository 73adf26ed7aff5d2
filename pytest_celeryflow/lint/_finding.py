"""What lint says: `Trouble` is what a rule reports, `Finding` what a user is given.

Plain data; relies on no Celery symbol.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "Trouble"]


@dataclass(frozen=True)
class Trouble:
    """Something that a rule saw. The rule's code and name are added by whoever runs it.

    Attributes:
        path: Where: the path within the canvas, or the name of the task or setting.
        message: What is wrong there, with the names and numbers of the case.
        hint: What to write instead.
        task: Full name of the task that it is about, so that the task can silence it.
    """

    path: str
    message: str
    hint: str
    task: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that lint found.

    Attributes:
        code: Stable code of the rule, such as `CF104`.
        rule: Name of the rule, such as `arguments-do-not-fit`.
        message: What is wrong there.
        path: Where: in a canvas, the path that failures of `assert_shape` use
            (`chain[1].header[3]`); in an app, the name of the task or setting.
        hint: How to repair it.
        url: Where the rule is described.
        task: Full name of the task that it is about, or nothing.
    """

    code: str
    rule: str
    message: str
    path: str
    hint: str
    url: str
    task: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.path}: {self.message}"
