"""Outages of a broker that is not ours: the gate on the way to it is shut."""

from __future__ import annotations

from typing import Any

from pytest_celeryflow.injection.outages import Later, Outages
from pytest_celeryflow.process.gate import Gate
from pytest_celeryflow.recorder import Recorder

__all__ = ["GateOutages"]


class GateOutages(Outages):
    """When the broker cannot be reached, because its gate is shut.

    Args:
        gate: The way to it; ``None`` for one that leads through none, which has no outages.
        recorder: Told when an outage begins and ends.
        later: Ends an outage.
    """

    def __init__(self, gate: Gate | None, recorder: Recorder, later: Later) -> None:
        super().__init__(recorder, later)
        self._gate = gate

    def _cut(self) -> Any:
        assert self._gate is not None
        return self._gate.shut()

    def _restore(self) -> None:
        assert self._gate is not None
        self._gate.open()
