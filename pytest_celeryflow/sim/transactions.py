"""Django's transactions, as the tasks of a simulation see them.

In production each task has a connection of its own, in autocommit: its outermost
``transaction.atomic()`` is a transaction, and ``on_commit`` runs when that ends, or at once
outside of any. Here all tasks run on the test's thread, so on the test's own connection, and
mostly within the transaction that the test rolls back (`django.test.TestCase`, the fixture
``db``). For a task, and for nobody else, this makes up for it:

* Its outermost ``atomic()`` is always a savepoint; what it left to be done on commit is done
  when that is released.
* Outside of its own ``atomic()`` it is in autocommit: ``on_commit`` calls at once, and an error of
  the database in ``save()`` or ``update()`` undoes that statement and breaks nothing else.
* Savepoints are a stack, so tasks take turns: while one is inside ``atomic()`` and waits, another
  that begins a transaction, or writes, waits for its end.

Relies on `django/db/transaction.py` (``Atomic``, ``mark_for_rollback_on_error``),
`django/db/backends/base/base.py` (``on_commit``, ``run_on_commit``) and
`django/db/backends/utils.py` (``_execute_with_wrappers``), the same from 4.2 to 5.2. Not modelled:
isolation. A task reads what another has not committed yet.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pytest_celeryflow.sim.fiber import Fiber, Killed
from pytest_celeryflow.sim.world import World

__all__ = ["Transactions"]

logger = logging.getLogger(__name__)


@dataclass
class _Open:
    """The transaction that a task has open: its blocks, and what to do on commit."""

    fiber: Fiber
    blocks: list[Any] = field(default_factory=list)
    callbacks: list[Any] = field(default_factory=list)


class Transactions:
    """Tells apart what the tasks of a world do on the connections that they share."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[Any, _Open] = {}
        self._waiting: dict[Fiber, _Open] = {}
        self._rolled_back: set[Fiber] = set()

    @contextmanager
    def told_apart(self) -> Iterator[None]:
        """Do so, if Django's database layer is loaded."""
        if "django.db" not in sys.modules:
            yield
            return
        transaction = import_module("django.db.transaction")
        wrapper = import_module("django.db.backends.base.base").BaseDatabaseWrapper
        cursor = import_module("django.db.backends.utils").CursorWrapper
        self._connection = transaction.get_connection
        self._leave = transaction.Atomic.__exit__
        with ExitStack() as stack:
            for owner, name, by in (
                (transaction.Atomic, "__enter__", self._begun),
                (transaction.Atomic, "__exit__", self._ended),
                (transaction, "mark_for_rollback_on_error", self._statement(transaction.atomic)),
                (wrapper, "on_commit", self._on_commit),
                (cursor, "_execute_with_wrappers", self._executed),
            ):
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, by(getattr(owner, name)))
            self._world.killing.append(self._killed)
            stack.callback(self._world.killing.remove, self._killed)
            yield

    def _killed(self, fiber: Fiber) -> None:
        """Roll back at once what a killed task had open, as the database does it.

        Its own blocks are left when it is unwound; until then others write.
        """
        for connection, entry in list(self._open.items()):
            if entry.fiber is fiber:
                self._rolled_back.add(fiber)
                for atomic in reversed(entry.blocks):
                    self._leave(atomic, Killed, Killed(), None)
                del self._open[connection]

    def notes(self) -> list[str]:
        """Who waits for whose transaction, a sentence each."""
        return [
            f"{fiber.actor} waits to write until {entry.fiber.actor} leaves transaction.atomic(): "
            "in a simulation tasks share the test's database connection"
            for fiber, entry in self._waiting.items()
        ]

    # --- who ---

    def _own(self, connection: Any) -> tuple[Fiber | None, _Open | None]:
        """The task whose code runs, and its open transaction."""
        fiber = self._world.current_fiber
        entry = self._open.get(connection)
        return fiber, entry if entry is not None and entry.fiber is fiber else None

    def _wait(self, connection: Any) -> None:
        """Let another task's transaction end first."""
        fiber = self._world.current_fiber
        while fiber is not None and not fiber.dying:
            entry = self._open.get(connection)
            if entry is None or entry.fiber is fiber:
                return
            self._waiting[fiber] = entry
            try:
                self._world.block(lambda: connection not in self._open, None)
            finally:
                self._waiting.pop(fiber, None)

    # --- Django's functions, as a task calls them ---

    def _begun(self, enter: Callable[..., Any]) -> Callable[..., Any]:
        def __enter__(atomic: Any) -> None:  # noqa: N807 - it is Django's
            connection = self._connection(atomic.using)
            self._wait(connection)
            fiber, entry = self._own(connection)
            kept = atomic.savepoint
            if fiber is not None and entry is None and connection.in_atomic_block:
                atomic.savepoint = True
            try:
                enter(atomic)
            finally:
                atomic.savepoint = kept
            if fiber is not None:
                self._open.setdefault(connection, _Open(fiber)).blocks.append(atomic)

        return __enter__

    def _ended(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        def __exit__(atomic: Any, *error: Any) -> None:  # noqa: N807 - it is Django's
            connection = self._connection(atomic.using)
            fiber, entry = self._own(connection)
            if entry is None:
                if fiber not in self._rolled_back:
                    leave(atomic, *error)
                return
            entry.blocks.pop()
            if not entry.blocks:
                del self._open[connection]
            leave(atomic, *error)
            if not entry.blocks:
                _commit(connection, entry.callbacks)

        return __exit__

    def _statement(self, atomic: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(mark_for_rollback_on_error: Callable[..., Any]) -> Callable[..., Any]:
            def mark(using: str | None = None) -> Any:
                connection = self._connection(using)
                fiber, entry = self._own(connection)
                if fiber is not None and entry is None and connection.in_atomic_block:
                    return atomic(using=using)
                return mark_for_rollback_on_error(using=using)

            return mark

        return wrapped

    def _on_commit(self, on_commit: Callable[..., Any]) -> Callable[..., Any]:
        def register(connection: Any, func: Callable[[], Any], robust: bool = False) -> None:
            fiber, entry = self._own(connection)
            if fiber is None or not connection.in_atomic_block or not callable(func):
                on_commit(connection, func, robust)
            elif entry is None:
                _call(func, robust=robust)
            else:
                on_commit(connection, func, robust)
                entry.callbacks.append(connection.run_on_commit[-1])

        return register

    def _executed(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def run(cursor: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
            if self._open and not str(sql).lstrip("( \n").upper().startswith("SELECT"):
                self._wait(cursor.db)
            return execute(cursor, sql, *args, **kwargs)

        return run


def _commit(connection: Any, callbacks: list[Any]) -> None:
    """Do what a task left to be done on commit, unless it was rolled back or is done already.

    Django drops from ``run_on_commit`` what was registered within a savepoint that is rolled back.
    """
    left = [entry for entry in connection.run_on_commit if _is_among(entry, callbacks)]
    connection.run_on_commit = [e for e in connection.run_on_commit if not _is_among(e, left)]
    for _, func, robust in left:
        _call(func, robust=robust)


def _is_among(entry: Any, entries: list[Any]) -> bool:
    return any(entry is each for each in entries)


def _call(func: Callable[[], Any], *, robust: bool) -> None:
    """As `BaseDatabaseWrapper.run_and_clear_commit_hooks` does."""
    try:
        func()
    except Exception:
        if not robust:
            raise
        logger.exception("Error calling %r in on_commit()", func)
