"""What all test cases do: so many ``delay().get()`` one after the other."""

from __future__ import annotations

import os
from statistics import median
from typing import Any

from figures.stopwatch import timed

__all__ = ["measure"]

_TIMES = int(os.environ.get("CELERYFLOW_ROUND_TRIPS", "1"))


def measure(task: Any, record: Any, **get: Any) -> None:
    """Record the median of the round trips."""

    def once() -> None:
        assert task.delay(1, 2).get(**get) == 3

    record("round_trip", median(timed(once) for _ in range(_TIMES)))
