"""Celery's own Redis result backend, whose readers are woken by this process itself.

Celery's readers subscribe to each result (`celery/backends/redis.py:ResultConsumer`), on one
connection for all threads, which before Celery 5.7 they may not share; and a subscriber
waits although nothing will ever come. Worker and reader are in one process here, so that
each result that is stored is noticed at once, and read from Redis then. Storing, publishing,
expiring and counting chords: Celery's.

Importing this module needs redis-py, because Celery's backend does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis.utils
from celery import states
from celery.backends.redis import RedisBackend, ResultConsumer
from celery.exceptions import TimeoutError as CeleryTimeout

from pytest_celeryflow.results.values import Waiter

__all__ = ["WaitedRedis", "deprecations_not_raised"]


@contextmanager
def deprecations_not_raised() -> Iterator[None]:
    """Let redis-py warn of what Celery uses of it, but not where a test makes errors of warnings.

    redis-py 8 says on each call that ``SETEX`` is deprecated; a result would not be stored.
    """
    name = "warn_deprecated"
    warn = getattr(redis.utils, name, None)
    if warn is None:
        yield
        return

    def warn_only(*args: Any, **kwargs: Any) -> None:
        with suppress(DeprecationWarning):
            warn(*args, **kwargs)

    setattr(redis.utils, name, warn_only)
    try:
        yield
    finally:
        setattr(redis.utils, name, warn)


class _Reader(ResultConsumer):
    """Waits for results without a subscription."""

    on_message: Any

    def start(self, initial_task_id: str, **kwargs: Any) -> None:
        """Nothing: there is no subscription."""

    def stop(self) -> None:
        """Nothing."""

    def consume_from(self, task_id: str) -> None:
        """Nothing."""

    def cancel_for(self, task_id: str) -> None:
        """Nothing."""

    def _wait_for_pending(
        self,
        result: Any,
        timeout: float | None = None,
        on_interval: Any = None,
        on_message: Any = None,
        **kwargs: Any,
    ) -> Iterator[None]:
        __tracebackhide__ = True
        backend = self.backend
        outer, self.on_message = self.on_message, on_message
        limit = None if timeout is None else backend.now() + timeout
        try:
            while True:
                left = [each for each in _parts(result) if not each._cache]
                for each in left:
                    self._look(each)
                yield
                if not any(not each._cache for each in _parts(result)):
                    return
                rest = None if limit is None else max(limit - backend.now(), 0.0)
                if not self._waited(left, rest, on_interval):
                    raise CeleryTimeout("The operation timed out.")
        finally:
            self.on_message = outer

    def _waited(self, left: list[Any], timeout: float | None, on_interval: Any) -> bool:
        __tracebackhide__ = True
        looked = -1
        raised: list[BaseException] = []

        def ready() -> bool:
            nonlocal looked
            if looked == self.backend.stored:
                return False
            looked = self.backend.stored
            try:
                if on_interval is not None:
                    on_interval()
                return any(self._look(each) for each in left if not each._cache)
            except Exception as exc:  # noqa: BLE001 - the store is away: the waiter's affair
                raised.append(exc)
                return True

        found = self.backend.wait(ready, timeout)
        if raised:
            raise raised[0]
        return found

    def _look(self, result: Any) -> bool:
        meta = self.backend.get_task_meta(result.id, cache=False)
        if meta["status"] not in states.READY_STATES:
            return False
        self.on_state_change(meta, None)
        result._maybe_set_cache(meta)
        return True


def _parts(result: Any) -> list[Any]:
    """The tasks whose results make up this one."""
    inner = getattr(result, "results", None)
    if inner is None:
        return [result]
    return [part for each in inner for part in _parts(each)]


class WaitedRedis(RedisBackend):
    """Celery's Redis backend, one for all threads.

    Args:
        app: The app.
        url: Of the Redis.
        wait: How a reader waits for a change.
        now: Gives the present, in seconds.
    """

    ResultConsumer = _Reader

    def __init__(
        self, app: Any, url: str, *, wait: Waiter, now: Callable[[], float], **kwargs: Any
    ) -> None:
        self.wait, self.now = wait, now
        #: How often something was stored.
        self.stored = 0
        #: Called when something was.
        self.changed: Callable[[], None] = _nothing
        self._closed = False
        super().__init__(app=app, url=url, **kwargs)
        self.thread_safe = True

    def _set(self, *args: Any, **kwargs: Any) -> None:
        if self._closed:
            raise RuntimeError("the test is over: nothing is stored any more")
        super()._set(*args, **kwargs)
        self.stored += 1
        self.changed()

    def remove_pending_result(self, result: Any) -> Any:
        """Stop waiting for a result that was collected, unless another one waits for it.

        See `results.redis.InProcessRedis.remove_pending_result`.
        """
        known = (pending.get(result.id) for pending in self._pending_results)
        if any(other is not None and other is not result for other in known):
            return result
        return super().remove_pending_result(result)

    def close(self) -> None:
        """Disconnect; a task that outlives the test leaves nothing behind."""
        self._closed = True
        self.client.connection_pool.disconnect()

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        raise TypeError("results that are waited for here cannot be handed to another process")


def _nothing() -> None:
    """The default of `WaitedRedis.changed`."""
