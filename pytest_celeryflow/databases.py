"""Django's databases within a test's transaction: what is behind a failure, and a way back.

Asks Django's connections of this thread, if its database layer is loaded: what waits for a commit
that a test's transaction never makes, and what the threads of a worker cannot see. Relies on
``run_on_commit`` and ``atomic_blocks`` of `django/db/backends/base/base.py`.
"""

from __future__ import annotations

import functools
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pytest_celeryflow.history import History

__all__ = ["hints", "rolled_back", "waiting_for_commit"]

_SHOWN = 5

_COMMIT = (
    "{} for a commit, which the test's transaction never makes. Say when it would be: `with "
    "django_capture_on_commit_callbacks(execute=True):` around what registers it (in a TestCase "
    "self.captureOnCommitCallbacks); or let the test commit: the fixture transactional_db"
)
_UNSEEN = (
    "the test is inside a transaction (the fixture db, or TestCase), of which the threads of a "
    "worker see nothing: use transactional_db, or mode 'sim', whose tasks share the test's "
    "connection"
)
_LOCKED = (
    "SQLite in memory locks whole tables against the other threads, and waits for none: give the "
    "tests a file, DATABASES['default']['TEST'] = {'NAME': BASE_DIR / 'test.sqlite3'}"
)


def waiting_for_commit(history: History, task: str | None = None) -> str | None:
    """Say what is registered with ``on_commit`` and was not published, or ``None``.

    Args:
        history: What was published; a callback that was called remains registered in a test.
        task: Full name of the one task to speak of.
    """
    published = [(e.task, tuple(e.details.get("args") or ())) for e in history.only("published")]
    waiting = [
        said
        for func in _callbacks()
        for name, args, said in [_described(func)]
        if (name, args) not in published and task in (None, name)
    ]
    if not waiting:
        return None
    more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
    what = ", ".join(waiting[:_SHOWN]) + more
    return _filled(_COMMIT.format(f"{what} {'wait' if len(waiting) > 1 else 'waits'}"))


def hints(history: History, mode: str) -> list[str]:
    """What may be behind a test's failure, a sentence each."""
    found = [waiting_for_commit(history)]
    if mode == "worker":
        errors = [e.details.get("error") for e in history.only("failed", "retried")]
        names = {type(error).__name__ for error in errors}
        if any(map(_in_test, _connections())) and "DoesNotExist" in names:
            found.append(_filled(_UNSEEN))
        if any("table is locked" in str(e) for e in errors) and any(map(_in_memory, _connections())):
            found.append(_filled(_LOCKED))
    return [text for text in found if text is not None]


@contextmanager
def rolled_back() -> Iterator[None]:
    """Undo what is done meanwhile, as far as it is in a test's transaction.

    A test that is run several times begins each time with what its fixtures wrote. Without such
    a transaction (``transactional_db``) what is written stays.
    """
    with ExitStack() as stack:
        for connection in filter(_in_test, _connections()):
            atomic = sys.modules["django.db"].transaction.atomic(using=connection.alias)
            atomic._from_testcase = True
            stack.enter_context(atomic)
            stack.callback(connection.set_rollback, True)
        yield


def _filled(text: str) -> str:
    return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)


def _connections() -> list[Any]:
    database, conf = sys.modules.get("django.db"), sys.modules.get("django.conf")
    if database is None or conf is None or not conf.settings.configured:
        return []
    return list(database.connections.all(initialized_only=True))


def _callbacks() -> Iterator[Any]:
    for connection in _connections():
        if _in_test(connection):
            for _, func, _ in connection.run_on_commit:
                yield func


def _in_test(connection: Any) -> bool:
    """Whether its transaction is that of a `TestCase`, which the fixture ``db`` is, too."""
    blocks = connection.atomic_blocks
    return bool(blocks) and bool(getattr(blocks[0], "_from_testcase", False))


def _in_memory(connection: Any) -> bool:
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def _described(func: Any) -> tuple[str | None, tuple[Any, ...], str]:
    """The task that a callback publishes, with its positional arguments, and the words for it."""
    called = func.func if isinstance(func, functools.partial) else func
    task = getattr(getattr(called, "__self__", None), "name", None)
    if not isinstance(func, functools.partial) or task is None:
        said = getattr(called, "__qualname__", repr(called))
        return task, (), f"{said} (transaction.on_commit)"
    args, kwargs = func.args, func.keywords
    if called.__name__ == "apply_async":
        args, kwargs = args[0] if args else kwargs.get("args") or (), {}
    shown = [*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())]
    return task, tuple(args), f"{task.rpartition('.')[2]}({', '.join(shown)})"
