"""What can no longer proceed says so at once: what waits for what, golden for each cause."""

import time

import pytest
from celery import chord, group
from celery.result import AsyncResult

from pytest_celeryflow import CrashPoint, WorkflowStalled, run_worker, simulate
from pytest_celeryflow.sim import world


def why(run):
    """The explanation, without the timeline that `value` adds."""
    with pytest.raises(WorkflowStalled) as stalled:
        assert run.value is not None
    assert str(stalled.value).startswith(run.verdict.hung)
    return run.verdict.hung.splitlines()


CHORD = "the result of a chord's body will never come"
REST = "the last task of the workflow was never published, and never will be"


def waits(counted, size):
    return f"a chord waits for its header: {counted} of {size} tasks have counted"


def header(shop, second):
    return chord([shop.charge.s(1), second, shop.charge.s(3)], shop.ship.s())


@pytest.mark.parametrize("backend", ["memory", "redis"])
def test_a_dropped_member(shop, backend):
    """A chord whose member's message was lost, with both ways to count."""
    if backend == "redis":
        pytest.importorskip("redis")
    with simulate(shop.app, backend=backend) as flow:
        flow.faults.drop(shop.late)
        run = flow.run(header(shop, shop.late.s(2)))
    assert why(run) == [CHORD, waits(2, 3), "  late#1 was dropped on its way"]


def test_a_dropped_member_that_is_polled_for(shop):
    """The chord that asks for ever is stopped, and named."""
    with simulate(shop.app, backend="polling") as flow:
        flow.faults.drop(shop.late)
        run = flow.run(header(shop, shop.late.s(2)))
    assert why(run) == [
        CHORD,
        waits(2, 3),
        "  late#1 was dropped on its way",
        "chord_unlock#1 asks again and again whether the header is complete",
    ]


def test_a_member_that_ignores_its_result_and_is_polled_for(shop):
    """It succeeded, and nobody will ever know."""
    with simulate(shop.app, backend="polling") as flow:
        run = flow.run(header(shop, shop.quiet.s(2)))
    assert why(run) == [
        CHORD,
        waits(2, 3),
        "  quiet#1 ignores its result, and chord_unlock waits for it",
        "chord_unlock#1 asks again and again whether the header is complete",
    ]


def test_a_member_that_raises_ignore(shop):
    """`Ignore` neither stores nor counts."""
    with simulate(shop.app) as flow:
        run = flow.run(header(shop, shop.skip.s(2)))
    assert why(run) == [
        CHORD,
        waits(2, 3),
        "  skip#1 raised Ignore, which stores no result, publishes nothing and counts in no chord",
    ]


def test_ignore_in_a_chain(shop):
    """The rest of the chain is never published."""
    with simulate(shop.app) as flow:
        run = flow.run(shop.skip.s(1) | shop.ship.s())
    assert why(run) == [
        REST,
        "skip#1 raised Ignore, which stores no result, publishes nothing and counts in no chord",
    ]


def test_a_member_that_was_lost_with_its_worker(shop):
    """An early acknowledgement and a killed worker: nothing brings the task back."""
    with simulate(shop.app) as flow:
        flow.faults.crash(shop.boom, at=CrashPoint.IN_BODY, kills="worker")
        run = flow.run(header(shop, shop.boom.s(2)))
    assert why(run) == [CHORD, waits(2, 3), "  boom#1 was lost: w1 was killed in the body"]


def test_a_member_in_a_queue_that_nobody_consumes(shop):
    """It names the queue, and what to do."""
    with simulate(shop.app, queues=["celery"]) as flow:
        run = flow.run(header(shop, shop.late.s(2).set(queue="video")))
    assert why(run) == [
        CHORD,
        waits(2, 3),
        "  late#1 waits in queue 'video', which no worker consumes",
        ("Let a worker consume 'video': name it in task_queues, or in queues= of the context or the "
        "marker."),
    ]


def test_a_body_in_a_queue_that_nobody_consumes(shop):
    """The header is complete; it is the body that waits."""
    with simulate(shop.app, queues=["celery"]) as flow:
        run = flow.run(chord([shop.charge.s(1)], shop.ship.s().set(queue="video")))
    assert why(run)[0] == (
        "the result of ship#1 will never come: it waits in queue 'video', which no worker consumes"
    )


def test_a_task_that_waits_for_one_without_a_slot(shop):
    """The one slot is taken by the task that waits."""
    with simulate(shop.app, concurrency=1) as flow:
        run = flow.run(shop.parent.s())
    assert why(run) == [
        "the result of parent#1 will never come: it is running and waits for the result of charge#1",
        "charge#1 waits in its worker for a free slot: its only one is taken by parent#1",
    ]


def test_every_slot_is_taken_by_a_task_that_waits(shop):
    """Two that wait for two, with two slots; the redelivery after an hour does not help."""
    with simulate(shop.app, broker="redis", concurrency=2) as flow:
        run = flow.run(chord([shop.parent.s(), shop.parent.s()], shop.ship.s()))
    assert why(run) == [
        CHORD,
        waits(0, 2),
        "  parent#1 is running and waits for the result of charge#1",
        "  parent#2 is running and waits for the result of charge#2",
        "charge#1 waits in its worker for a free slot: all 2 are taken by parent#1, parent#2",
        "charge#2 waits in its worker for a free slot: all 2 are taken by parent#1, parent#2",
    ]


def test_a_task_that_waits_for_a_result_of_nobody(shop):
    """No task with this id exists."""
    with simulate(shop.app) as flow:
        run = flow.run(shop.await_nothing.s())
    assert why(run) == [
        ("the result of await_nothing#1 will never come: it is running and waits for the result of "
        "task nobody, and no task with this id was published here")
    ]


def test_the_test_waits_for_a_result_of_nobody(shop):
    """The same, from the test."""
    with simulate(shop.app), pytest.raises(WorkflowStalled) as stalled:
        AsyncResult("nobody", app=shop.app).get()
    assert str(stalled.value) == (
        "nothing will ever produce the result of task nobody: no task with this id was published "
        "here"
    )


def test_a_hang_without_a_time_limit(shop):
    """It names the fault, and what could have ended it."""
    with simulate(shop.app) as flow:
        flow.faults.hang(shop.charge)
        run = flow.run(shop.charge.s(1) | shop.ship.s())
    assert why(run) == [REST, "charge#1 hangs (hang(charge)), and no time limit ends it"]


def test_no_worker_is_left(shop):
    """The only worker was killed and nobody replaces it."""
    with simulate(shop.app) as flow:
        flow.faults.crash(at=CrashPoint.RECEIVED, restart_after=None)
        run = flow.run(shop.charge.s(1) | shop.ship.s())
    assert why(run) == [
        REST,
        "w1 was killed when the message was received, and is not replaced",
        "charge#1 waits in queue 'celery', and no worker is left",
    ]


def test_the_broker_stays_away(shop):
    """The worker gives up after `broker_connection_max_retries`."""
    with simulate(shop.app, config={"broker_connection_max_retries": 2}) as flow:
        shop.charge.delay(1)
        flow.faults.broker.down()
        with pytest.raises(WorkflowStalled) as stalled:
            flow.drain()
    assert str(stalled.value).splitlines() == [
        "the workflow cannot go on: nothing that is left can ever run",
        "the broker cannot be reached: broker.down()",
        "w1 gave up: OperationalError('[Errno 111] Connection refused: broker.down()')",
        "charge#1 waits in queue 'celery', and no worker is left",
    ]


@pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")
def test_the_result_store_stays_away(shop):
    """The task ran, and its outcome is nowhere."""
    with simulate(shop.app) as flow:
        flow.faults.backend.down()
        run = flow.run(shop.charge.s(1))
    assert why(run) == [
        ("the result of charge#1 will never come: it was lost: its outcome could not be stored: "
        "ConnectionError: connection refused: backend.down()"),
        "the result store cannot be reached: backend.down()",
    ]


@pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")
def test_the_result_store_stays_away_from_a_real_worker(shop):
    """It is told at once there, too: nothing waits until the time is up."""
    with run_worker(shop.app) as flow:
        flow.faults.backend.down()
        run = flow.run(shop.charge.s(1))
    assert why(run) == [
        ("the result of charge#1 will never come: it was lost: its outcome could not be stored: "
        "ConnectionError: connection refused: backend.down()"),
        "the result store cannot be reached: backend.down()",
    ]
    assert run[shop.charge].states == ["LOST"]


def test_retries_without_end(shop, monkeypatch):
    """`max_retries=None` and a task that never succeeds."""
    monkeypatch.setattr("pytest_celeryflow.recorder.MAX_ATTEMPTS", 20)
    with simulate(shop.app) as flow:
        run = flow.run(shop.again.s())
    assert why(run) == [
        ("the result of again#1 will never come: it was executed 21 times and goes on: it retries "
        "without end; give it a max_retries that ends")
    ]


def test_a_task_that_publishes_itself(shop, monkeypatch):
    """Its first execution has a result; the workflow has no end, for `run` as for `drain`."""
    monkeypatch.setattr("pytest_celeryflow.modes.sim.MAX_EXECUTIONS", 20)

    @shop.app.task(name="shop.chatter")
    def chatter():
        chatter.delay()

    said = "no rest after 20 executions: something publishes or retries without end"
    with simulate(shop.app) as flow:
        run = flow.run(chatter.s())
        assert run.state == "SUCCESS"
        assert run.verdict.hung.startswith(said)
        with pytest.raises(WorkflowStalled, match=said):
            flow.drain()


def test_a_task_that_publishes_itself_is_found_early(shop, monkeypatch):
    """Tasks in a row count, not all there are: a wide chord is no loop."""
    monkeypatch.setattr("pytest_celeryflow.modes.sim.MAX_GENERATIONS", 20)

    @shop.app.task(name="shop.chatter")
    def chatter(left):
        if left:
            chatter.delay(left - 1)

    with simulate(shop.app) as flow:
        assert flow.run(group(chatter.si(3) for _ in range(30))).verdict.ok
        assert flow.run(chatter.si(19)).verdict.ok
        assert flow.run(chatter.si(19)).verdict.ok
        run = flow.run(chatter.si(100))
        with pytest.raises(WorkflowStalled, match="no rest after 20 tasks"):
            flow.drain(limit=1_000)
    first, _, rest = run.verdict.hung.partition("\n\n")
    assert first == "no rest after 20 tasks, each published by the one before"
    assert rest.startswith("The last of them is chatter#")


def test_a_crash_loop(shop, monkeypatch):
    """A task that kills every process it runs in, and is requeued each time."""
    monkeypatch.setattr("pytest_celeryflow.recorder.MAX_ATTEMPTS", 20)
    with simulate(shop.app) as flow:
        flow.faults.crash(shop.safe, at=CrashPoint.IN_BODY, times=None)
        run = flow.run(shop.safe.s(1))
    assert why(run) == [
        ("the result of safe#1 will never come: it was executed 21 times and goes on: each time it "
        "is lost, and each time it is delivered again")
    ]


def test_a_task_that_sleeps_for_ever(shop, monkeypatch):
    """It looks again and again for what nobody will do."""
    monkeypatch.setattr(world, "MAX_IDLE_TIMERS", 100)

    @shop.app.task(name="shop.look")
    def look():
        while not shop.ran:
            time.sleep(1)

    with simulate(shop.app) as flow:
        run = flow.run(look.s())
    assert why(run) == [
        ("no rest: look#1 went on sleeping 100 times in a row, until 2026-01-01T00:01:41+00:00, "
        "while nothing else happened: what it waits for will never be so")
    ]


def test_a_message_that_no_worker_can_read(shop):
    """A body that is not JSON: Celery acknowledges it and goes on."""
    with simulate(shop.app) as flow:
        with shop.app.producer_or_acquire() as producer:
            producer.publish(
                "not json",
                routing_key="celery",
                content_type="application/json",
                content_encoding="utf-8",
                headers={"task": "shop.charge", "id": "x1", "lang": "py"},
            )
        flow.drain()
        with pytest.raises(WorkflowStalled) as stalled:
            AsyncResult("x1", app=shop.app).get()
    assert str(stalled.value).splitlines()[0] == (
        "the result of charge#1 will never come: it was thrown away: no worker could read its "
        "message"
    )


def test_the_time_that_was_given_runs_out(shop):
    """Nothing is wrong but the time that `run` may take."""
    with simulate(shop.app) as flow:
        run = flow.run(shop.charge.s(1).set(countdown=100), timeout=10)
        assert why(run) == [
            "the workflow does not finish within 10 s of virtual time",
            "charge#1 waits in its worker for its ETA, 2026-01-01T00:01:40+00:00",
            "It goes on when time passes: flow.drain(), flow.clock.advance(), or a longer timeout=.",
        ]
        flow.drain()
