"""Tasks that a test defines within itself, forgotten when it is over.

``@shared_task``, and ``@app.task`` likewise, announce a task to all apps that there are and will
be (`celery/_state.py:_on_app_finalizers`), for the rest of the process, and the first one under
a name stays. Of two tests that both define a task ``add``, the second would run the first one's.

A task of a module is another matter: a module is executed once, and what it defines is there for
good. The two are told apart by ``<locals>`` in the function's qualified name; what a factory or
a careless decorator made for a module that was imported meanwhile is found in that module.

Relies on the free variable ``fun`` of what is announced (`celery/app/__init__.py:shared_task`,
`celery/app/base.py:Celery.task`) and on ``Task.__wrapped__``; the same from 5.4 to 5.7.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery, _state
from celery.app.task import Task
from celery.local import Proxy

__all__ = ["KnownTasks", "local_tasks_forgotten"]


class KnownTasks:
    """The tasks that there are now."""

    def __init__(self) -> None:
        self._modules = frozenset(sys.modules)
        self._announced = set(_state._on_app_finalizers)
        self._names: WeakKeyDictionary[Celery, frozenset[str]] = WeakKeyDictionary()
        #: Of an app that is not finalized, the proxies of those tasks that have no name yet.
        self._pending: WeakKeyDictionary[Celery, list[Any]] = WeakKeyDictionary()
        for app in _state._get_active_apps():
            self._names[app] = frozenset(app._tasks)
            self._pending[app] = list(app._pending)

    def forget_others(self) -> None:
        """Forget the tasks that functions have defined since.

        An app that was made since keeps its own: it is gone soon, or meant to stay; but Celery's
        ``default``, which it makes when a task is asked for and no app is current.
        """
        stays = self._functions_of_new_modules()
        for announced in set(_state._on_app_finalizers) - self._announced:
            function = _announced_function(announced)
            if _is_local(function) and function not in stays:
                _state._on_app_finalizers.discard(announced)
        if (default := _state.default_app) is not None:
            self._names.setdefault(default, frozenset())
        for app, names in self._names.items():
            if not app.finalized:
                continue
            kept = names | {task.name for task in self._pending.get(app, ())}
            for name in set(app._tasks) - kept:
                function = _function(app._tasks[name])
                if _is_local(function) and function not in stays:
                    del app._tasks[name]

    def _functions_of_new_modules(self) -> set[Any]:
        """Those behind the tasks that are names of modules which were imported since."""
        found = set()
        for name in set(sys.modules) - self._modules:
            for value in tuple(getattr(sys.modules.get(name), "__dict__", {}).values()):
                kind = type(value)  # `isinstance` would wake lazy objects of others
                if issubclass(kind, Task) or (issubclass(kind, Proxy) and _is_task(value)):
                    found.add(_function(value))
        return found


@contextmanager
def local_tasks_forgotten() -> Iterator[None]:
    """Forget at the end what was defined within functions meanwhile."""
    known = KnownTasks()
    try:
        yield
    finally:
        known.forget_others()


def _is_task(proxy: Any) -> bool:
    try:
        return isinstance(proxy, Task)
    except Exception:  # noqa: BLE001 - no app that is current now has it
        return False


def _function(task: Any) -> Any:
    function = getattr(task, "__wrapped__", None) or type(task)
    return getattr(function, "__func__", function)


def _announced_function(announced: Callable[..., Any]) -> Any:
    cells = announced.__closure__ or ()
    free = dict(zip(announced.__code__.co_freevars, cells, strict=True))
    return free["fun"].cell_contents if "fun" in free else announced


def _is_local(function: Any) -> bool:
    name = str(getattr(function, "__qualname__", ""))
    return "<locals>" in name and not str(function.__module__).startswith("celery.")
