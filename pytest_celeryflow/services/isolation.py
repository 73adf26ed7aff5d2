"""A name space of one test inside a Redis that others use too.

What bears its name is removed afterwards, and nothing else is ever touched: no ``FLUSHDB``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

from pytest_celeryflow.services.removing import remove_keys
from pytest_celeryflow.services.server import Redis
from pytest_celeryflow.services.sweeper import swept

__all__ = ["own_keys"]


@contextmanager
def own_keys(redis: Redis) -> Iterator[dict[str, Any]]:
    """Keys of one test in a Redis, as broker and as result store.

    Every key and channel begins with a prefix of the test's own: kombu's by
    ``global_keyprefix`` (`kombu/transport/redis.py:GlobalKeyPrefixMixin`), those of results by
    the option of the same name (`celery/backends/base.py:KeyValueStoreBackend`). Both options
    take the place of the user's own; lay further ones over them.

    They are removed at the end, also when this process is killed. What tasks themselves write to
    that Redis is theirs.

    Args:
        redis: See `find_redis`.

    Yields:
        Celery settings.

    Example:
        >>> with own_keys(find_redis()) as settings:  # doctest: +SKIP
        ...     app.conf.update(settings)
    """
    # In hexadecimal, so that it means itself in a pattern.
    prefix = f"celeryflow-{uuid4().hex}:"
    with ExitStack() as stack:
        if not redis.private:  # which ends with this process
            stack.enter_context(swept(prefix, redis.url))("keys", prefix)
        stack.callback(remove_keys, redis.url, prefix)
        yield {
            "broker_url": redis.url,
            "result_backend": redis.url,
            "broker_transport_options": {"global_keyprefix": prefix},
            "result_backend_transport_options": {"global_keyprefix": prefix},
        }
