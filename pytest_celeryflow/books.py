"""The books on workflows: which task belongs to which, and how much of each is under way.

A message counts from its publication until the broker forgets it, a task in a pool from its
submission until its callbacks have run; a workflow whose count is zero is at rest.

A task belongs to the workflow of the task that publishes it, which is the one that runs
(`celery._state.get_current_worker_task`), or whose outcome is being dealt with; failing that,
to that of its parent or its root;
failing that, to the one that the test is publishing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celery._state import get_current_task, get_current_worker_task
from celery.utils.threads import get_ident

from pytest_celeryflow.wiring import Call

__all__ = ["Books", "Workflow"]


@dataclass(eq=False)
class Workflow:
    """One canvas that was published, and all that came of it.

    Attributes:
        began: Seconds since the history began.
        ids: Ids of its tasks in the order of their publication.
        live: Messages and running tasks of it that are still under way.
        executions: How many executions of it have begun.
        immutable: Calls of immutable tasks of the canvas that were not published yet.
    """

    began: float
    ids: dict[str, None] = field(default_factory=dict)
    live: int = 0
    executions: int = 0
    immutable: list[Call] = field(default_factory=list)


class Books:
    """Counts what is under way, and wakes those who wait for a change."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        #: Notified after each change; those who wait in real time wait on it.
        self.changed = threading.Condition(self.lock)
        #: Nobody waits in real time: the simulation has one thread.
        self.alone = False
        #: Grows with each change, so that a waiter knows whether it missed one.
        self.version = 0
        #: Messages and running tasks under way, over all workflows and outside of any.
        self.live = 0
        #: Tasks that a pool has taken and is not done with.
        self.jobs = 0
        self._workflow_of: dict[str, Workflow] = {}
        self._publishing: dict[Any, Workflow] = {}
        #: Thread or greenlet -> id of the task whose job it carries out, callbacks included.
        self._carrying: dict[Any, str] = {}
        #: Task -> of how many tasks it is the last, each of which published the next.
        self._generation: dict[str, int] = {}
        #: The most of these, and the task that is the last of so many.
        self.deepest = (0, "")
        self._unlockers: set[str] = set()
        self._unlocking = 0
        self._vain_unlocks = 0

    def touch(self) -> None:
        """Wake everyone who waits for a change."""
        if self.alone:
            return
        with self.lock:  # the condition's own; entering it by the condition takes longer
            self.version += 1
            self.changed.notify_all()

    @contextmanager
    def publishing(self, workflow: Workflow) -> Iterator[None]:
        """What this thread publishes meanwhile, outside any task, is of this workflow."""
        me = get_ident()
        outer = self._publishing.get(me)
        self._publishing[me] = workflow
        try:
            yield
        finally:
            if outer is None:
                del self._publishing[me]
            else:
                self._publishing[me] = outer

    def adopt(self, id: str, workflow: Workflow) -> None:  # noqa: A002
        """Count a task to a workflow."""
        self._workflow_of.setdefault(id, workflow)
        workflow.ids.setdefault(id)

    def job_submitted(self, id: str) -> None:  # noqa: A002
        """A pool took a task."""
        with self.lock:
            self.jobs += 1
        self._count(id, 1)

    def job_done(self, id: str) -> None:  # noqa: A002
        """A pool is done with a task, callbacks included."""
        with self.lock:
            self.jobs -= 1
        self._count(id, -1)

    @contextmanager
    def handling(self, id: str) -> Iterator[None]:  # noqa: A002
        """The worker itself deals with a task; it counts until the worker is done with it.

        What has expired or was revoked is acknowledged before all is told of it.
        """
        with self.lock:  # nobody waits for more to be under way: nobody is woken
            self.jobs += 1
            self.live += 1
            workflow = self._workflow_of.get(id)
            if workflow is not None:
                workflow.live += 1
        try:
            yield
        finally:
            with self.lock:
                self.jobs -= 1
                self.live -= 1
                if workflow is not None:
                    workflow.live -= 1
                self.touch()

    def carry(self, id: str | None) -> None:  # noqa: A002
        """The caller carries out a task's job, until its callbacks have run (``None``)."""
        if id is None:
            self._carrying.pop(get_ident(), None)
        else:
            self._carrying[get_ident()] = id

    def only_unlocking(self) -> bool:
        """Whether chords that ask again and again are all that is left, and asked in vain.

        ``celery.chord_unlock`` retries without end while its header is not ready
        (`celery/app/builtins.py`). With nothing else under way it never will be; it is given
        three tries each, because the last header task may just have ended.
        """
        with self.lock:
            return 0 < self.live == self._unlocking <= self._vain_unlocks // 3

    def _count(self, id: str | None, by: int) -> None:  # noqa: A002
        with self.lock:
            self.live += by
            if id in self._unlockers:
                self._unlocking += by
            workflow = self._workflow_of.get(id or "")
            if workflow is not None:
                workflow.live += by
            self.touch()

    def _place(self, id: str, parent: str | None, root: str | None) -> None:  # noqa: A002
        """Find the workflow of a task that is published now."""
        if id in self._workflow_of:
            return
        publisher = get_current_worker_task() or get_current_task()
        running = publisher.request.id if publisher is not None else None
        # A tracer or a worker that deals with an outcome publishes too, with no task current.
        candidates = (running, self._carrying.get(get_ident()), parent, root)
        before = next(filter(None, candidates), "")
        generation = self._generation[id] = self._generation.get(before, 0) + 1
        if generation > self.deepest[0]:
            self.deepest = generation, id
        found = next((w for c in candidates if (w := self._workflow_of.get(c or ""))), None)
        found = found or self._publishing.get(get_ident())
        if found is not None:
            self.adopt(id, found)
