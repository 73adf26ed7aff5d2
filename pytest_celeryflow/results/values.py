"""A store of bytes under keys, with expiry on a clock that is given to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Values", "Waiter"]

#: Waits until something is so, at most some seconds (``None``: as long as it takes); tells
#: whether it became so.
Waiter = Callable[[Callable[[], bool], float | None], bool]


class Values:
    """Values of any kind under keys of bytes.

    Args:
        now: Gives the present, in seconds; what has expired by then is gone.
        wait: How a reader waits for a change.
    """

    def __init__(self, now: Callable[[], float], wait: Waiter) -> None:
        self.lock = threading.RLock()
        self.wait = wait
        #: Called after each change: wakes those who wait.
        self.changed: Callable[[], None] = _nothing
        #: Called before each operation; raises while the store is away.
        self.used: Callable[[], None] = _nothing
        #: Called before somebody connects to listen; raises while the store is away.
        self.reached: Callable[[], None] = _nothing
        #: Called when an outage begins: breaks the connections of those who listen.
        self.cut: Callable[[], None] = _nothing
        #: Grows with each change.
        self.version = 0
        #: The present, in seconds.
        self.now = now
        self._together = 0
        self._values: dict[bytes, Any] = {}
        self._ends: dict[bytes, float] = {}

    def get(self, key: bytes) -> Any:
        """The value, or ``None``."""
        self._use()
        with self.lock:
            return self._look(key)

    def _look(self, key: bytes) -> Any:
        end = self._ends.get(key)
        if end is not None and end <= self.now():
            del self._values[key], self._ends[key]
        return self._values.get(key)

    def _use(self) -> None:
        if not self._together:
            self.used()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Several operations as one: nobody comes between, and they fail together or not."""
        self._use()
        with self.lock:
            self._together += 1
            try:
                yield
            finally:
                self._together -= 1

    def set(self, key: bytes, value: Any, seconds: float | None = None) -> None:
        """Store a value, for some seconds or for good."""
        self._use()
        with self.lock:
            self._values[key] = value
            self._ends.pop(key, None)
            if seconds:
                self._ends[key] = self.now() + seconds
            self.version += 1
        self.changed()

    def setdefault(self, key: bytes, value: Any) -> Any:
        """The value under the key, which is this one if there was none."""
        self._use()
        with self.lock:
            known = self._look(key)
            if known is None:
                self._values[key] = known = value
            return known

    def delete(self, key: bytes) -> bool:
        """Forget a value; whether there was one."""
        self._use()
        with self.lock:
            there = self._look(key) is not None
            self._values.pop(key, None)
            self._ends.pop(key, None)
        return there

    def expire(self, key: bytes, seconds: float) -> bool:
        """Let a value live for so many seconds from now; whether there is one."""
        self._use()
        with self.lock:
            if self._look(key) is None:
                return False
            self._ends[key] = self.now() + seconds
            return True

    def incr(self, key: bytes, by: int = 1) -> int:
        """Add to a number, which is 0 if there was none, and keep its expiry."""
        self._use()
        with self.lock:
            value = int(self._look(key) or 0) + by
            self._values[key] = value
            self.version += 1
        self.changed()
        return value

    def __iter__(self) -> Iterator[bytes]:
        with self.lock:
            return iter([key for key in list(self._values) if self._look(key) is not None])


def _nothing() -> None:
    """The default of `Values.changed`."""
