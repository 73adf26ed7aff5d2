"""The same app and the same scenarios in the simulation, seen as the real bench sees them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import states

from pytest_celeryflow import Flow, simulate
from tests.real import app as tasks
from tests.real.bench import Outcome

#: What differs from run to run in the text of an exception, as `tests.real.bench` has it.
_VARYING = re.compile(r"\[[0-9a-f-]{36}\]|  ?Job: \d+\.")

#: Virtual seconds that a scenario may take.
PATIENCE = 15.0


class SimulatedBench:
    """What `tests.real.bench.Bench` offers to a scenario, in virtual time."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, config: Mapping[str, Any], concurrency: int
    ) -> None:
        self.heard: list[dict[str, Any]] = []
        self.queue = "celery"
        self.app = tasks.app
        self.server = SimpleNamespace(down=self._down, up=self._up)
        self._seen: set[str] = set()
        self._outage: Any = None
        monkeypatch.setattr(tasks, "note", self._note)
        monkeypatch.setattr(tasks, "first_time", self._first_time)
        monkeypatch.setattr(tasks, "os", SimpleNamespace(kill=self._die, getpid=os.getpid))
        self._stack = ExitStack()
        self.flow: Flow = self._stack.enter_context(
            simulate(
                tasks.app,
                broker="redis",
                backend="redis",
                concurrency=concurrency,
                queues=["celery"],
                config={"task_track_started": True, **config},
            )
        )
        self._mode: Any = self.flow._mode
        client = tasks.app.backend.client
        publish = client.publish

        def heard(channel: Any, message: Any) -> int:
            meta = json.loads(message)
            self.heard.append({"what": "state", "id": meta["task_id"], "state": meta["status"]})
            return publish(channel, message)

        client.publish = heard

    # --- hearing ---

    @property
    def _job(self) -> Any:
        fiber = self._mode.world.fiber
        return fiber.job if fiber is not None else None

    def _note(self, what: str, request: Any = None, **more: Any) -> None:
        in_process = self._job is not None and not self._job.left
        line = {"what": what, "main": not in_process, **more}
        if request is not None:
            line["id"] = request.id
        self.heard.append(line)

    def _first_time(self, task_id: str) -> bool:
        first = task_id not in self._seen
        self._seen.add(task_id)
        return first

    def _die(self, pid: int, signum: int) -> None:
        self._job.lose("its process was killed by itself")

    def wait(self, done: Callable[[], bool], timeout: float = PATIENCE) -> bool:
        """Let virtual time pass until something is so."""
        world = self._mode.world
        return world.drive(done, world.clock.us + round(timeout * 1_000_000))

    def about(self, task_id: str, what: str) -> list[dict[str, Any]]:
        return [one for one in self.heard if one["what"] == what and one.get("id") == task_id]

    def started(self, task_id: str, times: int = 1) -> None:
        assert self.wait(lambda: len(self.about(task_id, "start")) >= times)

    def listen(self) -> None:
        """Nothing has to be heard again."""

    # --- sending ---

    def send(self, task: str, *args: Any, **options: Any) -> str:
        task_id = options.pop("task_id", None) or str(uuid4())
        self.app.send_task(f"real.{task}", args, task_id=task_id, **options)
        return task_id

    def publish_raw(self, body: Any, **options: Any) -> None:
        with self.app.producer_or_acquire() as producer:
            producer.publish(body, routing_key=self.queue, **options)

    # --- what the broker and the store hold ---

    def left(self, task_id: str) -> int:
        broker = self._mode.broker
        waiting = sum(message.task_id == task_id for message in broker.waiting())
        return waiting + self.held(task_id)

    def held(self, task_id: str) -> int:
        return sum(message.task_id == task_id for message in self._mode.broker.out())

    def state(self, task_id: str) -> str:
        return self.app.backend.get_task_meta(task_id)["status"]

    def rest(self, task_id: str, timeout: float = PATIENCE) -> bool:
        return self.wait(
            lambda: self.state(task_id) in states.READY_STATES and not self.left(task_id), timeout
        )

    def outcome(self, task_id: str) -> Outcome:
        heard = [one for one in self.heard if one.get("id") == task_id]
        starts = [one for one in heard if one["what"] == "start"]
        meta = self.app.backend.get_task_meta(task_id)
        value = meta["result"] if meta["status"] in states.READY_STATES else meta["status"]
        if isinstance(value, BaseException):
            value = _VARYING.sub("", f"{type(value).__name__}: {value}")
        return Outcome(
            states=" ".join(one["state"] for one in heard if one["what"] == "state"),
            result=value,
            calls=" ".join(
                one["what"] + ("*" if one["main"] else "")
                for one in heard
                if one["what"] not in {"start", "state"}
            ),
            retries=tuple(one["retries"] for one in starts),
            redelivered=tuple(sorted(one["redelivered"] for one in starts)),
            left=self.left(task_id),
        )

    # --- the worker and its Redis ---

    @property
    def workers(self) -> list[Any]:
        return [SimpleNamespace(kill=self._kill, wait_for_line=lambda *_: True)]

    def _kill(self) -> None:
        self._mode.workers[0].kill("w1 was killed by the scenario", None)

    def start(self, concurrency: int = 2, **config: Any) -> None:
        self._mode._replace(self._mode.workers[0], 0.0)

    def _down(self) -> None:
        self._outage = self.flow.faults.broker.down()
        self.wait(lambda: False, 0.5)

    def _up(self) -> None:
        self._outage.withdraw()

    def close(self) -> None:
        self._stack.close()
