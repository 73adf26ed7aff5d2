"""Writes the history: what is said of tasks, and the broker's changes, become events.

Publications are read off the broker, where a message is in its final form. What becomes of a task
after that is for others to say: who hears Celery's signals in this process (`listening`), and who
hears what a worker's process tells (`process.hearing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from celery import Celery
from celery._state import get_current_task
from celery.utils.threads import get_ident
from kombu.serialization import loads

from pytest_celeryflow.books import Books, Workflow
from pytest_celeryflow.broker.stored import Stored
from pytest_celeryflow.history import KINDS, Event, History, Opaque
from pytest_celeryflow.wiring import take_call, wiring

__all__ = ["Recorder"]

_UNLOCK = "celery.chord_unlock"

#: A task that was executed so often under one id retries, or is redelivered, without end.
MAX_ATTEMPTS = 1_000


class Recorder(Books):
    """Writes down what becomes of the tasks of one app.

    Args:
        app: The app whose tasks are recorded; those of other apps are not.
        elapsed: Gives the time of an event, in seconds since the history began.
        where: Gives the name of the worker that the caller runs in, if any.
    """

    def __init__(
        self, app: Celery, elapsed: Callable[[], float], where: Callable[[], str | None]
    ) -> None:
        super().__init__()
        self.app = app
        #: Called with each new event, outside the lock; invariants are checked there.
        self.observers: list[Callable[[Event], None]] = []
        #: Executions that began, over all workflows.
        self.executions = 0
        self._elapsed = elapsed
        self.where = where
        self._events: list[Event] = []
        self._labels: dict[str, str] = {}
        self._per_name: Counter[str] = Counter()
        self._running: dict[Any, list[tuple[str, int]]] = {}
        self._open: dict[str, list[int]] = {}
        self._begun: dict[int, tuple[str | None, str]] = {}
        #: Groups whose chord's body stands in an event.
        self._bodies: set[str] = set()
        #: Called with the id of each new task before it can run. Ids are the same from run to
        #: run, and a store that outlives a run may hold a result of the last one under it.
        self.first_seen: Callable[[str], None] = _nothing
        #: Ids whose body was cut off: what it still signals on its way out is not news.
        self.silenced: set[Any] = set()
        #: Id of a task that waits for a result -> id of the task whose result it is.
        self.awaited: dict[str, str] = {}
        #: Id of a task that is executed again and again and will be for ever.
        self.endless: str | None = None
        self._attempts: Counter[str] = Counter()

    # --- writing ---

    @property
    def history(self) -> History:
        """What happened until now."""
        with self.lock:
            return History(self._events)

    @property
    def written(self) -> int:
        """How many events there are until now."""
        return len(self._events)

    def since(self, first: int) -> History:
        """What happened from an event on. The history before it, however long, costs nothing."""
        with self.lock:
            return History(self._events[first:])

    def note(
        self,
        kind: str,
        *,
        task: str | None = None,
        id: str | None = None,  # noqa: A002 - Celery's own word
        execution: int | None = None,
        worker: str | None = None,
        **details: Any,
    ) -> Event:
        """Write one event."""
        with self.lock:
            label = self.label(id, task) if id is not None else None
            event = Event(
                number=len(self._events),
                at=round(self._elapsed(), 6),
                kind=kind,
                task=task,
                id=id,
                label=label,
                worker=worker if worker is not None else self.where(),
                execution=execution,
                details=details,
            )
            self._events.append(event)
            self.touch()
        for observer in self.observers:
            observer(event)
        return event

    def now(self) -> dict[str, float]:
        """The present, as `returned` of an event's details: seconds, and the next event."""
        with self.lock:
            return {"at": round(self._elapsed(), 6), "number": len(self._events)}

    def label(self, id: str, task: str | None) -> str:  # noqa: A002
        """The short name of a task that is the same from run to run."""
        known = self._labels.get(id)
        if known is None:
            short = (task or "?").rpartition(".")[2]
            self._per_name[short] += 1
            known = self._labels[id] = f"{short}#{self._per_name[short]}"
        return known

    def task_of(self, id: str) -> str | None:  # noqa: A002
        """Name of the task with this id, if it has been published or executed."""
        with self.lock:
            return next((e.task for e in reversed(self._events) if e.id == id), None)

    def workflow(self) -> Workflow:
        """A new workflow with nothing in it."""
        return Workflow(began=self._elapsed())

    @contextmanager
    def awaiting(self, id: str) -> Iterator[None]:  # noqa: A002
        """The task that runs, if one does, waits for the result of another."""
        task = get_current_task()
        mine = task.request.id if task is not None else None
        if mine is None:
            yield
            return
        self.awaited[mine] = id
        try:
            yield
        finally:
            self.awaited.pop(mine, None)

    # --- the broker (broker.watching.Watcher) ---

    def published(self, message: Stored) -> None:
        """A message came in."""
        told = self._read(message)
        if told is None:
            return
        name, id_, details = told
        message.told = (name, id_)
        self._place(id_, details.get("parent"), details.get("root"))
        if name == _UNLOCK:
            self._unlockers.add(id_)
        if id_ not in self._labels:
            self.first_seen(id_)
        self._complete(name, id_, details)
        self._count(id_, 1)
        self.note("published", task=name, id=id_, **details)

    def _complete(self, name: str, id: str, details: dict[str, Any]) -> None:  # noqa: A002
        """Fit what a message says of others to what came before it."""
        wired, group = details["wiring"], details.get("group")
        with self.lock:
            if group in self._bodies:  # each member of a header carries the same body
                wired.pop("body", None)
            elif "body" in wired and group:
                self._bodies.add(group)
            workflow = self._workflow_of.get(id)
            if workflow is None or not workflow.immutable or details["parent"] is not None:
                return
            if take_call(workflow.immutable, name, details["args"], details["kwargs"]):
                wired["immutable"] = True

    def duplicated(self, message: Stored) -> None:
        """A message came in twice."""
        self._count(message.task_id, 1)

    def delivered(self, message: Stored) -> None:
        """A message was handed to a consumer: Celery's own signal tells of it."""

    def settled(self, message: Stored, how: str) -> None:
        """A message is gone for good."""
        id_ = message.task_id
        if id_ is None:
            return
        kind = how if how in ("acked", "dropped") else "rejected"
        reason: dict[str, Any] = {} if how in KINDS else {"reason": how}
        self._count(id_, -1)
        self.note(kind, task=message.task, id=id_, **reason)

    def returned(self, message: Stored) -> None:
        """A message is back in its queue."""
        if message.task_id is not None:
            name = message.task
            self.note("redelivered", task=name, id=message.task_id, queue=message.queue)

    def reappeared(self, message: Stored) -> None:
        """A message is in its queue once more while the first delivery is still out."""
        self._count(message.task_id, 1)
        self.returned(message)

    def _read(self, message: Stored) -> tuple[str, str, dict[str, Any]] | None:
        headers, raw = message.headers, message.raw
        properties = raw["properties"]
        payload: Any = None
        try:
            payload = loads(raw["body"], raw["content-type"], raw["content-encoding"], force=True)
        except Exception:  # noqa: BLE001 - a poison message is the worker's business to reject
            payload = None
        if "task" in headers and "id" in headers:
            args, kwargs, embed = payload if isinstance(payload, list | tuple) else ((), {}, {})
        elif isinstance(payload, dict) and {"task", "id"} <= set(payload):  # protocol 1
            headers = {**payload, "root_id": None, "parent_id": None}
            args, kwargs, embed = payload["args"], payload["kwargs"], payload
        else:
            return None
        info = properties.get("delivery_info", {})
        details: dict[str, Any] = {
            "args": tuple(args or ()),
            "kwargs": dict(kwargs or {}),
            "queue": message.queue,
            "exchange": info.get("exchange") or "",
            "routing_key": info.get("routing_key") or "",
            "priority": properties.get("priority"),
            "retries": headers.get("retries") or 0,
            "parent": headers.get("parent_id"),
            "root": headers.get("root_id"),
            "headers": {k: v for k, v in headers.items() if k not in _OWN_HEADERS},
        }
        for moment in ("eta", "expires"):
            if headers.get(moment):
                details[moment] = headers[moment]
        if headers.get("eta"):
            details["countdown"] = _countdown(headers["eta"], self.app)
        if headers.get("group"):
            details["group"] = headers["group"]
        chord = (embed or {}).get("chord")
        if chord:
            body = chord.get("options", {}).get("task_id")
            details["chord"] = {"body": body, "size": chord.get("chord_size")}
        if headers.get("stamped_headers"):
            details["stamps"] = headers.get("stamps") or {}
        priority = properties.get("priority")
        details["wiring"] = wiring(self.app, headers, embed or {}, priority, message.queue)
        return headers["task"], headers["id"], details

    # --- executions ---

    def began(
        self,
        task: str,
        id: str,  # noqa: A002
        who: Any,
        worker: str | None,
        **details: Any,
    ) -> None:
        """An execution begins.

        Args:
            task: Name of the task.
            id: Its id.
            who: Identifies the thread, greenlet or process that carries it out.
            worker: Name of the worker.
            details: ``args``, ``kwargs``, ``retries``, ``redelivered``, ``parent``, ``root``.
        """
        with self.lock:
            self.executions += 1
            self._vain_unlocks = self._vain_unlocks + 1 if task == _UNLOCK else 0
            number = self.executions
            self._running.setdefault(who, []).append((id, number))
            self._open.setdefault(id, []).append(number)
            self._begun[number] = (worker, task)
            self._attempts[id] += 1
            if self._attempts[id] > MAX_ATTEMPTS and task != _UNLOCK:
                self.endless = id
            if id not in self._labels:  # never published: called eagerly
                self._place(id, details["parent"], details["root"])
            workflow = self._workflow_of.get(id)
            if workflow is not None:
                workflow.executions += 1
        self.note("started", task=task, id=id, execution=number, worker=worker, **details)

    def left(self, who: Any) -> None:
        """A thread, greenlet or process is done with what it began last."""
        with self.lock:
            stack = self._running.get(who)
            if stack:
                stack.pop()
                if not stack:
                    del self._running[who]

    def called_in_place(
        self, errback: Any, failed: str, call: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Call an errback that is called as a function, and record it; what it returns.

        It has no id of its own: the one in the history is made of that of the task that
        failed. Its first and last arguments, the failed task's request and the text of the
        traceback, are recorded by name only.
        """
        request, exc, _, *more = args
        about = self.errback_began(
            errback.task, failed, self.where(), exc, more, dict(kwargs), request.root_id
        )
        try:
            result = call(errback, *args, **kwargs)
        except Exception as error:
            self.note("failed", **about, error=error)
            raise
        self.note("succeeded", **about, result=result)
        return result

    def errback_began(
        self,
        task: str,
        failed: str,
        worker: str | None,
        exc: Any,
        more: Sequence[Any],
        kwargs: dict[str, Any],
        root: str | None,
        who: Any = None,
    ) -> dict[str, Any]:
        """An errback is called as a function; what its end is to be noted with."""
        with self.lock:
            self.executions += 1
            number = self.executions
            id_ = f"{failed}/errback-{number}"
            workflow = self._workflow_of.get(failed)
            if workflow is None:  # the body of a chord that fails before it is published
                running = self._running.get(get_ident() if who is None else who)
                workflow = self._workflow_of.get(running[-1][0]) if running else None
            if workflow is not None:
                self.adopt(id_, workflow)
                workflow.executions += 1
        of = self._labels.get(failed, failed)
        told = (Opaque(f"<request of {of}>"), exc, Opaque("<traceback>"), *more)
        about: dict[str, Any] = {
            "task": task, "id": id_, "execution": number, "worker": worker
        }  # fmt: skip
        parent: dict[str, Any] = {"parent": failed, "root": root, "retries": 0}
        self.note("started", **about, args=told, kwargs=kwargs, **parent)
        return about

    def ended(self, kind: str, task: str, id: str, who: Any, **details: Any) -> None:  # noqa: A002
        """An execution ends.

        Args:
            kind: How: one of `KINDS`.
            task: Name of the task.
            id: Its id.
            who: As for `began`; ``None``: the caller.
            details: What else is known.
        """
        with self.lock:
            number = self._which(id, who)
            worker = self._begun[number][0] if number is not None else None
        self.note(kind, task=task, id=id, execution=number, worker=worker, **details)

    def _which(self, id: str, who: Any = None) -> int | None:  # noqa: A002
        """The open execution of a task: the caller's own (or whose it is), or else the oldest."""
        stack = self._running.get(get_ident() if who is None else who, ())
        opened = self._open.get(id, [])
        mine = next((number for i, number in reversed(stack) if i == id), None)
        if mine in opened:
            opened.remove(mine)
            return mine
        if mine is None and opened:
            return opened.pop(0)
        return None

    def lost(
        self,
        task: str,
        id: str,  # noqa: A002
        who: Any,
        reason: str,
        outcome: tuple[str, dict[str, Any]] | None = None,
    ) -> None:
        """A process or a worker is gone, and with it what it was doing.

        Args:
            task: Name of the task.
            id: Its id.
            who: Identifies the thread or greenlet that ran it, as Celery's `get_ident`.
            reason: What happened.
            outcome: How the execution had ended, where that was stored before.
        """
        with self.lock:
            number = self._which(id, who)
            worker = self._begun[number][0] if number is not None else None
            self._running.pop(who, None)
        about = {"task": task, "id": id, "worker": worker}
        if outcome is not None and number is not None:
            kind, told = outcome
            self.note(kind, **about, execution=number, **told)
            number = None
        self.note("lost", **about, execution=number, reason=reason)

    def is_running(self, id: str, who: Any) -> bool:  # noqa: A002
        """Whether an execution of a task has begun in this thread or greenlet and not ended."""
        with self.lock:
            opened = self._open.get(id, ())
            return any(i == id and n in opened for i, n in self._running.get(who, ()))

    def is_unfinished(self, id: str) -> bool:  # noqa: A002
        """Whether an execution of a task has begun and not ended."""
        with self.lock:
            return bool(self._open.get(id))

    def unfinished(self, worker: str) -> list[tuple[str, str]]:
        """Id and task of each execution in a worker that has not ended, oldest first."""
        with self.lock:
            numbers = {n: i for i, opened in self._open.items() for n in opened}
            begun = {n: self._begun[n] for n in sorted(numbers)}
            return [(numbers[n], task) for n, (where, task) in begun.items() if where == worker]

    def running(self) -> list[tuple[str, str, str | None]]:
        """Label, task and worker of each execution that has not ended, oldest first."""
        with self.lock:
            numbers = {n: i for i, opened in self._open.items() for n in opened}
            return [
                (self._labels[numbers[n]], self._begun[n][1], self._begun[n][0])
                for n in sorted(numbers)
            ]


def _nothing(_: str) -> None:
    """The default of `Recorder.first_seen`."""


def _countdown(eta: str, app: Celery) -> float | None:
    """Seconds from now until an ETA as Celery writes it into a message."""
    try:
        due = datetime.fromisoformat(eta)
    except ValueError:
        return None
    if due.tzinfo is None:
        due = due.replace(tzinfo=app.timezone)
    return round((due - app.now()).total_seconds(), 6)


#: Headers of Celery's message protocol 2 (`celery/app/amqp.py`); what is left is the user's.
_OWN_HEADERS = frozenset(
    "lang task id shadow eta expires group group_index retries timelimit root_id parent_id "
    "argsrepr kwargsrepr origin ignore_result replaced_task_nesting stamped_headers stamps "
    "compression redelivered".split()
)
