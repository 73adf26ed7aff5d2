"""What the simulated worker does, as Celery's own code makes it do."""

import time

import pytest
from celery import chord, group
from celery.exceptions import (
    Ignore,
    Reject,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
)

from pytest_celeryflow import WorkflowStalled, run_worker, simulate


@pytest.fixture
def nap(app):
    """A task that takes as long as it is told."""

    @app.task(name="shop.nap")
    def nap(seconds, result=None):
        time.sleep(seconds)
        return result

    return nap


def test_delay_only_enqueues(app, add):
    """Nothing runs until somebody waits or asks for work."""
    with simulate(app) as flow:
        add.delay(1, 2)
        assert [m.label for m in flow.pending()] == ["add#1"]
        assert not flow.history.executions()


def test_get_drives_the_simulation(app, add):
    """Waiting for a result runs what is needed for it."""
    with simulate(app):
        assert add.delay(1, 2).get() == 3


def test_an_hour_costs_nothing(app, add):
    """An ETA is reached by moving the clock."""
    with simulate(app) as flow:
        assert add.apply_async((1, 2), countdown=3600).get() == 3
        assert flow.clock.elapsed == 3600


def test_retries_come_at_their_time(app):
    """A task's own retries wait as long as they say."""

    @app.task(bind=True, max_retries=3, default_retry_delay=600)
    def poll(self):
        if self.request.retries < 3:
            raise self.retry()
        return "done"

    with simulate(app) as flow:
        run = flow.run(poll.s())
    assert run.value == "done"
    assert run[poll].attempts_at == (0, 600, 1200, 1800)
    assert run[poll].retries == 3


def test_backoff_without_jitter_doubles(app):
    """`autoretry_for` with `retry_backoff` is Celery's own arithmetic."""

    @app.task(autoretry_for=(OSError,), retry_backoff=10, retry_jitter=False, max_retries=3)
    def call():
        raise OSError("down")

    with simulate(app) as flow:
        run = flow.run(call.s())
    assert isinstance(run.error, OSError)
    assert run[call].attempts_at == (0, 10, 30, 70)


def test_jitter_follows_the_seed(app):
    """The same seed draws the same delays, another seed others."""

    @app.task(autoretry_for=(OSError,), retry_backoff=100, retry_jitter=True, max_retries=4)
    def call():
        raise OSError("down")

    def attempts(seed):
        with simulate(app, seed=seed) as flow:
            return flow.run(call.s())[call].attempts_at

    assert attempts(1) == attempts(1)
    assert attempts(1) != attempts(2)


def test_concurrency_limits_what_runs_at_once(app, nap):
    """Four naps of ten seconds take twenty with two slots."""
    with simulate(app, concurrency=2) as flow:
        run = flow.run(group(nap.s(10) for _ in range(4)))
    assert run.elapsed == 20


def test_workers_share_the_queue(app, nap):
    """Two workers with one slot each run two tasks at a time."""
    with simulate(app, workers=2, concurrency=1, prefetch_multiplier=1) as flow:
        run = flow.run(group(nap.s(10) for _ in range(4)))
    assert run.elapsed == 20
    assert {e.worker for e in run.executions} == {"w1", "w2"}


def test_prefetch_keeps_messages_from_an_idle_worker(app, nap):
    """A busy worker that prefetched holds back what another could do: Celery's default."""

    def elapsed(multiplier):
        with simulate(app, workers=2, concurrency=1, prefetch_multiplier=multiplier) as flow:
            tasks = [nap.s(100), nap.s(1), nap.s(1), nap.s(1), nap.s(1), nap.s(1)]
            return flow.run(group(tasks)).elapsed

    assert elapsed(1) < elapsed(4)


def test_rate_limit_spaces_executions(app):
    """Ten a minute is one every six seconds."""

    @app.task(rate_limit="10/m")
    def call(n):
        return n

    with simulate(app) as flow:
        run = flow.run(group(call.s(n) for n in range(3)))
    assert run[call].attempts_at == (0, 6, 12)


def test_expired_task_is_revoked(app, add):
    """What is picked up after its expiry does not run."""
    with simulate(app) as flow:
        run = flow.run(add.signature((1, 2), countdown=60, expires=30))
    assert run.state == "REVOKED"
    assert run.history.only("expired")
    assert not run.executions


def test_revoked_before_it_starts(app, add):
    """`revoke` reaches the worker before the ETA does."""
    with simulate(app) as flow:
        result = add.apply_async((1, 2), countdown=60)
        result.revoke()
        flow.drain()
        assert result.state == "REVOKED"
        flow.assert_not_ran(add)


def test_revoke_with_terminate_stops_a_running_task(app, nap):
    """`terminate=True` ends the body where it stands."""
    with simulate(app) as flow:
        result = nap.delay(100)
        flow.clock.advance(10)
        result.revoke(terminate=True)
        flow.drain()
        assert result.state == "REVOKED"
        assert flow.clock.elapsed == 10


@pytest.mark.parametrize(
    ("broker", "order"), [("redis", [0, 3, 9]), ("rabbitmq", [9, 3, 0]), ("memory", [9, 3, 0])]
)
def test_priorities_follow_the_broker(app, broker, order):
    """Redis delivers small numbers first, RabbitMQ large ones, when the queue has priorities."""
    done = []

    @app.task
    def note(n):
        done.append(n)

    config = {"task_queue_max_priority": 10, "worker_prefetch_multiplier": 1}
    with simulate(app, broker=broker, concurrency=1, config=config) as flow:
        for n in (3, 0, 9):
            note.apply_async((n,), priority=n)
        flow.drain()
    assert done == order


def test_rabbitmq_ignores_priorities_of_a_plain_queue(app):
    """Without `x-max-priority` RabbitMQ delivers in order of publication."""
    done = []

    @app.task
    def note(n):
        done.append(n)

    with simulate(app, broker="rabbitmq", concurrency=1) as flow:
        for n in (3, 0, 9):
            note.apply_async((n,), priority=n)
        flow.drain()
    assert done == [3, 0, 9]


def test_redis_gives_back_what_is_unacknowledged_too_long(app, add):
    """An ETA past the visibility timeout runs twice on Redis, as in production."""
    with simulate(app, broker="redis") as flow:
        run = flow.run(add.signature((1, 2), countdown=4000))
        assert run[add].attempts == 2
        assert run.verdict.duplicated == ("add#1",)


def test_rabbitmq_holds_a_long_eta(app, add):
    """The same ETA runs once on RabbitMQ."""
    with simulate(app, broker="rabbitmq") as flow:
        assert flow.run(add.signature((1, 2), countdown=4000))[add].attempts == 1


def test_routed_queues_are_consumed(app, add):
    """Without `task_queues` every queue that is published to has a consumer."""
    with simulate(app, config={"task_routes": {"shop.*": {"queue": "slow"}}}) as flow:
        assert flow.run(add.s(1, 2)).value == 3
        flow.assert_enqueued(add, queue="slow")


def test_a_queue_that_nobody_consumes_stalls(app, add):
    """With `queues=` a worker consumes these alone, and the stall names the other."""
    with simulate(app, queues=["celery"]) as flow:
        run = flow.run(add.signature((1, 2), queue="emails"))
        with pytest.raises(WorkflowStalled, match=r"waits in queue 'emails', which no worker"):
            run.value  # noqa: B018 - reading it raises


def test_soft_time_limit_is_raised_in_the_task(app):
    """A task that catches the soft limit can clean up, at that very moment."""

    @app.task(soft_time_limit=5)
    def crunch():
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            return "cleaned up"

    with simulate(app) as flow:
        run = flow.run(crunch.s())
    assert (run.value, run.elapsed) == ("cleaned up", 5)


def test_hard_time_limit_ends_the_task(app):
    """The hard limit fails the task, whatever it does with the soft one."""

    @app.task(soft_time_limit=5, time_limit=10)
    def crunch():
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            time.sleep(60)

    with simulate(app) as flow:
        run = flow.run(crunch.s())
    assert isinstance(run.error, TimeLimitExceeded)
    assert run.elapsed == 10


def test_waiting_in_a_task_is_refused(app, add):
    """As in a worker's process, a task must not wait for a result."""

    @app.task
    def outer():
        return add.delay(1, 2).get()

    with simulate(app) as flow:
        run = flow.run(outer.s())
    assert "Never call result.get() within a task" in str(run.error)


@pytest.mark.parametrize("backend", ["memory", "polling", "redis"])
def test_waiting_in_a_task_on_purpose(app, add, backend):
    """With `disable_sync_subtasks=False` the inner task runs in another slot."""
    if backend == "redis":
        pytest.importorskip("redis")

    @app.task
    def outer():
        return add.delay(1, 2).get(disable_sync_subtasks=False)

    with simulate(app, backend=backend) as flow:
        assert flow.run(outer.s()).value == 3


@pytest.mark.slow
def test_a_task_that_sleeps_without_end_is_found(app, monkeypatch):
    """By the number of times, whatever virtual time that takes."""
    from pytest_celeryflow.sim import world

    monkeypatch.setattr(world, "MAX_IDLE_TIMERS", 1000)

    @app.task(name="shop.watch")
    def watch():
        while True:
            time.sleep(60)

    with simulate(app) as flow:
        assert flow.run(watch.s()).verdict.hung.startswith("no rest: watch#1 went on sleeping")


def test_deadlock_of_waiting_tasks_is_found(app, add):
    """One slot, and the task in it waits for one that needs it."""

    @app.task
    def outer():
        return add.delay(1, 2).get(disable_sync_subtasks=False)

    with simulate(app, concurrency=1) as flow:
        run = flow.run(outer.s())
    assert "outer#1" in run.verdict.hung
    assert "waits for the result of add#1" in run.verdict.hung


def test_replace_takes_the_place_of_a_task(app, add):
    """A task that replaces itself by a workflow returns that workflow's result."""

    @app.task
    def total(numbers):
        return sum(numbers)

    @app.task(bind=True)
    def fan_out(self, n):
        raise self.replace(chord((add.s(i, 1) for i in range(n)), total.s()))

    with simulate(app) as flow:
        run = flow.run(fan_out.s(4))
    assert run.value == 10
    assert run[add].attempts == 4


def test_reject_without_requeue_drops_the_message(app):
    """A rejected message does not come back."""

    @app.task(acks_late=True)
    def refuse():
        raise Reject("no", requeue=False)

    with simulate(app) as flow:
        run = flow.run(refuse.s())
    assert run[refuse].states == ("REJECTED",)


def test_reject_with_requeue_delivers_again(app):
    """A requeued message comes back marked as redelivered."""
    seen = []

    @app.task(bind=True, acks_late=True)
    def refuse(self):
        seen.append(self.request.delivery_info["redelivered"])
        if len(seen) == 1:
            raise Reject("later", requeue=True)

    with simulate(app) as flow:
        flow.run(refuse.s())
    assert seen == [False, True]


def test_ignored_header_task_explains_the_stall(app, add):
    """A chord whose header task raises Ignore can never complete, and says so."""

    @app.task
    def skip():
        raise Ignore

    @app.task
    def total(numbers):
        return sum(numbers)

    with simulate(app) as flow:
        run = flow.run(chord([add.s(1, 1), skip.s()], total.s()))
    assert "1 of 2 tasks have counted" in run.verdict.hung
    assert "skip#1 raised Ignore" in run.verdict.hung


def test_endless_chord_unlock_is_a_stall(app, add):
    """On a polling backend the same chord would ask for ever."""

    @app.task
    def skip():
        raise Ignore

    @app.task
    def total(numbers):
        return sum(numbers)

    with simulate(app, backend="polling") as flow:
        run = flow.run(chord([add.s(1, 1), skip.s()], total.s()))
        assert run.verdict.hung
        assert run.elapsed < 60


def test_result_that_nothing_will_produce(app):
    """Waiting for an unknown id is an error at once."""
    with simulate(app), pytest.raises(WorkflowStalled, match="no task with this id"):
        app.AsyncResult("no-such-id").get()


def test_timeout_of_a_wait_is_virtual(app, nap):
    """`get(timeout=…)` gives up when that much virtual time has passed."""
    from celery.exceptions import TimeoutError as CeleryTimeout

    with simulate(app) as flow:
        result = nap.delay(100)
        with pytest.raises(CeleryTimeout):
            result.get(timeout=30)
        assert flow.clock.elapsed == 30


def test_unregistered_task_fails_by_name(app):
    """A worker that does not know the task stores NotRegistered, as Celery does."""
    with simulate(app) as flow:
        run = flow.run(app.signature("shop.unknown"))
    assert type(run.error).__name__ == "NotRegistered"
    assert run.history.only("rejected")


def test_unserialisable_arguments_raise_when_published(app, add):
    """The serializer's refusal reaches the caller."""
    from kombu.exceptions import EncodeError

    with simulate(app) as flow, pytest.raises(EncodeError):
        flow.run(add.s(object(), 1))


def test_remote_control_answers(app):
    """`inspect` talks to every simulated worker."""
    with simulate(app, workers=2):
        assert app.control.inspect().ping() == {
            "celery@w1": {"ok": "pong"},
            "celery@w2": {"ok": "pong"},
        }


def test_workers_have_memories_of_their_own(app, nap):
    """What one worker runs is not active in the other (`celery.worker.state` is global)."""
    with simulate(app, workers=2, concurrency=1, prefetch_multiplier=1) as flow:
        nap.delay(100)
        flow.clock.advance(1)
        active = app.control.inspect().active()
        assert sorted(len(tasks) for tasks in active.values()) == [0, 1]


def test_worker_state_of_the_process_is_put_back(app, add):
    """`celery.worker.state` holds afterwards what it held before."""
    from celery.worker import state

    state.revoked.add("an-id-of-somebody-else")
    try:
        with simulate(app) as flow:
            flow.run(add.s(1, 2))
            assert "an-id-of-somebody-else" not in state.revoked
        assert "an-id-of-somebody-else" in state.revoked
    finally:
        state.revoked.discard("an-id-of-somebody-else")


def test_stamps_reach_the_task(app):
    """A stamped signature carries its stamps into the request."""

    @app.task(bind=True)
    def read(self):
        return self.request.stamps

    with simulate(app) as flow:
        signature = read.s()
        signature.stamp(tenant="a")
        assert flow.run(signature).value == {"tenant": "a"}


def test_beat_publishes_what_is_due(app, add):
    """A week of an hourly entry is 168 executions."""
    app.conf.beat_schedule = {"hourly": {"task": "shop.add", "schedule": 3600.0, "args": (1, 1)}}
    with simulate(app) as flow:
        assert flow.beat.run_for("7d") == 168
        flow.assert_ran(add, times=168)


def test_beat_without_a_schedule_says_so(app):
    """An app without entries is told how to get some."""
    from pytest_celeryflow import CeleryflowError

    with simulate(app) as flow, pytest.raises(CeleryflowError, match="no beat_schedule"):
        flow.beat.run_for("1h")


def test_two_apps_share_the_clock(app, add):
    """A second app joins the same virtual time, with a broker of its own."""
    from celery import Celery

    with Celery("other", set_as_current=False) as other:

        @other.task(name="other.nap", shared=False)
        def nap():
            time.sleep(10)
            return 1

        with simulate(app) as first, simulate(other) as second:
            assert nap.delay().get() == 1
            assert first.clock.elapsed == second.clock.elapsed == 10
            assert first.run(add.s(1, 2)).value == 3
            assert not first.history.only("published", ids=[e.id for e in second.history])


def test_a_second_app_does_not_draw_the_ids_of_the_first_again(app, add):
    """Opening it goes on with the random numbers where they were."""
    from pytest_celeryflow.borrow import FreshApp

    with simulate(app) as flow:
        before = {add.delay(n, n).id for n in range(5)}
        with FreshApp("other", set_as_current=False) as other, simulate(other):
            after = {add.delay(n, n).id for n in range(5)}
        flow.drain()
    assert not before & after


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"workers": 0}, "workers=0 must be a whole number, 1 or more"),
        ({"concurrency": True}, "concurrency=True must be"),
        ({"broker": "kafka"}, "broker='kafka' is not one of 'redis', 'rabbitmq', 'memory'"),
        ({"backend": "s3"}, "backend='s3' is not one of"),
        ({"start": "tomorrow"}, "start='tomorrow' is not a moment"),
        ({"config": {"task_ack_late": True}}, "did you mean task_acks_late"),
        ({"config": {"broker_url": "redis://"}}, "'broker_url' is what the mode itself sets; broker="),
        ({"prefetch_multiplier": -1}, "prefetch_multiplier=-1"),
    ],
)
def test_bad_arguments_are_named(app, argument, message):
    """Each bad argument is refused at once, with what is valid."""
    with pytest.raises(ValueError, match=message), simulate(app, **argument):
        pass


def test_fresh_ids_are_the_same_from_run_to_run(app, add):
    """Ids are seeded."""

    def ids():
        with simulate(app) as flow:
            flow.run(group(add.s(i, i) for i in range(5)))
            return [e.id for e in flow.history]

    assert ids() == ids()


@pytest.mark.parametrize("mode", [simulate, run_worker])
def test_a_task_that_is_defined_while_the_worker_runs(app, mode):
    """A test may ask for its flow first and define its tasks afterwards."""
    with mode(app) as flow:

        @app.task(name="shop.late_comer")
        def late_comer(x):
            return x + 1

        assert flow.run(late_comer.s(1) | late_comer.s()).value == 3


def test_a_task_that_expires_while_it_waits_for_a_slot_is_not_run(app, add, nap):
    """With prefork, Celery asks when there is a slot (seen on a real worker)."""
    with simulate(app, concurrency=1) as flow:
        run = flow.run(group(nap.s(60), add.s(1, 2).set(expires=10)))
        assert isinstance(run.error, TaskRevokedError)
        flow.assert_not_ran(add)
        assert flow.run(add.s(1, 2)).value == 3  # the slot is free again


def test_a_task_that_is_revoked_while_it_waits_for_a_slot_is_not_run(app, add, nap):
    """Likewise, without ``terminate``."""
    with simulate(app, concurrency=1) as flow:
        nap.delay(60)
        waiting = add.delay(1, 2)
        flow.clock.at("30s", waiting.revoke)
        flow.drain()
        assert waiting.state == "REVOKED"
        flow.assert_not_ran(add)
