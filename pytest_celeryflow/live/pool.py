"""Celery's thread and solo pools, with their work counted and their threads daemons.

A task that never ends must not keep the interpreter from ending; `ThreadPoolExecutor` joins
its threads at exit, so that a small executor of daemon threads takes its place. In every
such thread the app is current, and waiting for a result is refused as in a worker's process
(`celery/result.py:assert_will_not_block` asks one flag for the whole process, which here
would be the test's too).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import celery.result
from celery import Celery, _state
from celery.concurrency.base import apply_target
from celery.concurrency.solo import TaskPool as CelerySolo
from celery.concurrency.thread import ApplyResult
from celery.concurrency.thread import TaskPool as CeleryThreads
from celery.utils.threads import get_ident

from pytest_celeryflow.borrow import as_workers_trace
from pytest_celeryflow.recorder import Recorder

__all__ = ["SoloPool", "ThreadPool", "joins_refused_in_tasks"]


class _Flags(threading.local):
    #: Whether a wait is refused; ``None`` in a thread that is not a pool's.
    in_task: bool | None = None


_flags = _Flags()


@contextmanager
def joins_refused_in_tasks() -> Iterator[None]:
    """Make "may this code wait for a result" a matter of the thread, in a pool's threads."""
    kept = celery.result.task_join_will_block, celery.result._set_task_join_will_block

    def blocks() -> bool:
        return bool(kept[0]() if _flags.in_task is None else _flags.in_task)

    def set_blocks(value: bool) -> None:
        if _flags.in_task is None:
            kept[1](value)
        else:
            _flags.in_task = value

    celery.result.task_join_will_block = blocks
    celery.result._set_task_join_will_block = set_blocks
    try:
        yield
    finally:
        celery.result.task_join_will_block, celery.result._set_task_join_will_block = kept


class _Counting:
    """What both pools have in common: a task is under way until its callbacks have run."""

    recorder: Recorder
    app: Celery

    def _counted(self, target: Any, args: Any, kwargs: Any, **options: Any) -> Callable[[], None]:
        id_ = options["correlation_id"]
        target = as_workers_trace(self.app, target)
        self.recorder.job_submitted(id_)

        def run() -> None:
            outer_app, outer_flag = _state._tls.current_app, _flags.in_task
            _state._set_current_app(self.app)
            _flags.in_task = True
            callbacks = options.get("callback"), options.get("accept_callback")
            self.recorder.carry(id_)
            try:
                apply_target(target, args, kwargs, *callbacks)
            except Exception as exc:
                if self.recorder.is_unfinished(id_):  # of one id, one runs at a time
                    why = f"its outcome could not be stored: {type(exc).__name__}: {exc}"
                    self.recorder.lost(args[0], id_, get_ident(), why)
                raise
            finally:
                self.recorder.carry(None)
                _flags.in_task = outer_flag
                _state._set_current_app(outer_app)
                self.recorder.job_done(id_)

        return run


class ThreadPool(_Counting, CeleryThreads):
    """Celery's thread pool on daemon threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.executor = _DaemonThreads(self.limit)
        self._turns: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def on_apply(self, target: Any, args: Any = (), kwargs: Any = None, **options: Any) -> Any:
        """Hand a task to a thread.

        An attempt begins when the one before it has ended. `Task.retry` publishes the next
        before this one's state is stored; without a broker's round trip in between, the next
        could be over by then, and its FAILURE be overwritten with RETRY.
        """
        turn = self._turns.setdefault(options["correlation_id"], threading.Lock())
        run = self._counted(target, args, kwargs, **options)

        def run_in_turn() -> None:
            with turn:
                run()

        return ApplyResult(self.executor.submit(run_in_turn))


class SoloPool(_Counting, CelerySolo):
    """Celery's solo pool: tasks run in the thread of the worker's loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_apply = self._apply_here

    def _apply_here(self, target: Any, args: Any = (), kwargs: Any = None, **options: Any) -> None:
        self._counted(target, args, kwargs, **options)()


class _DaemonThreads:
    """As many daemon threads as are needed at a time, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function as soon as a thread is free."""
        future: Future[Any] = Future()
        self._work.put((future, function))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._limit:
            thread = threading.Thread(
                target=self._serve, daemon=True, name=f"celeryflow-task-{len(self._threads) + 1}"
            )
            self._threads.append(thread)
            thread.start()
        return future

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            future, function = item
            try:
                future.set_result(function())
            except BaseException as exc:  # noqa: BLE001 - belongs to whoever reads the future
                future.set_exception(exc)
            del item, future, function
            self._idle.release()

    def shutdown(self, *, cancel_futures: bool = False, wait: bool = True) -> None:
        """End the threads; each ends when it is free."""
        for _ in self._threads:
            self._work.put(None)
        if wait:
            for thread in self._threads:
                thread.join()
