"""Faults that somebody else has drawn: `FaultPlan`, plain values for `Flow.follow`.

Each is one call of a method of `flow.faults`, which checks it and brings it about; nothing is
done here. A fault that never strikes is no failure: whoever drew it could not know.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pytest_celeryflow.faults import CrashPoint, Victim

if TYPE_CHECKING:
    from pytest_celeryflow.flow import Flow

__all__ = ["KINDS", "FaultPlan", "PlannedFault"]

#: Methods of `flow.faults` that take a task.
KINDS = ("crash", "duplicate", "drop", "delay", "redeliver", "fail", "hang")


@dataclass(frozen=True, slots=True, repr=False)
class PlannedFault:
    """One fault.

    Attributes:
        kind: One of `KINDS`: the method of `flow.faults`.
        task: Full name of the task that it concerns.
        nth: Which execution of it, or which message, from 1.
        at: Where a crash strikes.
        kills: Whom a crash kills: ``"process"`` or ``"worker"``; ``None``: the usual one.
        by: Seconds that a delay takes.
    """

    kind: str
    task: str
    nth: int = 1
    at: CrashPoint | None = None
    kills: Victim | None = None
    by: float | None = None

    def __repr__(self) -> str:
        told = [repr(self.kind), repr(self.task)]
        for each in fields(self)[2:]:
            value = getattr(self, each.name)
            if value != each.default:
                shown = f"CrashPoint.{value.name}" if isinstance(value, CrashPoint) else repr(value)
                told.append(f"{each.name}={shown}")
        return f"PlannedFault({', '.join(told)})"


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong, for `Flow.follow`.

    Attributes:
        faults: In no particular order.
    """

    faults: tuple[PlannedFault, ...] = ()

    def lead(self, flow: Flow) -> None:
        """Plan the faults in a flow (`Flow.follow`)."""
        for fault in self.faults:
            nth = fault.nth if fault.nth > 1 else None
            told = {"nth": nth, "at": fault.at, "kills": fault.kills, "by": fault.by}
            particular: dict[str, Any] = {k: v for k, v in told.items() if v is not None}
            getattr(flow.faults, fault.kind)(fault.task, optional=True, **particular)
