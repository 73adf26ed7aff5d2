"""Result backends that keep results in the process, with Celery's key-value logic.

`MemoryBackend` counts a chord as Memcached does (``implements_incr``,
`celery/backends/base.py:BaseKeyValueStoreBackend.on_chord_part_return`);
`PollingBackend` leaves chords to the ``celery.chord_unlock`` task, as database backends do;
`NoBackend` is what an app without a result backend gets in ``sim``: the test can read
results, while chords are refused as `DisabledBackend` refuses them.

Waiting for a result is the store's own: nothing polls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from celery import states
from celery.backends.base import DisabledBackend, KeyValueStoreBackend
from celery.exceptions import TimeoutError as CeleryTimeout

from pytest_celeryflow.results.values import Values

__all__ = ["MemoryBackend", "NoBackend", "PollingBackend", "cached_groups"]


class cached_groups:  # noqa: N801 - a mixin that reads as an adjective
    """Decodes a group's members once for as long as their stored text is the same.

    Celery's key-value logic restores the whole group for every header task that returns, so
    that a chord's cost grows with the square of its width: 1,000 members took 11.8 s. The
    logic is untouched; only the text is not parsed again.
    """

    _group_memo: ClassVar[None] = None

    def _restore_group(self, group_id: str) -> Any:
        stored = self.get(self.get_key_for_group(group_id))  # type: ignore[attr-defined]
        memo: dict[str, tuple[Any, Any]] = self.__dict__.setdefault("_groups", {})
        known = memo.get(group_id)
        if known is None or known[0] is not stored:
            meta = super()._restore_group(group_id)  # type: ignore[misc]
            memo.clear()
            memo[group_id] = known = (stored, meta)
        return known[1]


class MemoryBackend(cached_groups, KeyValueStoreBackend):
    """Results in the process; chords are counted."""

    implements_incr = True
    supports_native_join = True
    supports_autoexpire = True
    persistent = True
    thread_safe = True

    def __init__(self, app: Any, values: Values, **kwargs: Any) -> None:
        self.values = values
        super().__init__(app, **kwargs)
        self.thread_safe = True
        self.url = "celeryflow-memory://"

    def as_uri(self, include_password: bool = True) -> str:
        """What error messages call it."""
        return "celeryflow-memory://"

    def get(self, key: bytes) -> Any:
        """See `celery.backends.base.BaseKeyValueStoreBackend`."""
        value = self.values.get(key)
        return str(value).encode() if isinstance(value, int) else value

    def mget(self, keys: Iterable[bytes]) -> list[Any]:
        """See `celery.backends.base.BaseKeyValueStoreBackend`."""
        return [self.get(key) for key in keys]

    def set(self, key: bytes, value: Any) -> None:
        """See `celery.backends.base.BaseKeyValueStoreBackend`."""
        self.values.set(key, value, self.expires)

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Whether ``result_backend_always_retry`` tries again: when there is no connection."""
        return isinstance(exc, ConnectionError)

    def delete(self, key: bytes) -> None:
        """See `celery.backends.base.BaseKeyValueStoreBackend`."""
        self.values.delete(key)

    def incr(self, key: bytes) -> int:
        """See `celery.backends.base.BaseKeyValueStoreBackend`."""
        return self.values.incr(key)

    def expire(self, key: bytes, value: float) -> bool:
        """See `celery.backends.base.BaseKeyValueStoreBackend`."""
        return self.values.expire(key, value) if value else False

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Any = None,
    ) -> Any:
        """Wait for a result; woken when one is stored, without polling.

        Raises:
            celery.exceptions.TimeoutError: It did not come in time.
        """
        __tracebackhide__ = True
        self._ensure_not_eager()
        (meta,) = self._wait_for_any([task_id], timeout, on_interval).values()
        return meta

    def get_many(self, task_ids: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait for many results, giving each when it is there.

        Raises:
            celery.exceptions.TimeoutError: They were not all there in time.
        """
        __tracebackhide__ = True
        on_message, left = kwargs.get("on_message"), dict.fromkeys(task_ids)
        limit = None if timeout is None else self.values.now() + timeout
        while left:
            rest = None if limit is None else max(limit - self.values.now(), 0.0)
            for task_id, meta in self._wait_for_any(left, rest).items():
                del left[task_id]
                if on_message is not None:
                    on_message(meta)
                yield task_id, meta

    def _wait_for_any(
        self, task_ids: Iterable[str], timeout: float | None, on_interval: Any = None
    ) -> dict[str, Any]:
        __tracebackhide__ = True
        done: dict[str, Any] = {}
        raised: list[BaseException] = []
        seen = -1

        def ready() -> bool:
            nonlocal seen
            if seen == self.values.version:
                return False
            seen = self.values.version
            try:
                for task_id in task_ids:
                    meta = self.get_task_meta(task_id)
                    if meta["status"] in states.READY_STATES:
                        done[task_id] = meta
            except Exception as exc:  # noqa: BLE001 - the store is away: the waiter's affair
                raised.append(exc)
            if not done and on_interval is not None:
                try:
                    on_interval()
                except Exception as exc:  # noqa: BLE001 - raised in the caller, below
                    raised.append(exc)
            return bool(done or raised)

        if not self.values.wait(ready, timeout) and not done and not raised:
            raise CeleryTimeout("The operation timed out.")
        if raised:
            raise raised[0]
        return done

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        raise TypeError("results kept in the process cannot be handed to another process")


class PollingBackend(MemoryBackend):
    """Results in the process; chords are polled for by ``celery.chord_unlock``."""

    implements_incr = False


class NoBackend(MemoryBackend):
    """What stands in for no backend at all: results for the test to read, and no chords."""

    def ensure_chords_allowed(self) -> None:
        """Refuse a chord, in Celery's own words.

        Raises:
            NotImplementedError: Always.
        """
        DisabledBackend.ensure_chords_allowed(self)
