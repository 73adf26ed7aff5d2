"""A strict double for a task inside a real workflow: it takes the place of the task's body."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pytest_celeryflow.durations import seconds
from pytest_celeryflow.errors import CeleryflowAssertionError

__all__ = ["Step", "Stub"]


@dataclass(slots=True)
class Step:
    """What one call does: wait, then raise or return."""

    delay: float = 0.0
    value: Any = None
    error: BaseException | type[BaseException] | None = None


class Stub:
    """What a task does instead of its body, call after call; the last step repeats.

    >>> flow.stub(charge).raises(ConnectionError()).then.returns("paid")  # doctest: +SKIP

    A step is an outcome, and how long it takes: ``.after("5s").returns("paid")``, or
    ``.returns("paid").after("5s")`` where ``.then`` or nothing follows.
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        self._steps: list[Step] = []
        self._open = Step()
        self._said = False
        #: The arguments of each call.
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __repr__(self) -> str:
        return f"<Stub of {self._task.name}: {len(self._steps)} steps, {len(self.calls)} calls>"

    @property
    def then(self) -> Stub:
        """What follows is the next step."""
        self._end_step()
        return self

    def after(self, delay: float | str | timedelta) -> Stub:
        """Let the step take this long first (seconds, or text such as ``"5s"``)."""
        self._open.delay = seconds(delay, argument="delay")
        return self

    def _end_step(self) -> None:
        """A length of time that no outcome followed belongs to the outcome before it."""
        if self._open.delay and self._steps:
            self._steps[-1].delay = self._open.delay
            self._open = Step()

    def returns(self, value: Any) -> Stub:
        """Let the next call return a value."""
        self._open.value = value
        return self._close()

    def raises(self, exc: BaseException | type[BaseException]) -> Stub:
        """Let the next call raise an exception.

        Raises:
            ValueError: It is no exception.
        """
        is_class = isinstance(exc, type) and issubclass(exc, BaseException)
        if not is_class and not isinstance(exc, BaseException):
            raise ValueError(f"exc={exc!r} is not an exception or an exception class")
        self._open.error = exc
        return self._close()

    def _close(self) -> Stub:
        self._steps.append(self._open)
        self._open = Step()
        return self

    def __call__(self, _: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what the stub was told, instead of the body (`injection.bodies.Wrapper`)."""
        step = self.called(args, kwargs)
        if step.delay:
            time.sleep(step.delay)
        if step.error is not None:
            raise step.error
        return step.value

    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
        """Count a call; what is to be done at it."""
        self._end_step()
        self.calls.append((args, kwargs))
        steps = self._steps or [self._open]
        return steps[min(len(self.calls), len(steps)) - 1]

    def check(self) -> None:
        """Fail if it was never called.

        Raises:
            CeleryflowAssertionError: It was not.
        """
        __tracebackhide__ = True
        if not self.calls:
            raise CeleryflowAssertionError(
                f"the stub of {self._task.name} was never called\n\n"
                "Expected: the workflow calls it at least once\n"
                "Instead:  it did not. Remove the stub, or run the workflow that needs it.",
                expected="at least one call",
                actual=0,
            )
