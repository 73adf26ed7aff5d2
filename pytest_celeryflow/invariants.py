"""What must be true after every event, and what must be true at least once.

`Flow.always` is a safety property, checked whenever the recorder has written an event; the first
that breaks is kept and raised where the test stands, since what runs then may be a task, whose error
would be its own affair. `Flow.sometimes` asks for what an exploration has to have seen in one of its
schedules (Antithesis calls the two "always" and "sometimes" assertions).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.history import Event
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.report.timeline import timeline

__all__ = ["Invariants"]


class Invariants:
    """The invariants of one flow.

    Args:
        recorder: Whose events they are checked after.
    """

    def __init__(self, recorder: Recorder) -> None:
        #: Conditions of `sometimes`, and whether they were ever true.
        self.wishes: dict[str, bool] = {}
        self._recorder = recorder
        self._always: list[tuple[str, Callable[[], Any]]] = []
        self._broken: CeleryflowAssertionError | None = None

    def always(self, predicate: Callable[[], Any], name: str | None) -> None:
        """See `Flow.always`."""
        if not _takes_nothing(predicate):
            raise ValueError(f"predicate={predicate!r} cannot be called without arguments")
        if not self._always:
            self._recorder.observers.append(self._check)
        said = name or str(getattr(predicate, "__name__", "an invariant"))
        self._always.append((said, predicate))

    def sometimes(self, name: str, condition: Any) -> None:
        """See `Flow.sometimes`."""
        self.wishes[name] = self.wishes.get(name, False) or bool(condition)

    def _check(self, event: Event) -> None:
        if self._broken is not None:
            return
        for name, predicate in self._always:
            try:
                held = predicate()
            except AssertionError as exc:
                held, why = False, f": {exc}"
            else:
                why = ""
            if held is not None and not held:
                what = f"{event.label} {event.kind}" if event.label else event.kind
                message = f"{name} is no longer true after: {what}{why}"
                self._broken = CeleryflowAssertionError(
                    f"{message}\n\n{timeline(self._recorder.history)}", expected=name, actual=what
                )
                return

    def raise_broken(self) -> None:
        """Raise for the invariant that broke, once.

        Raises:
            CeleryflowAssertionError: One is no longer true.
        """
        __tracebackhide__ = True
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken


def _takes_nothing(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    except ValueError:  # a function of C, of which nothing is known
        return True
    return True
