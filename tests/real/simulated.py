"""The same app and the same scenarios in the simulation, seen as the real bench sees them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from hashlib import sha1
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import states
from celery.result import denied_join_result

from pytest_celeryflow import Flow, simulate
from tests.real import app as tasks
from tests.real.bench import Bench, Outcome, told
from tests.real.cutting import MOMENTS

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
        self._said: dict[str, int] = {}
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
        self.reader = tasks.app
        client = tasks.app.backend.client
        self.gate = SimulatedGate(self.flow, client)
        publish = client.publish

        def heard(channel: Any, message: Any) -> int:
            if b"celery-task-meta-" in channel:  # before 5.7 a chord's size is published, too
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
        with denied_join_result():  # as `tests.real.bench.Bench`, which does not subscribe
            self.app.send_task(f"real.{task}", args, task_id=task_id, **options)
        return task_id

    signature, publish = Bench.signature, Bench.publish

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
        return self._meta(task_id)["status"]

    def _meta(self, task_id: str) -> Any:
        with self._mode.looking():
            return self.app.backend.get_task_meta(task_id, cache=False)

    def rest(self, task_id: str, timeout: float = PATIENCE) -> bool:
        return self.wait(
            lambda: self.state(task_id) in states.READY_STATES and not self.left(task_id), timeout
        )

    def outcome(self, task_id: str) -> Outcome:
        heard = [one for one in self.heard if one.get("id") == task_id]
        starts = [one for one in heard if one["what"] == "start"]
        meta = self._meta(task_id)
        value = told(meta)
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

    # --- the result store ---

    said, was_cut, _count = Bench.said, Bench.was_cut, Bench._count

    def story(self) -> str:
        return self.flow.report()

    def close(self) -> None:
        self._stack.close()


#: Moments for which a test has a fault of its own.
_OPERATIONS = {"a result is looked up": "store_result", "a chord counts": "on_chord_part_return"}


class SimulatedGate:
    """What `tests.real.cutting.StoreGate` does, by the faults that a test has for it.

    Where there is none for a moment, the commands of the in-process client tell that it has come.
    """

    def __init__(self, flow: Flow, client: Any) -> None:
        self._flow, self._values = flow, client.values
        self._faults: list[Any] = []
        self._word, self._nth, self._for_good = b"", 0, False
        pipeline, register_script = client.pipeline, client.register_script

        def watched_pipeline(*args: Any) -> Any:
            made = pipeline(*args)
            execute = made.execute

            def watched() -> Any:
                names = (name.upper().replace("DELETE", "DEL") for name, *_ in made._commands)
                self._pass("".join(f"\r\n{name}\r\n" for name in names))
                return execute()

            made.__dict__["execute"] = watched
            return made

        def watched_script(text: str) -> Any:
            run = register_script(text)

            def watched(**options: Any) -> Any:
                self._pass(sha1(text.encode()).hexdigest())
                return run(**options)

            return watched

        client.pipeline, client.register_script = watched_pipeline, watched_script

    @property
    def cut(self) -> bool:
        return bool(self._faults) and bool(self._faults[-1].fired)

    def shut(self) -> None:
        self._faults.append(self._flow.faults.backend.down(optional=True))

    def open(self) -> None:
        self._faults[-1].withdraw()

    def shut_before(self, moment: str, nth: int = 1) -> None:
        self._word, self._nth, self._for_good = MOMENTS[moment], nth, True

    def break_before(self, moment: str, nth: int = 1) -> None:
        if moment in _OPERATIONS:
            fault = self._flow.faults.backend.fail(_OPERATIONS[moment], nth=nth)
            self._faults.append(fault)
        else:
            self._word, self._nth, self._for_good = MOMENTS[moment], nth, False

    def _pass(self, command: str) -> None:
        if not self._nth or self._word not in command.encode():
            return
        self._nth -= 1
        if not self._nth:
            self.shut()
            try:
                self._values.used()
            finally:
                if not self._for_good:
                    self.open()
