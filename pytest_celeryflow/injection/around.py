"""What goes wrong around tasks, in each mode that has a broker and a store of ours."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pytest_celeryflow.faults import (
    BackendDown,
    BackendFail,
    BrokerDown,
    Drop,
    Duplicate,
    Fault,
    Redeliver,
)
from pytest_celeryflow.injection.messages import Tampering
from pytest_celeryflow.injection.outages import BrokerOutages, StoreOutages

__all__ = ["planned_around"]


def planned_around(
    fault: Fault, tampering: Tampering, broker: BrokerOutages, store: StoreOutages
) -> AbstractContextManager[None] | None:
    """Bring about a fault of messages, the broker or the store; ``None`` for any other."""
    if isinstance(fault, Drop | Duplicate | Redeliver):
        return tampering.planned(fault)
    if isinstance(fault, BrokerDown):
        return broker.planned(fault)
    if isinstance(fault, BackendDown):
        return store.down(fault)
    if isinstance(fault, BackendFail):
        return store.failing(fault)
    return None
