"""`LiveTimer`: entries on time, no polling, stopped at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from pytest_celeryflow.live.timer import LiveTimer

BOUND = 10.0


@pytest.fixture
def timer() -> Iterator[LiveTimer]:
    """A timer, stopped afterwards."""
    timer = LiveTimer()
    yield timer
    timer.stop()


def test_an_entry_is_called_when_it_is_due(timer) -> None:
    """Not before."""
    called, due = threading.Event(), monotonic() + 0.02
    timer.call_after(0.02, called.set)
    assert called.wait(BOUND)
    assert monotonic() >= due


def test_an_earlier_entry_overtakes_a_later_one(timer) -> None:
    """The thread that waits for the later one is woken."""
    called = threading.Event()
    timer.call_after(3600, lambda: None)
    timer.call_after(0, called.set)
    assert called.wait(BOUND)


def test_a_cancelled_entry_is_not_called(timer) -> None:
    """Those after it are."""
    calls, done = [], threading.Event()
    timer.call_after(0.01, lambda: calls.append("cancelled")).cancel()
    timer.call_after(0.02, done.set)
    assert done.wait(BOUND)
    assert calls == []


def test_an_entry_that_fails_does_not_end_the_timer(timer, caplog) -> None:
    """It is logged, as Celery's own timer does."""
    done = threading.Event()
    timer.call_after(0, lambda: 1 / 0)
    timer.call_after(0.001, done.set)
    assert done.wait(BOUND)
    assert "ZeroDivisionError" in caplog.text


def test_stopping_does_not_wait_for_what_is_to_come(timer) -> None:
    """The thread has ended when `stop` returns."""
    timer.call_after(3600, lambda: None)
    assert timer.is_alive()
    timer.stop()
    assert not timer.is_alive()


def test_a_timer_that_never_began_can_be_stopped(timer) -> None:
    """It has no thread until it has an entry; afterwards it takes none."""
    timer.stop()
    assert timer.call_after(0, lambda: None) is None
    assert not timer.is_alive()


def test_it_waits_without_end_when_it_has_nothing_to_do(timer, monkeypatch) -> None:
    """No timeout, hence no polling."""
    waits: list[float | None] = []
    waiting, done = threading.Event(), threading.Event()
    wait = timer.not_empty.wait

    def noted(timeout: float | None = None) -> bool:
        waits.append(timeout)
        if done.is_set():
            waiting.set()
        return wait(timeout)

    monkeypatch.setattr(timer.not_empty, "wait", noted)
    timer.call_after(0, done.set)
    assert waiting.wait(BOUND)
    assert waits[-1] is None
