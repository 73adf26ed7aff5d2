"""The pools' threads: as many as needed, up to a limit, all daemons, all gone at the end."""

from __future__ import annotations

import threading

import celery.result
import pytest

from pytest_celeryflow.live.pool import _DaemonThreads, _flags, joins_refused_in_tasks

BOUND = 10.0


def test_a_thread_is_used_again_when_it_is_free() -> None:
    """One after the other needs one thread."""
    threads = _DaemonThreads(4)
    names = {threads.submit(lambda: threading.current_thread().name).result(BOUND)}
    for _ in range(20):
        threads._idle.acquire()  # it says that it is free a moment after its result is there
        threads._idle.release()
        names.add(threads.submit(lambda: threading.current_thread().name).result(BOUND))
    threads.shutdown()
    assert names == {"celeryflow-task-1"}


def test_no_more_threads_than_the_limit() -> None:
    """Two at a time; the third waits for a free one."""
    threads, go = _DaemonThreads(2), threading.Event()
    running = threading.Semaphore(0)

    def hold() -> str:
        running.release()
        assert go.wait(BOUND)
        return threading.current_thread().name

    futures = [threads.submit(hold) for _ in range(3)]
    assert all(running.acquire(timeout=BOUND) for _ in range(2))
    assert not running.acquire(blocking=False)
    go.set()
    assert len({future.result(BOUND) for future in futures}) == 2
    threads.shutdown()


def test_an_exception_is_the_futures() -> None:
    """Also one that is not an `Exception`; the thread goes on."""

    def leave() -> None:
        raise SystemExit(3)

    threads = _DaemonThreads(1)
    assert isinstance(threads.submit(leave).exception(BOUND), SystemExit)
    assert threads.submit(lambda: 1).result(BOUND) == 1
    threads.shutdown()


def test_shutdown_ends_the_threads() -> None:
    """What was submitted before is done first."""
    threads = _DaemonThreads(2)
    futures = [threads.submit(lambda: None) for _ in range(5)]
    threads.shutdown()
    assert all(future.done() for future in futures)
    assert not any(thread.is_alive() for thread in threads._threads)


def test_its_threads_do_not_keep_the_interpreter() -> None:
    """They are daemons."""
    threads = _DaemonThreads(1)
    assert threads.submit(lambda: threading.current_thread().daemon).result(BOUND)
    threads.shutdown()


def test_whether_a_wait_is_refused_is_a_matter_of_the_thread() -> None:
    """A task that may not wait does not keep the test from waiting."""
    told = []

    def in_a_task() -> None:
        _flags.in_task = True
        told.append(celery.result.task_join_will_block())

    with joins_refused_in_tasks():
        thread = threading.Thread(target=in_a_task)
        thread.start()
        thread.join(BOUND)
        told.append(celery.result.task_join_will_block())
    assert told == [True, False]


def test_celerys_own_flag_is_put_back() -> None:
    """Also after an error."""
    kept = celery.result.task_join_will_block
    with pytest.raises(KeyError), joins_refused_in_tasks():
        raise KeyError
    assert celery.result.task_join_will_block is kept
