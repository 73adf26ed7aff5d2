"""Workers and brokers that are lost, each in a context of its own."""

import time
from collections import Counter

import pytest
from celery import chain, group
from kombu.exceptions import OperationalError

from pytest_celeryflow import CrashPoint, run_process, simulate
from tests import services
from tests.process import app as t
from tests.process.waiting import began

pytestmark = pytest.mark.slow

APP = "tests.process.app:app"


# --- the broker ---


def test_the_broker_is_away_and_comes_back(url):
    """Connections are cut, new ones refused; the worker finds it again, and works on."""
    with run_process(APP, broker=url, backend=url) as flow:
        assert flow.run(t.add.s(1, 1)).value == 2
        with flow.faults.broker.down() as fault:
            with pytest.raises(OperationalError):
                t.add.apply_async((1, 1), retry=False)
            assert flow.worker._worker.wait_for_line("Connection to broker lost", 15)
        assert fault.fired >= 1
        assert flow.run(t.add.s(2, 2)).value == 4


# --- acknowledgements ---


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_worker_that_dies_with_an_acknowledgement_has_acknowledged(broker):
    """Nobody told that it arrived; it is not waited for."""
    with run_process(APP, broker=place(broker), backend=place("redis")) as flow:
        run = flow.run(t.doomed.s("after"))
        assert (run.value, run.verdict.hung, flow.pending()) == (False, None, [])
        assert flow.drain() == 0


def test_an_acknowledgement_that_did_not_arrive_shows():
    """The message comes back, and is counted again."""
    with run_process(APP, broker=place("rabbitmq"), backend=place("redis")) as flow:
        flow.run(t.doomed.s("before"))
        assert flow._mode._until(lambda: flow.worker.state == "down", 10)
        flow.worker.start()
        assert flow._mode._until(lambda: len(flow.history.executions()) == 2, 10)
        assert [e.redelivered for e in flow.history.executions()] == [False, True]
        assert len(flow.history.only("redelivered")) == 1


def place(name):
    """The URL of a server."""
    return services.rabbitmq_url() if name == "rabbitmq" else services.private_redis().url


# --- crashes ---


def counted(run):
    """What came of a workflow, without what two workers may do in another order."""
    lost, twice = ({label.partition("#")[0] for label in told}
                   for told in (run.verdict.lost, run.verdict.duplicated))  # fmt: skip
    states = Counter((e.task.rpartition(".")[2], e.state) for e in run.executions)
    return run.state, type(run.error).__name__, states, lost, twice, bool(run.verdict.hung)


#: Where a crash is, who is killed, of which task. billiard notices a lost process after up to
#: five seconds, so that not every combination is here.
CRASHES = [
    (t.pair, CrashPoint.RECEIVED, "worker"),
    (t.pair, CrashPoint.BEFORE_ACK, "worker"),
    (t.pair, CrashPoint.AFTER_ACK, "process"),
    (t.pair, CrashPoint.AFTER_ACK, "worker"),
    (t.pair, CrashPoint.IN_BODY, "process"),
    (t.pair, CrashPoint.BEFORE_CALLBACKS, "worker"),
    (t.late, CrashPoint.RECEIVED, "worker"),
    (t.late, CrashPoint.AFTER_ACK, "worker"),
    (t.late, CrashPoint.BEFORE_RESULT, "process"),
    (t.late, CrashPoint.AFTER_RESULT, "process"),
    (t.late, CrashPoint.BEFORE_CALLBACKS, "process"),
    (t.late, CrashPoint.AFTER_RESULT, "worker"),
    (t.late, CrashPoint.BEFORE_LATE_ACK, "worker"),
    (t.late_lost, CrashPoint.IN_BODY, "process"),
    (t.late_lost, CrashPoint.AFTER_CALLBACKS, "process"),
]


def test_a_crash_is_what_the_simulation_makes_of_it():
    """At each point: the same executions, states, losses and duplicates; and it struck once."""
    rabbitmq = services.rabbitmq_url()
    services.private_redis()
    real, simulated = {}, {}
    with run_process(APP, broker=rabbitmq, concurrency=1) as flow:
        for task, point, victim in CRASHES:
            with flow.faults.crash(task, at=point, kills=victim) as fault:
                run = flow.run(chain(task.s(1), t.noted.s()))
            assert fault.fired == 1
            real[task.name, point.name, victim] = counted(run)
    for task, point, victim in CRASHES:
        with simulate(t.app, broker="rabbitmq", backend="redis", concurrency=1) as flow:
            flow.faults.crash(task, at=point, kills=victim)
            run = flow.run(chain(task.s(1), t.noted.s()))
            simulated[task.name, point.name, victim] = counted(run)
    assert real == simulated


#: One task at a time: Redis hands a message over before the worker notes that it has it
#: (`kombu/transport/redis.py:Channel._brpop_read`), and one that is killed in between has lost it.
DEDUPLICATED = {"worker_deduplicate_successful_tasks": True, "worker_prefetch_multiplier": 1}
SOON_AGAIN = {
    "broker_transport_options": {
        "visibility_timeout": 1,
        "unacked_restore_interval": 0.2,
        "unacked_restore_throttle": 1,
    }
}


@pytest.mark.parametrize(
    ("task", "victim", "store", "config"),
    [
        ("late", "worker", "", SOON_AGAIN),
        ("late", "worker", "store", SOON_AGAIN),
        # What waits behind a lost process that nobody has noticed would come back each second.
        ("late_lost", "process", "store", {}),
    ],
    ids=["worker, one server", "worker, two servers", "process, two servers"],
)
def test_deduplicated_crashes_are_what_the_simulation_makes_of_them(
    url, task, victim, store, config
):
    """At every point, whether results are kept by the broker's server or by another one.

    A task whose success is stored is not executed again. Whether what follows it is published twice
    is a matter of the point alone: it is published before the result is stored.
    """
    kept = services.private_redis(store).url
    points = [point for point in CrashPoint if victim in point.victims]
    first = t.app.tasks[f"tests.process.app.{task}"]
    config = {**config, **DEDUPLICATED}
    real, simulated = {}, {}
    with run_process(APP, broker=url, backend=kept, concurrency=1, config=config) as flow:
        for point in points:
            with flow.faults.crash(task, at=point, kills=victim):
                real[point.name] = counted(flow.run(first.s(1) | t.noted.s()))
    for point in points:
        with simulate(t.app, broker="redis", backend="redis", concurrency=1, config=config) as flow:
            flow.faults.crash(task, at=point, kills=victim)
            simulated[point.name] = counted(flow.run(first.s(1) | t.noted.s()))
    assert real == simulated
    executed_twice = {name for name, (*_, twice, _hung) in real.items() if task in twice}
    followed_twice = {name for name, (*_, twice, _hung) in real.items() if "noted" in twice}
    assert executed_twice == set()
    assert followed_twice == {"BEFORE_RESULT", "AFTER_CALLBACKS"}


def test_redis_gives_back_after_the_visibility_timeout(url):
    """What a killed worker had; the fault starts another."""
    config = SOON_AGAIN
    with run_process(APP, broker=url, backend=url, config=config) as flow:
        flow.faults.crash(t.late, at=CrashPoint.IN_BODY, kills="worker")
        run = flow.run(t.late.s(1))
    assert run[t.late].states == ("LOST", "SUCCESS")
    assert [e.redelivered for e in run[t.late]] == [False, True]


def test_a_message_that_a_worker_died_with_is_told_by_what_struck_it(url):
    """Nothing had begun."""
    with run_process(APP, broker=url, backend=url) as flow:
        flow.faults.crash(t.late, at=CrashPoint.RECEIVED)
        run = flow.run(t.late.s(1))
    why = "the result of late#1 will never come: it was last seen when crash(late, at=RECEIVED) struck"
    assert run.verdict.hung.splitlines()[0] == why


def test_what_redis_keeps_for_an_hour_is_said_at_once(url):
    with run_process(APP, broker=url, backend=url) as flow:
        flow.faults.crash(t.late, at=CrashPoint.IN_BODY, kills="worker", restart_after=None)
        began_at = time.monotonic()
        run = flow.run(t.late.s(1))
        assert time.monotonic() - began_at < 15
        assert flow.worker.state == "down"
    assert "gives back what is unacknowledged for the visibility timeout, 3600 s" in run.verdict.hung
    assert "'visibility_timeout': 1" in run.verdict.hung
    assert "worker w1 is down: it was killed in the body" in run.verdict.hung


def test_a_worker_that_a_crash_kills_takes_all_its_tasks_with_it(url):
    with run_process(APP, broker=url, backend=url) as flow:
        other = t.sleep.delay(60)
        began(flow, other.id)
        flow.faults.crash(t.pair, at=CrashPoint.IN_BODY, kills="worker")
        run = flow.run(t.pair.s(1))
        assert run[t.pair].states == ("LOST",)
        (lost,) = (e for e in flow.history.executions() if e.id == other.id)
        assert lost.state == "LOST"
        assert flow.run(group(t.add.s(i, i) for i in range(3))).value == [0, 2, 4]
