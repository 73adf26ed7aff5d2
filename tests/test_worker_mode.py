"""`run_worker`: a real worker in a thread, on a broker and results of its own."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from celery import Celery, bootsteps, chain, chord, group
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult

from pytest_celeryflow import CeleryflowError, WorkflowStalled, run_worker, simulate

#: Real seconds that something may take which should take none.
BOUND = 10.0

#: What the worker is called in remote control, and what its tasks read in `request.hostname`.
NODE = "celery@w1"


class Gate:
    """Lets a task run into it and wait, and the test know that it does."""

    def __init__(self) -> None:
        self.close()

    def close(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> bool:
        self.reached.set()
        return self.opened.wait(BOUND)


gate = Gate()


@pytest.fixture(autouse=True)
def fresh_gate() -> Iterator[None]:
    """A closed gate; open when the test is over, so that nothing waits for it."""
    gate.close()
    yield
    gate.opened.set()


def make_app(name: str = "shop", **settings: object) -> Celery:
    app = Celery(name, set_as_current=False)
    app.conf.update(settings)

    @app.task(shared=False, name=f"{name}.add")
    def add(x, y):
        return x + y

    @app.task(shared=False, name=f"{name}.total")
    def total(numbers):
        return sum(numbers)

    @app.task(shared=False, name=f"{name}.hold", acks_late=True)
    def hold():
        return gate.wait()

    @app.task(shared=False, name=f"{name}.where", bind=True)
    def where(self):
        return self.request.hostname, threading.current_thread().name

    @app.task(shared=False, name=f"{name}.flaky", bind=True)
    def flaky(self, fails):
        if self.request.retries < fails:
            raise self.retry(countdown=0.01)
        return self.request.retries

    @app.task(shared=False, name=f"{name}.nested")
    def nested(allowed):
        return add.delay(1, 2).get(timeout=BOUND, disable_sync_subtasks=not allowed)

    return app


@pytest.fixture
def app() -> Celery:
    """An app that is configured for nothing in particular."""
    return make_app()


def sig(app: Celery, task: str, *args: object, **options: object):
    return app.tasks[f"{app.main}.{task}"].s(*args).set(**options)


pools = pytest.mark.parametrize("pool", ["threads", "solo"])


@pools
def test_a_task_runs_on_a_worker_in_a_thread(app, pool) -> None:
    """Not in the caller's thread, and named as that worker's."""
    with run_worker(app, pool=pool) as flow:
        hostname, thread = flow.run(sig(app, "where")).value
    assert hostname == NODE
    assert thread.startswith("celeryflow-task" if pool == "threads" else "celeryflow-w1")


@pools
def test_a_chord_completes(app, pool) -> None:
    """Header, count and body, each a message of its own."""
    with run_worker(app, pool=pool) as flow:
        header = [sig(app, "add", i, i) for i in range(10)]
        assert flow.run(chord(header, sig(app, "total"))).value == 90


@pools
def test_an_eta_and_a_retry_are_waited_for_in_real_time(app, pool) -> None:
    """The worker's own timer wakes the worker's loop."""
    with run_worker(app, pool=pool) as flow:
        run = flow.run(chain(sig(app, "add", 1, 1, countdown=0.05), sig(app, "add", 1)))
        assert run.value == 3
        assert run.elapsed >= 0.05
        assert flow.run(sig(app, "flaky", 2)).value == 2


def test_a_retry_does_not_overtake_the_attempt_before_it(app, monkeypatch) -> None:
    """Its message is published before the attempt's state is stored; it waits for that."""
    second = threading.Event()

    @app.task(shared=False, bind=True, max_retries=1)
    def hasty(self):
        if self.request.retries:
            second.set()
        raise self.retry(exc=KeyError("k"), countdown=0)

    overtaken = []
    with run_worker(app) as flow:
        mark = app.backend.mark_as_retry

        def mark_late(*args: object, **kwargs: object) -> object:
            overtaken.append(second.wait(0.02))
            return mark(*args, **kwargs)

        monkeypatch.setattr(app.backend, "mark_as_retry", mark_late)
        assert flow.run(hasty.s()).state == "FAILURE"
    assert overtaken == [False]


def test_delay_and_get_work_as_they_do_in_production(app) -> None:
    """The app is lent out: its own tasks, its own results."""
    with run_worker(app):
        result = app.tasks["shop.add"].delay(2, 3)
        assert result.get(timeout=BOUND) == 5
        assert AsyncResult(result.id, app=app).state == "SUCCESS"


def test_get_gives_up_after_its_timeout(app) -> None:
    """Celery's own TimeoutError, while the task goes on."""
    with run_worker(app):
        result = app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        with pytest.raises(CeleryTimeout):
            result.get(timeout=0.01)
        gate.opened.set()
        assert result.get(timeout=BOUND) is True


def test_a_result_that_nothing_will_produce_is_an_error_at_once(app) -> None:
    """Without a timeout, waiting ends when nothing is under way any more."""
    with run_worker(app), pytest.raises(WorkflowStalled, match="nobody-published-this"):
        AsyncResult("nobody-published-this", app=app).get()


def test_several_tasks_run_at_a_time_in_threads(app) -> None:
    """As many as ``concurrency``: one waits, another finishes."""
    with run_worker(app, concurrency=2):
        held = app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        assert app.tasks["shop.add"].delay(1, 2).get(timeout=BOUND) == 3
        gate.opened.set()
        assert held.get(timeout=BOUND) is True


def test_what_follows_comes_after_whatever_is_heard_first(app) -> None:
    """The next step of a chain begins before the one before it is known to have succeeded."""
    with run_worker(app) as flow:
        for _ in range(20):
            run = flow.run(sig(app, "add", 1, 1) | app.tasks["shop.flaky"].si(1))
            assert run.happened_before("add", "flaky")
            assert not run.overlapped("add", "flaky")


def test_a_run_has_all_that_is_told_of_what_expired(app) -> None:
    """Celery acknowledges first and tells of it afterwards."""
    past = datetime(2000, 1, 1, tzinfo=UTC)
    with run_worker(app) as flow:
        for _ in range(20):
            run = flow.run(sig(app, "add", 1, 1).set(expires=past))
            assert [e.kind for e in run.history.only("expired")] == ["expired"]


def test_priorities_order_what_waits(app) -> None:
    """While the only slot is busy, the more urgent overtakes: larger first in memory."""
    with run_worker(app, concurrency=1, config={"worker_prefetch_multiplier": 1}) as flow:
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        for priority in (1, 9, 5):
            sig(app, "add", priority, 0, priority=priority).delay()
        gate.opened.set()
        flow.drain()
        added = [e.args[0] for e in flow.history.executions() if e.task == "shop.add"]
    assert added == [9, 5, 1]


def test_a_rate_limit_spaces_executions(app) -> None:
    """20 a second: the third begins a twentieth of a second after the second was let through.

    That is when the worker received it, at the earliest; when its thread began is the system's
    affair. Before kombu 5.6 the first two come together (`kombu/utils/limits.py:TokenBucket`).
    """
    app.tasks["shop.add"].rate_limit = "20/s"
    with run_worker(app) as flow:
        *_, third = flow.run(group(sig(app, "add", i, i) for i in range(3)))["add"]
        received = flow.history.only("received")[0]
    assert third.started_at - received.at >= 0.049


# --- queues ---


def test_every_queue_is_consumed_without_task_queues(app) -> None:
    """A queue that a task is routed to needs no configuration."""
    app.conf.task_routes = {"shop.total": {"queue": "sums"}}
    with run_worker(app) as flow:
        canvas = chord([sig(app, "add", 1, 1, queue="one")], sig(app, "total"))
        assert flow.run(canvas).value == 2
        flow.assert_enqueued("total", queue="sums")


def test_only_configured_queues_are_consumed(app) -> None:
    """With ``task_queues``, a message elsewhere waits, and the run says where."""
    from kombu import Queue

    app.conf.task_queues = [Queue("one")]
    with run_worker(app) as flow:
        assert flow.run(sig(app, "add", 1, 1, queue="one")).value == 2
        run = flow.run(sig(app, "add", 1, 1, queue="two"))
        assert "waits in queue 'two', which no worker consumes" in run.verdict.hung


def test_queues_names_what_to_consume(app) -> None:
    """As ``celery worker -Q``."""
    with run_worker(app, queues=["one"]) as flow:
        assert flow.run(sig(app, "add", 1, 1, queue="one")).value == 2
        assert flow.run(sig(app, "add", 1, 1, queue="two")).verdict.hung


# --- control ---


def test_remote_control_is_answered(app) -> None:
    """Broadcasts reach the worker, and its reply the caller."""
    with run_worker(app):
        assert app.control.broadcast("ping", reply=True, limit=1, timeout=BOUND) == [
            {NODE: {"ok": "pong"}}
        ]


def test_inspect_tells_of_the_worker(app) -> None:
    """Registered tasks and what is running."""
    with run_worker(app):
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        inspect = app.control.inspect(limit=1, timeout=BOUND)
        assert "shop.add" in inspect.registered()[NODE]
        # Celery keeps one list a process: a task left behind elsewhere may be in it, too.
        assert "shop.hold" in [task["name"] for task in inspect.active()[NODE]]
        gate.opened.set()


def test_a_task_that_was_revoked_does_not_run(app) -> None:
    """Its result says so."""
    with run_worker(app) as flow:
        reply = {"reply": True, "limit": 1, "timeout": BOUND}
        app.control.broadcast("revoke", arguments={"task_id": "unwanted"}, **reply)
        run = flow.run(sig(app, "add", 1, 1, task_id="unwanted"))
        with pytest.raises(TaskRevokedError):
            _ = run.value
        flow.assert_not_ran("add")


def test_a_consumer_can_be_cancelled_and_added(app) -> None:
    """The worker's loop carries both out."""
    with run_worker(app) as flow:
        reply = {"reply": True, "limit": 1, "timeout": BOUND}
        app.control.cancel_consumer("celery", **reply)
        result = app.tasks["shop.add"].delay(1, 2)
        app.control.add_consumer("celery", **reply)
        assert result.get(timeout=BOUND) == 3
        assert flow.drain() == 0


def test_events_are_sent_to_whoever_listens(app) -> None:
    """A monitor on the same app receives the events of a task."""
    with run_worker(app, config={"worker_send_task_events": True}):
        seen: list[str] = []
        handlers = {"*": lambda event: seen.append(event["type"])}
        with app.connection_for_read() as own:
            receiver = app.events.Receiver(own, handlers=handlers)
            with receiver.consumer_context() as (connection, _, _):
                app.tasks["shop.add"].delay(1, 2).get(timeout=BOUND)
                while "task-succeeded" not in seen:
                    connection.drain_events(timeout=BOUND)
    assert [kind for kind in seen if kind.startswith("task-")] == [
        "task-received",
        "task-started",
        "task-succeeded",
    ]


# --- waiting within tasks ---


def test_waiting_for_a_result_within_a_task_is_refused(app) -> None:
    """As in a worker's process; the test itself may wait all the while."""
    with run_worker(app) as flow:
        with pytest.raises(RuntimeError, match=r"Never call result\.get"):
            _ = flow.run(sig(app, "nested", False)).value
        assert app.tasks["shop.add"].delay(1, 2).get(timeout=BOUND) == 3


def test_waiting_within_a_task_can_be_allowed(app) -> None:
    """``disable_sync_subtasks=False``, with a thread to spare."""
    with run_worker(app, concurrency=2) as flow:
        assert flow.run(sig(app, "nested", True)).value == 3


def test_a_simulation_beside_a_worker_refuses_it_too(app) -> None:
    """Each mode answers for its own tasks."""
    other = make_app("store")
    with run_worker(app), simulate(other) as flow:
        with pytest.raises(RuntimeError, match=r"Never call result\.get"):
            _ = flow.run(sig(other, "nested", False)).value
        assert flow.run(chord([sig(other, "add", 1, 2)], sig(other, "total"))).value == 3


# --- the end ---


@pools
def test_a_task_that_still_runs_at_the_end_is_named(app, pool) -> None:
    """After ``stop_timeout``; the context is left all the same, and the app given back."""
    with pytest.raises(WorkflowStalled) as stalled, run_worker(app, pool=pool, stop_timeout=0.01):
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
    assert str(stalled.value).startswith(
        "the worker could not stop: hold#1 still runs after 0.01 s"
    )
    with run_worker(app) as flow:
        assert flow.run(sig(app, "add", 1, 2)).value == 3


def test_an_error_of_the_test_is_not_hidden_by_a_running_task(app) -> None:
    """It is raised, with a note about the task."""
    with pytest.raises(KeyError) as raised, run_worker(app, stop_timeout=0.01):
        app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        raise KeyError("mine")
    assert "hold#1 still runs" in raised.value.__notes__[0]


def test_a_task_may_end_within_the_bound(app) -> None:
    """Stopping waits for it."""
    with run_worker(app, stop_timeout=BOUND) as flow:
        result = app.tasks["shop.hold"].delay()
        assert gate.reached.wait(BOUND)
        threading.Timer(0.01, gate.opened.set).start()
    assert flow.history.only("succeeded", ids=[result.id])


@pytest.mark.slow
def test_a_task_without_end_does_not_keep_the_interpreter() -> None:
    """Its thread is a daemon: the process exits by itself."""
    code = """
import threading
from celery import Celery
from pytest_celeryflow import WorkflowStalled, run_worker
app, begun = Celery("x"), threading.Event()
@app.task
def forever():
    begun.set()
    threading.Event().wait()
try:
    with run_worker(app, stop_timeout=0.01):
        forever.delay()
        assert begun.wait(10)
except WorkflowStalled:
    print("left")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("left\n", 0), done.stderr


def test_what_waits_for_its_eta_does_not_keep_the_worker(app) -> None:
    """It is dropped with the broker; nothing is waited for."""
    with run_worker(app) as flow:
        sig(app, "add", 1, 1, countdown=3600).delay()
        assert [m.label for m in flow.pending("add")] == ["add#1"]


def descriptors() -> int:
    """How many are open, where the system tells."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


@pytest.mark.slow
def test_two_hundred_contexts_leave_nothing_behind(app) -> None:
    """No thread, no descriptor, no request that Celery still holds."""
    from celery.worker import state

    def once() -> None:
        with run_worker(app) as flow:
            assert flow.run(sig(app, "add", 1, 2)).value == 3

    once()
    gc.collect()
    before = set(threading.enumerate()), descriptors(), len(state.requests)
    for _ in range(200):
        once()
    gc.collect()
    assert (set(threading.enumerate()), descriptors(), len(state.requests)) == before


# --- isolation ---


def test_each_context_has_queues_and_results_of_its_own(app) -> None:
    """What one leaves behind, the next does not see."""
    with run_worker(app, queues=["one"]) as flow:
        left = sig(app, "add", 1, 1, queue="two").delay()
        done = app.tasks["shop.add"].apply_async((1, 2), queue="one")
        assert done.get(timeout=BOUND) == 3
        assert len(flow.pending()) == 1
    with run_worker(app) as flow:
        assert flow.pending() == []
        assert flow.drain() == 0
        assert {left.state, AsyncResult(done.id, app=app).state} == {"PENDING"}


def test_two_apps_at_once(app) -> None:
    """Each on its own worker; neither hears of the other's tasks."""
    other = make_app("store")
    with run_worker(app) as one, run_worker(other) as two:
        assert one.run(sig(app, "add", 1, 2)).value == 3
        assert two.run(sig(other, "add", 3, 4)).value == 7
        assert {e.task for e in one.history} == {"shop.add"}
        assert {e.task for e in two.history} == {"store.add"}


def test_one_app_cannot_be_in_two_contexts(app) -> None:
    """It is said at once, and the first context goes on."""
    with run_worker(app) as flow:
        with pytest.raises(CeleryflowError, match="in use by mode 'worker'"), run_worker(app):
            raise AssertionError
        assert flow.run(sig(app, "add", 1, 2)).value == 3


# --- bad input ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool": "prefork"}, "pool='prefork' is not one of 'threads', 'solo'"),
        ({"concurrency": 0}, "concurrency=0 must be a whole number, 1 or more"),
        ({"concurrency": True}, "concurrency=True must be a whole number, 1 or more"),
        ({"broker": "kafka"}, "broker='kafka' is not one of 'memory'"),
        ({"backend": "mongo"}, "backend='mongo' is not one of 'memory'"),
        ({"config": {"task_acks_latte": True}}, "did you mean task_acks_late"),
        ({"timeout": "soon"}, "timeout"),
        ({"stop_timeout": -1}, "stop_timeout"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_valid(app, arguments, message) -> None:
    """Before anything starts."""
    with pytest.raises(ValueError) as refused, run_worker(app, **arguments):
        raise AssertionError
    assert message in str(refused.value)


def test_an_app_is_asked_for() -> None:
    """Anything else is refused by name."""
    with pytest.raises(TypeError, match="app='proj' is not a Celery app"), run_worker("proj"):
        raise AssertionError


def test_what_keeps_the_worker_from_starting_is_raised(app) -> None:
    """And the app is given back."""
    app.steps["consumer"].add(BrokenStep)
    with pytest.raises(RuntimeError, match="not today"), run_worker(app):
        raise AssertionError
    app.steps["consumer"].clear()
    with run_worker(app) as flow:
        assert flow.run(sig(app, "add", 1, 2)).value == 3


class BrokenStep(bootsteps.StartStopStep):
    """A user's own step that fails."""

    def start(self, parent: object) -> None:
        raise RuntimeError("not today")
