"""Point a user's app at a test broker, and put it back exactly as it was.

A `Celery` app remembers where it is connected in several places: its configuration, its
``amqp`` object with the producer pool, its connection pool, the backend it cached (per
thread, or for all when the backend says it is thread-safe), and kombu's global pools; a
task remembers settings that it read when it was bound (`Task.from_config`), its tracer and
its publishing options. All of it is set aside here and put back, also after an exception.

What is *not* undone, because it is Celery's ordinary lazy start: the configuration has been
read and the app finalized, and modules that the tasks imported stay imported.

Relies on `celery/app/base.py` (attributes of `Celery`), `celery/app/task.py` (`bind`,
``from_config``), `celery/_state.py` and `kombu/pools.py`; the same from 5.4 to 5.7.
"""

from __future__ import annotations

import difflib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Celery, _state
from celery.app import trace
from celery.app.defaults import NAMESPACES, flatten
from celery.app.task import Task
from kombu import pools
from kombu.serialization import prepare_accept_content

from pytest_celeryflow.configuration import lay_over
from pytest_celeryflow.errors import CeleryflowError

__all__ = ["FreshApp", "as_workers_trace", "borrowed", "check_config", "is_configured"]

#: Environment variables that outrank the configuration (`celery/app/utils.py:Settings`).
_ENVIRONMENT = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
)

#: What an app caches about its connections and its configuration.
_CACHED = ("amqp", "control", "events", "annotations", "timezone", "oid")

#: Settings that decide what a mode is, and what to use instead.
_OURS = {
    "broker_url": "broker= names the semantics of a broker",
    "broker_read_url": "broker= names the semantics of a broker",
    "broker_write_url": "broker= names the semantics of a broker",
    "broker_transport": "broker= names the semantics of a broker",
    "result_backend": "backend= names the logic of a result store",
    "task_always_eager": "the mode that is eager is 'eager'",
    "task_eager_propagates": "run_eager(app, propagate=True) does it",
}

_SETTINGS = frozenset(name for name, _ in flatten(NAMESPACES))

#: Apps that are lent out now, by identity, each with the mode that has it.
_lent: dict[int, tuple[Celery, str]] = {}


class FreshApp(Celery):
    """An app for one test, whose tasks stay its own.

    ``@app.task`` announces a task to every app that is ever finalized, for the rest of the
    process (``shared=True``, `celery/app/base.py:Celery.task`); a task that is defined within
    a test would live on in the apps of all later ones.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        path = list(sys.path)
        super().__init__(*args, **options)
        sys.path[:] = path  # Celery's Django fixup prepends the directory once more for each app

    def task(self, *args: Any, **options: Any) -> Any:
        """`Celery.task`, not shared unless asked for."""
        options.setdefault("shared", False)
        return super().task(*args, **options)


def check_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check the names of settings.

    Raises:
        ValueError: A name is not one of Celery's settings; the nearest ones are listed. Or it
            is a setting that the mode itself must make.
    """
    if config is not None and not isinstance(config, Mapping):
        raise ValueError(f"config={config!r} must be a dict of Celery's settings, or None")
    settings = dict(config or {})
    for name in settings:
        if name in _OURS:
            raise ValueError(f"config: {name!r} is what the mode itself sets; {_OURS[name]}")
        if name not in _SETTINGS:
            near = difflib.get_close_matches(str(name), _SETTINGS, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ValueError(
                f"config: {name!r} is not a Celery setting (lower-case names){hint}"
            )
    return settings


def is_configured(app: Celery, setting: str) -> bool:
    """Whether the user gave a value for a setting, as opposed to Celery's default."""
    app.conf.get(setting)  # an app whose settings nobody has read yet tells nothing of them (5.4)
    return bool(app.conf.value_set_for(setting)) or any(
        os.environ.get(name) for name in _ENVIRONMENT if name.lower() == f"celery_{setting}"
    )


@contextmanager
def borrowed(
    app: Celery,
    *,
    mode: str,
    config: Mapping[str, Any],
    backend: Callable[[], Any] | None = None,
) -> Iterator[None]:
    """Lend an app to a test.

    Args:
        app: The app; it is read and finalized first.
        mode: Who borrows it, for the error.
        config: Settings to lay over its own.
        backend: Makes the result backend that all threads shall use. ``None`` leaves it to
            the app, which makes one per thread from ``result_backend``.

    Raises:
        CeleryflowError: It is lent out already.
    """
    if id(app) in _lent:
        _, other = _lent[id(app)]
        raise CeleryflowError(
            f"app {app.main or app!r} is in use by mode {other!r} already\n\n"
            f"Expected: it is free when mode {mode!r} borrows it\n"
            f"Instead:  the context of mode {other!r} is still open\n"
            "Next:     close that first, or use another app. One test in several modes is\n"
            "          @pytest.mark.celeryflow(modes=[…]), with the fixture celeryflow alone."
        )
    app.finalize(auto=True)
    app.conf.finalize()
    with ExitStack() as stack:
        _lent[id(app)] = (app, mode)
        stack.callback(_lent.pop, id(app), None)
        stack.enter_context(_environment_hidden())
        stack.enter_context(_attributes_kept(app))
        stack.enter_context(_configuration_kept(app))
        stack.enter_context(_tasks_kept(app, config))
        stack.enter_context(_current(app))
        stack.enter_context(_stack_protection())
        lay_over(app.conf, config)
        app._backend_cache = backend() if backend is not None else None
        yield


@contextmanager
def _environment_hidden() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _ENVIRONMENT if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _attributes_kept(app: Celery) -> Iterator[None]:
    names = (*_CACHED, "_local", "_pool", "_backend_cache", "use_fast_trace_task")
    kept = {name: app.__dict__[name] for name in names if name in app.__dict__}
    limit = pools.get_limit()
    for name in _CACHED:
        app.__dict__.pop(name, None)
    app._local = threading.local()
    app._pool = None
    app.use_fast_trace_task = False
    try:
        yield
    finally:
        _close_our_pools(app)
        pools.set_limit(limit)
        for name in names:
            app.__dict__.pop(name, None)
        app.__dict__.update(kept)


def _close_our_pools(app: Celery) -> None:
    """Take the pools of test brokers out of kombu's global groups, but for those still in use.

    Their keys are the parameters of a connection, the transport first
    (`kombu.Connection.__eqhash__`).
    """
    others = [other for other, _ in _lent.values() if other is not app]
    in_use = {other.connection_for_write().__eqhash__() for other in others}
    for group in (pools.producers, pools.connections):
        for key in list(group):
            if str(key[0]).startswith("celeryflow") and key not in in_use:
                dict.pop(group, key).force_close_all()


@contextmanager
def _configuration_kept(app: Celery) -> Iterator[None]:
    kept = dict(app.conf.changes)
    observers = list(app.conf._observers)  # each `AMQP` object becomes one, and stays one
    try:
        yield
    finally:
        app.conf._observers[:] = observers
        app.conf.changes.clear()
        app.conf.changes.update(kept)


@contextmanager
def _tasks_kept(app: Celery, config: Mapping[str, Any]) -> Iterator[None]:
    """Let bound tasks follow a changed setting, and keep what a worker changes on them.

    A task copies some settings when it is bound, unless it says otherwise itself. Which of
    the two it was cannot be told afterwards; a value equal to the setting counts as copied.
    """
    kept: list[tuple[Any, dict[str, Any]]] = []
    names = ("__trace__", "_exec_options", "run")
    followed: dict[Any, list[tuple[str, Any, Any]]] = {}  # most tasks share one `from_config`
    for task in app.tasks.values():
        attributes = task.__dict__
        own = {name: attributes[name] for name in names if name in attributes}
        follows = followed.get(task.from_config)
        if follows is None:
            follows = followed[task.from_config] = [
                (attribute, app.conf[setting], config[setting])
                for attribute, setting in task.from_config
                if setting in config
            ]
        for attribute, copied_from, wanted in follows:
            if attribute in attributes:
                own[attribute] = attributes[attribute]
            if getattr(task, attribute) == copied_from:
                setattr(task, attribute, wanted)
        attributes.pop("_exec_options", None)
        kept.append((task, own))
    copied = [attribute for attribute, setting in Task.from_config if setting in config]
    try:
        yield
    finally:
        for task, own in kept:
            for name in (*names, *copied):
                task.__dict__.pop(name, None)
            task.__dict__.update(own)


@contextmanager
def _current(app: Celery) -> Iterator[None]:
    current, default = _state._tls.current_app, _state.default_app
    join_will_block = _state._task_join_will_block
    _state._set_current_app(app)
    _state.set_default_app(app)
    _state._set_task_join_will_block(False)
    try:
        yield
    finally:
        _state._set_current_app(current)
        _state.set_default_app(default)
        _state._set_task_join_will_block(join_will_block)


@contextmanager
def _stack_protection() -> Iterator[None]:
    """As every worker does: a task class whose ``__call__`` calls super must work.

    `setup_worker_optimizations` (`celery/app/trace.py`) does more than a test can undo; the
    one part that tasks can notice is done here.
    """
    if getattr(Task, "_stackprotected", False):
        yield
        return
    trace._install_stack_protection()
    try:
        yield
    finally:
        Task.__call__ = trace._patched.pop("BaseTask.__call__")
        del Task._stackprotected


def as_workers_trace(app: Celery, target: Callable[..., Any]) -> Callable[..., Any]:
    """What a worker's pool runs for a task, after ``setup_worker_optimizations``.

    `fast_trace_task` tells the task the worker's node name in ``request.hostname``, where
    `trace_task_ret`, for want of it, tells the machine's. Its table of tasks is one for the
    whole process (``_localized``), so that each app's own is handed in here. It needs a tracer,
    which is made as a worker makes it, when there is none yet.
    """
    if target is not trace.trace_task_ret:
        return target
    accept = prepare_accept_content(app.conf.accept_content)

    def run(name: str, uuid: str, request: dict[str, Any], *message: Any) -> Any:
        task, hostname = app.tasks[name], request["hostname"]
        if task.__trace__ is None:
            task.__trace__ = trace.build_tracer(name, task, app.loader, hostname, app=app)
        local = app.tasks, accept, hostname
        return trace.fast_trace_task(name, uuid, request, *message, _loc=local)

    return run
