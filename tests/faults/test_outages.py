"""The broker or the result store away: in virtual time, and honestly in real time."""

import threading
import time

import pytest
from celery import chord
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from pytest_celeryflow import run_worker, simulate

BOTH = pytest.mark.parametrize("mode", [run_worker, simulate])
POLICY = {"retry_policy": {"max_retries": 1, "interval_start": 0.01, "interval_step": 0.01}}


@BOTH
def test_publishing_gives_up(shop, mode):
    """Celery's retry policy, then `OperationalError`, for the one who publishes."""
    with mode(shop.app) as flow:
        with flow.faults.broker.down(), pytest.raises(OperationalError, match="refused"):
            shop.charge.apply_async((1,), **POLICY)
        assert shop.ran == []


def test_the_publish_retry_policy_runs_in_virtual_time(shop):
    """Three retries, 0.2 s further apart each."""
    with simulate(shop.app) as flow:
        with flow.faults.broker.down(), pytest.raises(OperationalError):
            shop.charge.delay(1)
        assert flow.clock.elapsed == 0.6


def test_publishing_survives_a_short_outage(shop):
    """The broker is back before the policy gives up."""
    with simulate(shop.app) as flow:
        flow.faults.broker.down(for_="0.3s")
        assert flow.run(shop.charge.s(1)).value == 1


@BOTH
def test_the_worker_comes_back_after_an_outage(shop, mode):
    """It reconnects by itself, and consumes what is published then."""
    with mode(shop.app) as flow:
        with flow.faults.broker.down():
            pass
        run = flow.run(shop.charge.s(1))
    assert run.value == 1


def test_what_waits_in_the_broker_survives_an_outage(shop):
    """The worker tries again after 2, 4, 6 … seconds."""
    with simulate(shop.app) as flow:
        result = shop.charge.delay(1)
        flow.faults.broker.down(for_="30s")
        flow.drain()
        assert result.get() == 1
        assert flow.clock.elapsed == 30


def test_an_outage_while_a_late_task_runs_doubles_it(shop):
    """RabbitMQ gives the message back when the connection breaks; the task is still running."""
    with simulate(shop.app, broker="rabbitmq") as flow:
        flow.clock.at("5s", lambda: flow.faults.broker.down(for_="10s"))
        run = flow.run(shop.slow.s(40))
    assert run[shop.slow].attempts == 2
    assert run.verdict.duplicated == ("slow#1",)


def test_long_running_tasks_can_be_cancelled_with_the_connection(shop):
    """`worker_cancel_long_running_tasks_on_connection_loss` avoids the double."""
    config = {"worker_cancel_long_running_tasks_on_connection_loss": True}
    with simulate(shop.app, broker="rabbitmq", config=config) as flow:
        flow.clock.at("5s", lambda: flow.faults.broker.down(for_="10s"))
        run = flow.run(shop.slow.s(40))
    assert shop.ran == ["begun", "begun", "done"]
    assert run.verdict.duplicated == ()


def test_an_outage_is_told_in_the_timeline(shop):
    """When it began and when it ended."""
    with simulate(shop.app) as flow:
        shop.charge.delay(1)
        flow.faults.broker.down(for_="30s")
        flow.drain()
        assert flow.report() == (
            " 0s            ⚡ broker.down(for_='30s')\n"
            "30s            ⚡ the broker can be reached again\n"
            "     charge#1  ▸ started with (1)\n"
            "     charge#1  ✓ returned 1"
        )


OUTSIDE = pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")


@OUTSIDE
def test_a_result_that_cannot_be_stored_is_a_failure(shop):
    """Without `result_backend_always_retry` the first refusal counts."""
    with simulate(shop.app) as flow:
        flow.faults.backend.fail("store_result")
        run = flow.run(shop.charge.s(1))
    assert shop.ran == ["charge"]
    assert isinstance(run.error, ConnectionError)


@BOTH
def test_always_retry_stores_it_in_the_end(shop, mode):
    """With it the store is tried again, with backoff."""
    with mode(shop.app, config={"result_backend_always_retry": True}) as flow:
        fault = flow.faults.backend.fail("store_result", times=2)
        run = flow.run(shop.charge.s(1))
    assert run.value == 1
    assert fault.fired == 2


def test_always_retry_outlasts_an_outage(shop):
    """The task takes as long as the store is away."""
    with simulate(shop.app, config={"result_backend_always_retry": True}) as flow:
        flow.faults.backend.down(for_="30s")
        run = flow.run(shop.charge.s(1))
    assert run.value == 1
    assert run.elapsed >= 30


@OUTSIDE
@pytest.mark.parametrize("always", [False, True])
def test_a_chord_while_the_store_is_away(shop, always):
    """It counts later, or never."""
    with simulate(shop.app, config={"result_backend_always_retry": always}) as flow:
        flow.clock.at("1s", lambda: flow.faults.backend.down(for_="20s"))
        header = [shop.charge.s(1).set(countdown=5), shop.charge.s(2).set(countdown=60)]
        run = flow.run(chord(header, shop.ship.s()))
    assert (run.state == "SUCCESS") is always


@OUTSIDE
def test_a_chord_that_cannot_count(shop):
    """Its task fails after its result was stored, and is counted then: the body has its value."""
    with simulate(shop.app) as flow:
        flow.faults.backend.fail("on_chord_part_return")
        run = flow.run(chord([shop.charge.s(1), shop.late.s(2)], shop.ship.s()))
    assert run.value == [1, 2]
    assert run[shop.charge].states == ("FAILURE",)


def test_a_redis_client_raises_its_own_error(redis_app):
    """What the app's code may catch is what Redis's client would raise."""
    from redis.exceptions import ConnectionError as RedisConnectionError

    @redis_app.task(name="shop.look", bind=True)
    def look(self):
        try:
            self.update_state(state="LOOKING")
        except RedisConnectionError as exc:
            return str(exc)

    with simulate(redis_app) as flow:
        fault = flow.faults.backend.fail("store_result")
        assert flow.run(look.s()).value == "store_result: backend.fail(op='store_result')"
    assert fault.fired == 1


def test_a_database_backend_can_be_away_too(app, sqlite_results):
    """A backend that is used as it is has its operations refused."""
    app.conf.result_backend = sqlite_results

    @app.task(name="shop.add")
    def add(x, y):
        return x + y

    with simulate(app) as flow:
        with flow.faults.backend.down(), pytest.raises(ConnectionError):
            _ = add.delay(1, 2).state
        assert flow.run(add.s(1, 2)).value == 3


def test_reading_a_result_while_the_store_is_away(shop):
    """The test's own reading fails; the run's does not."""
    with simulate(shop.app) as flow:
        run = flow.run(shop.charge.s(1))
        with flow.faults.backend.down():
            with pytest.raises(ConnectionError):
                _ = AsyncResult(run.result.id, app=shop.app).state
            assert run.value == 1


def test_an_outage_that_was_to_last_longer_leaves_no_timer(shop):
    """The end of the context is the end of it."""
    before = set(threading.enumerate())
    with run_worker(shop.app) as flow:
        flow.faults.broker.down(for_="1h", optional=True)
        flow.faults.backend.down(for_="1h", optional=True)
    assert set(threading.enumerate()) <= before


def gives_up():
    """What Celery raises that cannot reach its Redis; before 5.7 the connection's own error."""
    from redis.exceptions import ConnectionError as NoConnection

    return RuntimeError, NoConnection


def test_what_could_be_waited_for_is_not_published_while_redis_is_away(redis_app):
    """The publisher subscribes to the result first, tries for 19 seconds, and gives up."""

    @redis_app.task(name="shop.add")
    def add(x, y):
        return x + y

    with simulate(redis_app) as flow:
        with flow.faults.backend.down(), pytest.raises(gives_up()):
            add.delay(1, 2)
        assert flow.clock.elapsed == 19
        assert flow.pending() == []


def test_what_nobody_waits_for_is_published_while_redis_is_away(redis_app):
    """`ignore_result` needs no subscription."""

    @redis_app.task(name="shop.add")
    def add(x, y):
        return x + y

    with simulate(redis_app) as flow:
        with flow.faults.backend.down(optional=True):
            add.apply_async((1, 2), ignore_result=True)
        assert len(flow.pending()) == 1


def test_a_waiter_outlasts_a_short_outage_of_redis(redis_app):
    """It subscribes anew, and looks the result up."""

    @redis_app.task(name="shop.slow")
    def slow():
        time.sleep(60)
        return "done"

    with simulate(redis_app) as flow:
        result = slow.delay()
        flow.clock.at("10s", lambda: flow.faults.backend.down(for_="15s"))
        assert result.get() == "done"
        assert flow.clock.elapsed == 60


def test_a_waiter_gives_up_in_a_long_outage_of_redis(redis_app):
    """After the same 19 seconds, although the result comes in the end."""

    @redis_app.task(name="shop.slow")
    def slow():
        time.sleep(60)
        return "done"

    with simulate(redis_app) as flow:
        result = slow.delay()
        flow.clock.at("10s", lambda: flow.faults.backend.down(for_="40s"))
        with pytest.raises(gives_up()):
            result.get()
        assert flow.clock.elapsed == 29
        flow.drain()
        assert result.get() == "done"
