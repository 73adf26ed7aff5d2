"""Celery's own Redis result backend over an in-process store.

`InProcessRedis` is Celery's `RedisBackend` with two replacements: its client, which knows
just the commands that the backend uses (5.4 to 5.7), and the way its result consumer waits
for a published result. Counting a chord, joining it, expiring keys, subscribing: Celery's.

Importing this module needs redis-py, because Celery's backend does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from celery.backends.redis import RedisBackend, ResultConsumer
from redis.exceptions import ConnectionError as NoConnection

from pytest_celeryflow.results.lua import compile_script
from pytest_celeryflow.results.memory import cached_groups
from pytest_celeryflow.results.values import Values

__all__ = ["InProcessClient", "InProcessRedis"]

_BROKEN = "the connection broke when the result store went away"


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")  # scripts hold bytes as such text


class InProcessClient:
    """The Redis commands that Celery's result backend uses, over `Values`.

    A value is bytes or a number (strings), a dict (sorted set: member -> score), a list or
    a set. A command that is not here fails with its name, so that nothing is lost silently.
    """

    def __init__(self, values: Values) -> None:
        self.values = values
        self.channels: dict[bytes, list[InProcessPubSub]] = {}
        self.connection_pool = _NoConnections()
        self._scripts: dict[str, Callable[..., Any]] = {}
        values.cut = self._cut

    def _cut(self) -> None:
        """Break the connection of every subscriber: what is published is not heard."""
        for listener in {each for listeners in self.channels.values() for each in listeners}:
            listener.broken = True
        self.channels.clear()
        self.values.changed()

    def get(self, key: Any) -> bytes | None:
        """GET."""
        value = self.values.get(_bytes(key))
        return None if value is None else _bytes(value)

    def mget(self, keys: Any) -> list[bytes | None]:
        """MGET."""
        return [self.get(key) for key in keys]

    def set(
        self, key: Any, value: Any, ex: int | None = None, nx: bool = False
    ) -> bool | None:
        """SET, with EX and NX."""
        if nx and self.values.get(_bytes(key)) is not None:
            return None
        self.values.set(_bytes(key), _bytes(value), ex)
        return True

    def setex(self, key: Any, seconds: int, value: Any) -> bool:
        """SETEX."""
        self.values.set(_bytes(key), _bytes(value), seconds)
        return True

    def delete(self, *keys: Any) -> int:
        """DEL."""
        return sum(self.values.delete(_bytes(key)) for key in keys)

    def exists(self, *keys: Any) -> int:
        """EXISTS."""
        return sum(self.values.get(_bytes(key)) is not None for key in keys)

    def expire(self, key: Any, seconds: Any) -> bool:
        """EXPIRE."""
        return self.values.expire(_bytes(key), float(seconds))

    def incr(self, key: Any, amount: int = 1) -> int:
        """INCR and INCRBY."""
        return self.values.incr(_bytes(key), amount)

    def publish(self, channel: Any, message: Any) -> int:
        """PUBLISH."""
        listeners = self.channels.get(_bytes(channel), [])
        for listener in listeners:
            listener.inbox.append({"type": "message", "data": _bytes(message)})
        self.values.version += 1
        self.values.changed()
        return len(listeners)

    def zadd(self, key: Any, mapping: Mapping[Any, Any]) -> int:
        """ZADD."""
        members = self.values.setdefault(_bytes(key), {})
        new = 0
        for member, score in mapping.items():
            new += _bytes(member) not in members
            members[_bytes(member)] = float(score)
        return new

    def zcount(self, key: Any, low: Any, high: Any) -> int:
        """ZCOUNT."""
        members = self.values.get(_bytes(key)) or {}
        if (str(low), str(high)) == ("-inf", "+inf"):
            return len(members)
        return sum(float(low) <= score <= float(high) for score in members.values())

    def zrange(self, key: Any, start: int, stop: int) -> list[bytes]:
        """ZRANGE by rank."""
        members = self.values.get(_bytes(key)) or {}
        return _slice(sorted(members, key=lambda m: (members[m], m)), start, stop)

    def rpush(self, key: Any, *values: Any) -> int:
        """RPUSH."""
        items = self.values.setdefault(_bytes(key), [])
        items.extend(map(_bytes, values))
        return len(items)

    def llen(self, key: Any) -> int:
        """LLEN."""
        return len(self.values.get(_bytes(key)) or ())

    def lrange(self, key: Any, start: int, stop: int) -> list[bytes]:
        """LRANGE."""
        return _slice(self.values.get(_bytes(key)) or [], start, stop)

    def sadd(self, key: Any, *values: Any) -> int:
        """SADD."""
        items = self.values.setdefault(_bytes(key), set())
        before = len(items)
        items.update(map(_bytes, values))
        return len(items) - before

    def sismember(self, key: Any, value: Any) -> int:
        """SISMEMBER."""
        return int(_bytes(value) in (self.values.get(_bytes(key)) or ()))

    def register_script(self, text: str) -> Callable[..., Any]:
        """A server-side script, run by `lua`."""
        script = self._scripts.get(text)
        if script is None:
            run = compile_script(text)

            def script(keys: Any = (), args: Any = (), client: Any = None) -> Any:
                with self.values.together():
                    return run(self._execute, list(keys), list(args))

            self._scripts[text] = script
        return script

    def _execute(self, command: str, arguments: list[Any]) -> Any:
        """A command in the words of the protocol, as scripts call it."""
        name = command.lower()
        if name == "zadd":
            key, score, member = arguments
            return self.zadd(key, {member: score})
        if name == "set":
            key, value, *options = arguments
            words = [str(option).upper() for option in options]
            ex = int(words[words.index("EX") + 1]) if "EX" in words else None
            return b"OK" if self.set(key, value, ex=ex, nx="NX" in words) else None
        if name == "del":
            name = "delete"
        reply = getattr(self, name)(*arguments)
        return int(reply) if isinstance(reply, bool) else reply

    def pipeline(self, *_: Any, **__: Any) -> InProcessPipeline:
        """MULTI … EXEC."""
        return InProcessPipeline(self)

    def pubsub(self, **_: Any) -> InProcessPubSub:
        """A subscriber."""
        return InProcessPubSub(self)

    def ping(self) -> bool:
        """PING."""
        return True

    def close(self) -> None:
        """Nothing is connected."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(
            f"Redis command {name!r} is not among those that the in-process store knows; use "
            "mode 'worker' with backend='redis' for a real server"
        )


def _slice(items: list[bytes], start: int, stop: int) -> list[bytes]:
    return items[int(start) :] if int(stop) == -1 else items[int(start) : int(stop) + 1]


class _NoConnections:
    def reset(self) -> None:
        """Nothing is connected."""

    def disconnect(self, *_: Any, **__: Any) -> None:
        """Nothing is connected."""


class InProcessPipeline:
    """Commands that are carried out together."""

    def __init__(self, client: InProcessClient) -> None:
        self._client = client
        self._commands: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., InProcessPipeline]:
        def queue(*args: Any, **kwargs: Any) -> InProcessPipeline:
            self._commands.append((name, args, kwargs))
            return self

        return queue

    def execute(self) -> list[Any]:
        """Carry them out; their replies."""
        commands, self._commands = self._commands, []
        with self._client.values.together():
            return [getattr(self._client, name)(*a, **k) for name, a, k in commands]

    def __enter__(self) -> InProcessPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands.clear()


class InProcessPubSub:
    """A subscriber and what was published to it."""

    def __init__(self, client: InProcessClient) -> None:
        self._client = client
        #: Whether its connection broke; it hears nothing more.
        self.broken = False
        self.inbox: list[dict[str, Any]] = []
        self.connection = None
        self.keys: set[bytes] = set()

    @property
    def subscribed(self) -> bool:
        """Whether it listens to anything."""
        return bool(self.keys)

    def subscribe(self, *channels: Any) -> None:
        """SUBSCRIBE."""
        self._client.values.reached()
        if self.broken:
            raise NoConnection(_BROKEN)
        for channel in map(_bytes, channels):
            self.keys.add(channel)
            self._client.channels.setdefault(channel, []).append(self)

    def unsubscribe(self, *channels: Any) -> None:
        """UNSUBSCRIBE."""
        for channel in map(_bytes, channels):
            self.keys.discard(channel)
            listeners = self._client.channels.get(channel, [])
            if self in listeners:
                listeners.remove(self)
            if not listeners:
                self._client.channels.pop(channel, None)

    def close(self) -> None:
        """Stop listening."""
        self.unsubscribe(*list(self.keys))


class _Consumer(ResultConsumer):
    """Celery's result consumer, waiting in the store instead of on a socket."""

    def drain_events(self, timeout: float | None = None) -> None:
        """Wait for one published result and pass it on."""
        __tracebackhide__ = True
        pubsub = self._pubsub
        wait = self.backend.client.values.wait
        if pubsub is None or not wait(lambda: bool(pubsub.inbox) or pubsub.broken, timeout):
            raise TimeoutError("timed out")
        if not pubsub.inbox:
            with self.reconnect_on_error():
                raise NoConnection(_BROKEN)
            return
        message = pubsub.inbox.pop(0)
        self.on_state_change(self._decode_result(message["data"]), message)


class InProcessRedis(cached_groups, RedisBackend):
    """Celery's Redis backend without a server."""

    ResultConsumer = _Consumer

    def __init__(self, app: Any, client: InProcessClient, url: str | None = None) -> None:
        self.__dict__["client"] = client
        super().__init__(app=app, url=url or "redis://")
        self.thread_safe = True

    def _add_driver_info(self) -> None:
        """Celery 5.7 reads versions from disk here to name itself to the server: there is none."""

    def remove_pending_result(self, result: Any) -> Any:
        """Stop waiting for a result that was collected, unless another one waits for it.

        Celery goes by the id alone (`AsyncResult.__del__`). Here the test, which may wait for
        a task, and the worker that publishes it share one register, not one a process.
        """
        known = (pending.get(result.id) for pending in self._pending_results)
        if any(other is not None and other is not result for other in known):
            return result
        return super().remove_pending_result(result)

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        raise TypeError("results kept in the process cannot be handed to another process")
