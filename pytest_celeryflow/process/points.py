"""In the worker: the moments at which something can go wrong, and how it does.

Crash points are where `sim.crashes` has them. Here they are reached in several processes, and
what a crash does is SIGKILL: to the process itself, or to the group of the whole worker.
The result backend's class is changed, not its instance: tracers keep its bound methods.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from celery import Celery

from pytest_celeryflow.faults import OPERATIONS, CrashPoint
from pytest_celeryflow.history import Opaque
from pytest_celeryflow.injection.bodies import Bodies
from pytest_celeryflow.injection.outages import METHODS
from pytest_celeryflow.process.questions import Interest, Questions
from pytest_celeryflow.process.telling import Telling
from pytest_celeryflow.process.values import packed

__all__ = ["Points"]

_UNLOCK = "celery.chord_unlock"

_sleep = time.sleep


class Points:
    """Asks at each point what shall happen, and does it.

    Args:
        app: The user's app.
        questions: The way to the test.
    """

    def __init__(self, app: Celery, questions: Questions) -> None:
        self._app, self._questions = app, questions
        self._bodies, self._lasting = Bodies(), ExitStack()
        self.telling: Telling | None = None
        #: What is to happen where the body first waits, publishes or stores.
        self._within: list[Callable[[], None]] = []
        self._storing: tuple[str, Any] | None = None

    # --- what is reached ---

    def reach(self, point: CrashPoint, task: str, id: str) -> None:  # noqa: A002
        """A task is at a point: die, if that is the order."""
        if task != _UNLOCK and self._questions.wanted(Interest.POINT):
            self._die(self._questions.ask("point", point=point.name, task=task, id=id).get("kill"))

    def _die(self, victim: str | None) -> None:
        if victim == "process":
            os.kill(os.getpid(), signal.SIGKILL)
        elif victim == "worker":
            os.killpg(os.getpgrp(), signal.SIGKILL)
        else:
            return
        while True:  # the signal is on its way
            signal.pause()

    def within(self) -> None:
        """The body waits, publishes or stores."""
        while self._within:
            self._within.pop()()

    # --- bodies ---

    def lay_around_bodies(self) -> None:
        """Have every body of the app announced; before tracers are built."""
        for name, task in list(self._app.tasks.items()):
            if name != _UNLOCK:
                around = partial(self._around_body, task)
                self._lasting.enter_context(self._bodies.wrapped(task, around))

    def _around_body(
        self, task: Any, body: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        assert self.telling is not None
        id_ = task.request.id
        wanted = self._questions.wanted
        if not self.telling.in_pool or self.telling.job != id_:
            return body(*args, **kwargs)
        self.reach(CrashPoint.AFTER_ACK, task.name, id_)
        orders: list[dict[str, Any]] = []
        if wanted(Interest.BODY | Interest.POINT):
            told = {"args": packed(args), "kwargs": packed(kwargs)}
            orders = self._questions.ask("body", task=task.name, id=id_, **told).get("orders", [])
        call = partial(body, *args, **kwargs)
        for order in orders:
            call = partial(self._carried_out, order, call)
        result = call()
        self._questions.tell("returned", id=id_)
        self.reach(CrashPoint.BEFORE_CALLBACKS, task.name, id_)
        return result

    def _carried_out(self, order: dict[str, Any], body: Callable[[], Any]) -> Any:
        if "delay" in order:
            _sleep(order["delay"])
        if "kill" in order:
            return self._inside(partial(self._die, order["kill"]), body)
        if order.get("hang"):
            return self._inside(_hang, body)
        if "raise" in order:
            if order.get("after"):
                body()
            raise _made(order["raise"])
        if "return" in order:
            return order["return"].value()
        return body()

    def _inside(self, act: Callable[[], None], body: Callable[[], Any]) -> Any:
        """Run a body, and act where it first waits, publishes or stores, or else where it ends."""
        self._within.append(act)
        undo = _sleep_announced(self.within)
        try:
            try:
                result = body()
            except BaseException:
                self.within()
                raise
            self.within()
            return result
        finally:
            undo()
            self._within.clear()

    # --- the result store ---

    def lay_around_backend(self) -> None:
        """Have what the result backend does announced."""
        backend = type(self._app.backend)
        for name, around in (
            ("mark_as_done", self._around_done),
            ("mark_as_failure", self._around_failure),
            ("store_result", self._around_store),
            ("_call_task_errbacks", self._around_errbacks),
        ):
            _lay_around(backend, name, around)
        for op in OPERATIONS:
            inner = METHODS.get(op, op)
            name = inner if hasattr(backend, inner) else op
            _lay_around(backend, name, partial(self._tried, op))

        if hasattr(backend, "_get_pool"):
            _lay_around(backend, "_get_pool", self._reached)

    def _reached(self, call: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
        """A pool of connections to Redis that gives none while the store is away."""
        pool = call(backend, *args, **kwargs)
        get_connection = pool.get_connection

        def connection(*args: Any, **kwargs: Any) -> Any:
            if self._questions.wanted(Interest.STORE):
                refused = self._questions.ask("connection").get("refused")
                if refused is not None:
                    raise backend.redis.exceptions.ConnectionError(refused)
            return get_connection(*args, **kwargs)

        pool.get_connection = connection
        return pool

    def _tried(self, op: str, call: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
        self.within()
        if self._questions.wanted(Interest.STORE):
            refused = self._questions.ask("store", op=op).get("refused")
            if refused is not None:
                client = getattr(backend, "redis", None)
                error = ConnectionError if client is None else client.exceptions.ConnectionError
                raise error(refused)
        return call(backend, *args, **kwargs)

    def _mine(self, id_: Any) -> bool:
        assert self.telling is not None
        return self.telling.in_pool and id_ is not None and self.telling.job == id_

    def _name(self, id_: str) -> str:
        from celery._state import get_current_task  # noqa: PLC0415 - changes with each task

        task = get_current_task()
        return str(task.name) if task is not None and task.request.id == id_ else "?"

    def _around_done(self, call: Any, backend: Any, task_id: str, value: Any, *args: Any, **more: Any) -> Any:
        if not self._mine(task_id):
            return call(backend, task_id, value, *args, **more)
        self.reach(CrashPoint.AFTER_CALLBACKS, self._name(task_id), task_id)
        outcome = "succeeded", {"result": packed(value)}
        return self._stored(outcome, call, backend, task_id, value, *args, **more)

    def _around_failure(self, call: Any, backend: Any, task_id: str, exc: Any, *args: Any, **more: Any) -> Any:
        if not self._mine(task_id):
            return call(backend, task_id, exc, *args, **more)
        outcome = "failed", {"error": packed(exc)}
        return self._stored(outcome, call, backend, task_id, exc, *args, **more)

    def _stored(self, outcome: Any, call: Any, backend: Any, task_id: str, *args: Any, **more: Any) -> Any:
        self.reach(CrashPoint.BEFORE_RESULT, self._name(task_id), task_id)
        self._storing = outcome
        result = call(backend, task_id, *args, **more)
        if self._storing is not None:  # it ignores its result, and nothing was stored
            self._is_stored(task_id)
        return result

    def _around_store(self, call: Any, backend: Any, task_id: str, *args: Any, **kwargs: Any) -> Any:
        result = call(backend, task_id, *args, **kwargs)
        if self._storing is not None and self._mine(task_id):
            self._is_stored(task_id)
        else:
            self._questions.tell("stored", id=task_id, outcome=None)
        return result

    def _is_stored(self, id_: str) -> None:
        outcome, self._storing = self._storing, None
        self._questions.tell("stored", id=id_, outcome=outcome)
        self.reach(CrashPoint.AFTER_RESULT, self._name(id_), id_)

    def _around_errbacks(self, call: Any, backend: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        mine = self._mine(request.id)
        if mine:
            self.reach(CrashPoint.BEFORE_CALLBACKS, self._name(request.id), request.id)
        result = call(backend, request, *args, **kwargs)
        if mine:
            self.reach(CrashPoint.AFTER_CALLBACKS, self._name(request.id), request.id)
        return result


def _hang() -> None:
    """Wait for a signal that ends it: Celery's handlers raise."""
    while True:
        signal.pause()


def _made(value: Any) -> BaseException:
    """What a test said should be raised."""
    made = value.value()
    if isinstance(made, Opaque):
        raise RuntimeError(
            f"celeryflow: {made.text} cannot be raised in the worker: its class is not "
            "importable there. Define it in a module that the app's own could import"
        )
    return made if isinstance(made, BaseException) else made()


def _lay_around(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Lay a function around a method of a class; it is given the method first."""
    method = getattr(owner, name)

    def laid(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return around(method, self, *args, **kwargs)

    setattr(owner, name, laid)


def _sleep_announced(announce: Callable[[], None]) -> Callable[[], None]:
    """Let `time.sleep` announce itself, wherever it was imported by name; how to undo it."""

    def sleep(seconds: float) -> None:
        announce()
        _sleep(seconds)

    def replace(old: Any, new: Any) -> None:
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            if names is None or module.__name__ == __name__:
                continue
            for name in [n for n, value in list(names.items()) if value is old]:
                names[name] = new

    replace(_sleep, sleep)
    return partial(replace, sleep, _sleep)
