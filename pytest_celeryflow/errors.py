"""The exceptions that pytest-celeryflow raises of its own accord.

What a task raises is never wrapped: `Run.value` raises the task's own exception.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CeleryflowAssertionError",
    "CeleryflowError",
    "UnsupportedFault",
    "WorkflowStalled",
]


class CeleryflowError(Exception):
    """The base of every error that is pytest-celeryflow's own."""

    __module__ = "pytest_celeryflow"


class CeleryflowAssertionError(AssertionError, CeleryflowError):
    """An assertion of the toolkit failed.

    Attributes:
        expected: What the assertion asked for.
        actual: What was found instead.
    """

    __module__ = "pytest_celeryflow"

    def __init__(self, message: str, *, expected: Any = None, actual: Any = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class WorkflowStalled(CeleryflowError):
    """A workflow, or a result that was waited for, can never finish.

    The message says what waits for what: the task, the chord and its count, the member
    that will never report, and why.
    """

    __module__ = "pytest_celeryflow"


class UnsupportedFault(CeleryflowError):
    """A fault was asked for in a mode that cannot do it; the message names those that can."""

    __module__ = "pytest_celeryflow"
