"""The reference workflows, one module for each technique; `MODULES` names them in order."""

from __future__ import annotations

__all__ = ["MODULES"]

#: As a worker imports them; building blocks first, then what people build of them.
MODULES: tuple[str, ...] = tuple(
    f"{__name__}.{name}"
    for name in (
        "signatures",
        "chains",
        "groups",
        "chords",
        "batches",
        "callbacks",
        "replacing",
        "growing",
        "stamping",
        "stored",
        "fan_out",
        "map_reduce",
        "branches",
        "nested",
        "pages",
        "conditions",
        "early_end",
        "partial_failures",
        "retries",
        "polling",
        "fallback",
        "saga",
        "alerts",
        "audit",
        "idempotence",
        "redelivery",
        "time_limits",
        "rate_limits",
        "lanes",
        "routing",
        "follow_up",
        "expiry",
        "progress",
        "periodic",
    )
)
