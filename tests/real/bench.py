"""A real worker on a private Redis, and everything that can be seen from outside of it.

What happens is heard, never asked for again and again: the tasks' journal from a named pipe;
each stored state from the channel on which the Redis backend publishes it
(`celery/backends/redis.py:RedisBackend._set`); each change of a queue from the keyspace
notifications of Redis. Whoever waits is woken by all of these.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from celery import Celery, states
from celery.result import denied_join_result

from pytest_celeryflow.results.waited import deprecations_not_raised
from pytest_celeryflow.services import Redis
from pytest_celeryflow.services.worker import Worker
from tests.real.cutting import StoreGate

APP = "tests.real.app:app"

#: Real seconds that anything may take.
PATIENCE = 15.0

#: What differs from run to run in the text of an exception: a task's id, a pool's job.
_VARYING = re.compile(r"\[[0-9a-f-]{36}\]|\b[0-9a-f]{8}-[0-9a-f-]{27}\b ?|  ?Job: \d+\.")


@dataclass(frozen=True)
class Outcome:
    """What happened to one task id, however often it was delivered.

    Attributes:
        states: The states that were stored, in order, those of the same name again too.
        result: Its result, or ``ExceptionType: text``, which of a ``ConnectionError`` is left out;
            the state while there is neither.
        calls: Handlers, signals, errbacks and notes of the body in order; ``*`` marks those
            of the worker's main process, the others are those of a pool process.
        retries: ``request.retries`` of each execution.
        redelivered: ``delivery_info["redelivered"]`` of each execution, sorted: copies that
            wait for the same ETA begin in any order.
        left: How many messages of it the broker has in the end, in queues or unacknowledged.
    """

    states: str
    result: Any
    calls: str = ""
    retries: tuple[int, ...] = (0,)
    redelivered: tuple[bool, ...] = (False,)
    left: int = 0

    @property
    def executions(self) -> int:
        """How often its body began."""
        return len(self.retries)


def told(meta: Mapping[str, Any]) -> Any:
    """What a task's stored meta data say of its result; see `Outcome.result`."""
    if meta["status"] not in states.READY_STATES:
        return meta["status"]
    value = meta["result"]
    if isinstance(value, ConnectionError | redis.ConnectionError):
        return type(value).__name__  # its text is the operating system's, or tells of the fault
    if isinstance(value, BaseException):
        return _VARYING.sub("", f"{type(value).__name__}: {value}")
    return value


class Bench:
    """One name space of a private Redis, the tasks' app pointed at it, and its workers.

    Args:
        server: The broker, and the result store unless there is another.
        directory: For the journal.
        config: Settings of app and workers.
        store: A result store that fails by itself. The workers reach it through `gate`, the
            bench without it, so that the bench sees results whatever the workers can reach.
    """

    def __init__(
        self,
        server: Redis,
        directory: Path,
        config: Mapping[str, Any],
        store: Redis | None = None,
    ) -> None:
        self.server = server
        self.store = store or server
        self.gate = StoreGate(self.store.url, partial(self._hear, what="cut"))
        self.prefix = f"celeryflow-{uuid4().hex}:"
        self.queue = "celery"
        options = dict(config.get("broker_transport_options", {}))
        stored = dict(config.get("result_backend_transport_options", {}))
        self.config = {
            "broker_url": server.url,
            "result_backend": self.gate.url if store else server.url,
            "broker_connection_retry_on_startup": True,
            "task_track_started": True,
            **config,
            "broker_transport_options": {**options, "global_keyprefix": self.prefix},
            "result_backend_transport_options": {**stored, "global_keyprefix": self.prefix},
        }
        # It publishes, and never waits: with a result store it would subscribe to each result.
        self.app = Celery("asking", set_as_current=False)
        self.app.conf.update({**self.config, "result_backend": None})
        self.reader = Celery("reading", set_as_current=False)
        self.reader.conf.update({**self.config, "result_backend": self.store.url})
        # A canvas that is published adds up its results, and a result that is let go of unsubscribes.
        for name in ("add_pending_result", "remove_pending_result"):
            setattr(self.reader.backend, name, lambda result, **_: result)
        self.workers: list[Worker] = []
        self.news = threading.Condition()
        self.heard: list[dict[str, Any]] = []
        self._said: dict[str, int] = {}
        self._journal = directory / f"journal-{uuid4().hex}"
        os.mkfifo(self._journal)
        self._reading = os.open(self._journal, os.O_RDWR)
        self._closing = False
        self.client = redis.Redis.from_url(server.url, socket_timeout=PATIENCE)
        self._stored = redis.Redis.from_url(self.store.url, socket_timeout=PATIENCE)
        self._threads = [threading.Thread(target=self._read_journal, daemon=True)]
        self._threads[0].start()
        self.listen()

    # --- hearing ---

    def _hear(self, **what: Any) -> None:
        with self.news:
            self.heard.append({"at": time.monotonic(), **what})
            self.news.notify_all()

    def _read_journal(self) -> None:
        with os.fdopen(self._reading, encoding="utf-8") as lines:
            for line in lines:
                if line == "\n":
                    return
                self._hear(**json.loads(line))

    def listen(self) -> None:
        """Hear what Redis has to tell; again, after it was away."""
        self.client.config_set("notify-keyspace-events", "KA")
        self._hear_from(self.client, f"__keyspace@0__:{self.prefix}*")
        self._hear_from(self._stored, f"{self.prefix}*celery-task-meta-*")

    def _hear_from(self, client: Any, channels: str) -> None:
        pubsub = client.pubsub()
        pubsub.psubscribe(channels)
        listening = threading.Thread(target=self._listen, args=(pubsub,), daemon=True)
        self._threads.append(listening)
        listening.start()

    def _listen(self, pubsub: Any) -> None:
        with suppress(redis.RedisError, OSError, ValueError):
            while not self._closing:
                told = pubsub.get_message(timeout=1.0)
                if told is None or told["type"] != "pmessage":
                    continue
                if told["channel"].startswith(b"__"):
                    key = told["channel"].decode().partition(self.prefix)[2]
                    self._hear(what="broker", key=key, op=told["data"].decode())
                else:
                    meta = json.loads(told["data"])
                    self._hear(what="state", id=meta["task_id"], state=meta["status"])
        with suppress(redis.RedisError, OSError, ValueError):
            pubsub.close()

    def wait(self, done: Callable[[], bool], timeout: float = PATIENCE) -> bool:
        """Wait until something is so; looked at after each thing that was heard."""
        limit = time.monotonic() + timeout
        with self.news:
            while not done():
                if not self.news.wait(max(limit - time.monotonic(), 0)):
                    return bool(done())
        return True

    def about(self, task_id: str, what: str) -> list[dict[str, Any]]:
        with self.news:
            return [one for one in self.heard if one["what"] == what and one.get("id") == task_id]

    def started(self, task_id: str, times: int = 1) -> None:
        """Wait until its body began so many times."""
        assert self.wait(lambda: len(self.about(task_id, "start")) >= times), self.story()

    # --- sending ---

    def send(self, task: str, *args: Any, **options: Any) -> str:
        """Publish one of the app's tasks; its id."""
        task_id = options.pop("task_id", None) or str(uuid4())
        self.app.send_task(f"real.{task}", args, task_id=task_id, **options)
        return task_id

    def signature(self, task: str, *args: Any, **options: Any) -> Any:
        """One of the app's tasks in a canvas, with an id, and no arguments but these."""
        options.setdefault("immutable", True)
        options.setdefault("task_id", str(uuid4()))
        return self.reader.signature(f"real.{task}", args, **options)

    def publish(self, canvas: Any) -> None:
        """Publish a canvas, without subscribing to its results."""
        with denied_join_result(), deprecations_not_raised():
            canvas.apply_async()

    def publish_raw(self, body: Any, **options: Any) -> None:
        """Publish a message that Celery did not make."""
        with self.app.connection_for_write() as connection, connection.Producer() as producer:
            producer.publish(body, routing_key=self.queue, **options)

    # --- what Redis holds ---

    def left(self, task_id: str) -> int:
        """How many messages of that task Redis has, in queues or unacknowledged."""
        found = self.held(task_id)
        for key in self.client.scan_iter(f"{self.prefix}*", _type="list"):
            messages = map(json.loads, self.client.lrange(key, 0, -1))
            found += sum(message["headers"].get("id") == task_id for message in messages)
        return found

    def held(self, task_id: str) -> int:
        """How many of them a worker received and did not acknowledge."""
        messages = map(json.loads, self.client.hvals(f"{self.prefix}unacked"))
        return sum(message["headers"].get("id") == task_id for message, *_ in messages)

    def state(self, task_id: str) -> str:
        return self.reader.backend.get_task_meta(task_id, cache=False)["status"]

    def rest(self, task_id: str, timeout: float = PATIENCE) -> bool:
        """Wait until it has a final state and the broker nothing more of it."""
        return self.wait(
            lambda: self.state(task_id) in states.READY_STATES and not self.left(task_id), timeout
        )

    def outcome(self, task_id: str) -> Outcome:
        """What can be told of it now."""
        with self.news:
            heard = [one for one in self.heard if one.get("id") == task_id]
        starts = [one for one in heard if one["what"] == "start"]
        meta = self.reader.backend.get_task_meta(task_id, cache=False)
        value = told(meta)
        return Outcome(
            states=" ".join(one["state"] for one in heard if one["what"] == "state"),
            result=value,
            calls=" ".join(
                one["what"] + ("*" if one["main"] else "")
                for one in heard
                if one["what"] not in {"start", "state", "broker", "fence"}
            ),
            retries=tuple(one["retries"] for one in starts),
            redelivered=tuple(sorted(one["redelivered"] for one in starts)),
            left=self.left(task_id),
        )

    def story(self) -> str:
        """Everything that was heard, and what the workers wrote."""
        with self.news:
            lines = [json.dumps(one) for one in self.heard]
        return "\n".join([*lines, *(worker.output for worker in self.workers)])

    def fence(self) -> None:
        """Wait until all that the tasks wrote down so far was read."""
        mark = uuid4().hex
        os.write(self._reading, (json.dumps({"what": "fence", "id": mark}) + "\n").encode())
        assert self.wait(lambda: bool(self.about(mark, "fence")))

    # --- workers ---

    def start(self, concurrency: int = 2, **config: Any) -> Worker:
        os.environ["CELERYFLOW_JOURNAL"] = str(self._journal)
        worker = Worker(
            APP,
            config={**self.config, **config},
            concurrency=concurrency,
            name=f"w{len(self.workers) + 1}",
        )
        self.workers.append(worker)
        worker.start()
        return worker

    # --- the result store ---

    def said(self, what: str, times: int = 1) -> None:
        """Wait until a worker has logged, so often since it was asked last, what `LOGGED` names."""
        before = self._said.get(what, 0)
        count = partial(self._count, what)
        assert self.wait(lambda: count() >= before + times), self.story()
        self._said[what] = count()

    def was_cut(self) -> None:
        """Wait until the gate has done what it was told to do at a moment."""
        assert self.wait(lambda: self.gate.cut), self.story()

    def _count(self, what: str) -> int:
        return sum(one["what"] == what for one in self.heard)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.reader.backend.client.connection_pool.disconnect()
        for app in (self.app, self.reader):
            app.pool.force_close_all()  # `Celery.close` merely lets go of it
            app.close()
        self._closing = True
        os.write(self._reading, b"\n")
        self._threads[0].join(PATIENCE)
        self.gate.close()
        self.client.close()
        self._stored.close()
