"""Virtual time: whoever imported what in which way, freezegun, asyncio."""

import asyncio
import datetime
import random
import sys
import time
import types
import uuid
from contextlib import ExitStack, nullcontext
from datetime import datetime as imported_datetime
from datetime import timedelta
from time import monotonic as imported_monotonic
from time import sleep as imported_sleep

import pytest
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory

from pytest_celeryflow import CeleryflowError, WorkflowStalled, run_eager, run_worker, simulate
from pytest_celeryflow.durations import duration, seconds

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_the_clock_starts_where_it_is_told(app):
    """`start` is the first moment."""
    with simulate(app, start="2030-05-06T07:08:09Z") as flow:
        assert flow.clock.now == datetime.datetime(2030, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)


@pytest.mark.parametrize("sleep", [time.sleep, imported_sleep], ids=["time.sleep", "sleep"])
def test_sleep_in_a_test_passes_virtual_time(app, sleep):
    """Found by attribute or by name, though not by a reference that was taken before."""
    del sleep
    with simulate(app) as flow:
        time.sleep(100)
        imported_sleep(100)
        assert flow.clock.elapsed == 200


def test_every_clock_agrees(app):
    """`time`, `monotonic` and `datetime` read the same clock, however they were imported."""
    with simulate(app):
        before = time.time(), time.monotonic(), imported_monotonic(), imported_datetime.now()
        time.sleep(90)
        after = time.time(), time.monotonic(), imported_monotonic(), imported_datetime.now()
    assert [b - a for a, b in zip(before, after, strict=True)] == [90, 90, 90, timedelta(seconds=90)]


def test_sleep_in_a_task_passes_virtual_time(app):
    """A task that sleeps takes that long, and no time at all."""

    @app.task
    def nap():
        began = time.monotonic()
        imported_sleep(3600)
        return time.monotonic() - began

    with simulate(app) as flow:
        assert flow.run(nap.s()).value == 3600


def test_real_functions_are_back_afterwards(app):
    """Nothing of the virtual clock is left, also after an exception."""
    kept = time.sleep, time.time, uuid.uuid4, imported_sleep
    with pytest.raises(ZeroDivisionError), simulate(app):
        raise ZeroDivisionError
    assert (time.sleep, time.time, uuid.uuid4, imported_sleep) == kept
    assert abs((imported_datetime.now(datetime.UTC) - START).days) > 30


def test_negative_sleep_is_an_error_as_ever(app):
    """The stand-in refuses what the real one refuses."""
    with simulate(app), pytest.raises(ValueError, match="non-negative"):
        time.sleep(-1)


def test_advance_runs_what_is_due_meanwhile(app, add):
    """Everything due on the way runs at its own moment."""
    with simulate(app) as flow:
        add.apply_async((1, 1), countdown=600)
        add.apply_async((2, 2), countdown=7200)
        flow.clock.advance("1h")
        assert [e.started_at for e in flow.history.executions()] == [600]
        assert flow.clock.elapsed == 3600


def test_advance_to_the_past_is_refused(app):
    """Virtual time moves forward only."""
    with simulate(app) as flow, pytest.raises(ValueError, match="lies before the present"):
        flow.clock.advance_to("2020-01-01T00:00:00Z")


def test_at_calls_in_time(app):
    """A call is made at its moment, between two steps."""
    seen = []
    with simulate(app) as flow:
        flow.clock.at("10m", lambda: seen.append(flow.clock.elapsed))
        flow.clock.advance("1h")
    assert seen == [600]


def test_what_at_raises_reaches_the_test(app):
    """An assertion in such a call fails the test."""

    def check():
        raise AssertionError("at ten")

    with simulate(app) as flow:
        flow.clock.at("10m", check)
        with pytest.raises(AssertionError, match="at ten"):
            flow.clock.advance("1h")


def test_freeze_time_around_sets_the_start(app):
    """An active `freeze_time` is this clock."""
    with freeze_time("2027-03-04 05:06:07"), simulate(app) as flow:
        assert flow.clock.now.isoformat() == "2027-03-04T05:06:07+00:00"


@freeze_time("2027-03-04")
def test_freeze_time_as_a_decorator(app):
    """Also as a decorator of the test."""
    with simulate(app) as flow:
        assert flow.clock.now.date() == datetime.date(2027, 3, 4)


@pytest.fixture
def again(app):
    """A task that succeeds at its third attempt, an hour after the second; the moments of each."""

    @app.task(name="shop.again", bind=True, max_retries=2)
    def again(self):
        again.at.append(datetime.datetime.now().isoformat())
        if self.request.retries < 2:
            raise self.retry(countdown=3600)

    again.at = []
    return again


HOURLY = ["2027-03-04T00:00:00", "2027-03-04T01:00:00", "2027-03-04T02:00:00"]


@pytest.mark.parametrize(
    "move",
    [
        lambda frozen: frozen.tick(7200),
        lambda frozen: frozen.tick(7200.0),
        lambda frozen: frozen.tick(datetime.timedelta(hours=2)),
        lambda frozen: frozen.tick(delta=datetime.timedelta(hours=2)),
        lambda frozen: frozen.move_to("2027-03-04 02:00"),
        lambda frozen: frozen.move_to(datetime.datetime(2027, 3, 4, 2)),  # noqa: DTZ001
        lambda frozen: [frozen.tick(60) for _ in range(120)],
    ],
    ids=["seconds", "float", "timedelta", "keyword", "text", "datetime", "step by step"],
)
@pytest.mark.parametrize("outside", [True, False], ids=["around", "inside"])
def test_freezegun_drives_the_simulation(app, again, move, outside):
    """What is due while it moves time happens at its own moment, without a `drain`."""
    with ExitStack() as stack:
        if outside:
            frozen = stack.enter_context(freeze_time("2027-03-04"))
        flow = stack.enter_context(simulate(app))
        if not outside:
            frozen = stack.enter_context(freeze_time("2027-03-04"))
        again.delay()
        move(frozen)
        assert again.at == HOURLY
        assert flow.clock.elapsed == 7200
        assert datetime.datetime.now().isoformat() == HOURLY[-1]


def test_a_freeze_that_ticks_by_itself_drives_too(app, again):
    """`freeze_time(tick=True)`: real time goes on in it, and `tick` moves it besides."""
    with freeze_time("2027-03-04", tick=True) as frozen, simulate(app) as flow:
        again.delay()
        frozen.tick(7300)
        flow.assert_ran(again, times=3)


def test_freezegun_goes_back(app):
    """The date changes; nothing is undone and nothing happens twice."""
    with freeze_time("2027-03-04") as frozen, simulate(app):
        frozen.move_to("2020-01-01")
        assert datetime.datetime.now().isoformat() == "2020-01-01T00:00:00"


def test_freezegun_in_a_task_lets_time_pass_there(app, add):
    """A body that moves the time waits so long."""
    with freeze_time("2027-03-04") as frozen, simulate(app) as flow:

        @app.task(name="shop.slow")
        def slow():
            frozen.tick(60)
            return datetime.datetime.now().isoformat()

        run = flow.run(slow.s())
        assert run.value == "2027-03-04T00:01:00"
        assert run.elapsed == 60


def test_freezegun_is_put_back(app):
    """Outside a simulation it is as it was."""
    before = FrozenDateTimeFactory.tick, FrozenDateTimeFactory.move_to
    with simulate(app):
        assert FrozenDateTimeFactory.tick is not before[0]
    assert (FrozenDateTimeFactory.tick, FrozenDateTimeFactory.move_to) == before


def test_at_a_moment_that_is_past(app):
    """It would never come."""
    with simulate(app) as flow, pytest.raises(ValueError, match="lies before the present"):
        flow.clock.at(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), print)


def test_freeze_time_inside_changes_the_date_and_not_what_elapsed(app):
    """Entering and leaving a freeze during the simulation."""
    with simulate(app) as flow:
        time.sleep(5)
        with freeze_time("2040-01-01"):
            assert flow.clock.now.year == 2040
            assert flow.clock.elapsed == 5
            time.sleep(5)
            assert flow.clock.elapsed == 10
        assert flow.clock.now.year == 2026


def test_asyncio_run_in_a_task(app):
    """An event loop's sleep is virtual."""

    @app.task
    def wait():
        async def both():
            await asyncio.gather(asyncio.sleep(30), asyncio.sleep(60))
            return "woken"

        return asyncio.run(both())

    with simulate(app) as flow:
        run = flow.run(wait.s())
    assert (run.value, run.elapsed) == ("woken", 60)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_coroutine_that_opens_a_simulation(app, add, frozen):
    """Its own loop runs already: what it awaits is virtual from then on, and real afterwards."""

    async def test():
        async with asyncio.timeout(20) as real:
            with simulate(app) as flow:
                assert flow.run(add.s(1, 2)).value == 3
                await asyncio.sleep(10)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(5):
                        await asyncio.sleep(60)
                late = asyncio.ensure_future(asyncio.sleep(0.001))
            assert flow.clock.elapsed == 15
            if not frozen:
                await late
        assert not real.expired()

    with freeze_time("2030-01-01") if frozen else nullcontext():
        asyncio.run(test())


def test_asyncio_timeout_in_a_task(app):
    """So is its timeout."""

    @app.task
    def wait():
        async def late():
            async with asyncio.timeout(10):
                await asyncio.sleep(60)

        try:
            asyncio.run(late())
        except TimeoutError:
            return "late"

    with simulate(app) as flow:
        run = flow.run(wait.s())
    assert (run.value, run.elapsed) == ("late", 10)


def test_asyncio_tasks_run_side_by_side(app):
    """Two tasks with event loops of their own wait at the same time."""
    from celery import group

    @app.task
    def wait():
        asyncio.run(asyncio.sleep(30))

    with simulate(app) as flow:
        assert flow.run(group(wait.s(), wait.s())).elapsed == 30


def test_asyncio_waits_for_a_thread_in_real_time(app):
    """A loop that waits for a real thread gets its answer."""

    @app.task
    def wait():
        return asyncio.run(asyncio.to_thread(lambda: 42))

    with simulate(app) as flow:
        assert flow.run(wait.s()).value == 42


def test_asyncio_waits_for_what_another_task_does(app):
    """A future that is set while the loop waits, within the same simulation."""
    from celery import group

    futures = []

    @app.task
    def wait():
        async def wait_for_it():
            futures.append(asyncio.get_running_loop().create_future())
            return await futures[0]

        return asyncio.run(wait_for_it())

    @app.task
    def answer():
        time.sleep(60)
        futures[0].set_result("answered")

    with simulate(app) as flow:
        run = flow.run(group(wait.s(), answer.s()))
    assert run.value == ["answered", None]
    assert run.elapsed == 60


def test_asyncio_that_waits_in_vain_is_a_stall(app, monkeypatch):
    """A future that nobody sets, although other threads could."""
    from pytest_celeryflow.sim import aio

    monkeypatch.setattr(aio, "_PATIENCE", 0.001)

    @app.task(name="shop.wait")
    def wait():
        async def for_ever():
            await asyncio.get_running_loop().create_future()

        asyncio.run(for_ever())

    with simulate(app) as flow:
        assert "wait#1" in flow.run(wait.s()).verdict.hung


def test_random_and_uuid_are_seeded_and_put_back(app):
    """Inside, both follow the seed; afterwards `random` goes on where it was."""
    state = random.getstate()

    def draw():
        with simulate(app, seed=7):
            return random.random(), uuid.uuid4()

    assert draw() == draw()
    assert random.getstate() == state


def test_another_thread_cannot_wait(app, add):
    """The simulation belongs to one thread; another is told so."""
    import threading

    errors = []

    def wait():
        try:
            add.delay(1, 2).get()
        except CeleryflowError as exc:
            errors.append(str(exc))

    with simulate(app):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(10)
    assert "belongs to the thread that opened it" in errors[0]


def test_a_second_simulation_in_another_thread_is_refused(app):
    """Virtual time is one for the whole process."""
    import threading

    from pytest_celeryflow.borrow import FreshApp

    errors = []

    def simulate_too():
        with FreshApp("other", set_as_current=False) as other:
            try:
                with simulate(other):
                    pass
            except CeleryflowError as exc:
                errors.append(str(exc))

    with simulate(app):
        thread = threading.Thread(target=simulate_too)
        thread.start()
        thread.join(10)
    assert "open in another thread" in errors[0]


def test_sleeping_when_nothing_is_left_is_allowed(app):
    """A plain sleep at rest is not a stall."""
    with simulate(app) as flow:
        time.sleep(1)
        assert flow.clock.elapsed == 1


def test_a_busy_wait_for_nothing_is_bounded(app):
    """A loop that sleeps and looks for a result that cannot come is ended."""
    with simulate(app), pytest.raises(WorkflowStalled, match="keeps sleeping"):
        while not app.AsyncResult("never").ready():
            time.sleep(1)


@pytest.mark.parametrize("context", [run_eager, run_worker])
def test_real_time_cannot_be_moved(app, context):
    """The other modes say which one can."""
    with context(app) as flow, pytest.raises(CeleryflowError, match="use mode 'sim'"):
        flow.clock.advance("1h")


@pytest.mark.parametrize(
    ("given", "expected"),
    [(5, 5), (0.5, 0.5), ("90s", 90), ("1h 30m", 5400), ("500ms", 0.5), (timedelta(days=1), 86400)],
)
def test_lengths_of_time(given, expected):
    """Seconds, text and timedelta mean the same."""
    assert seconds(given) == expected


@pytest.mark.parametrize("given", ["", "soon", "5", "5 parsecs", -1, None, True, float("inf")])
def test_bad_lengths_of_time(given):
    """What is none is refused, and told how to write one."""
    with pytest.raises(ValueError, match="is not a length of time: give seconds"):
        seconds(given)


def test_a_module_first_seen_frozen_is_virtual_later(app, monkeypatch):
    """What a module holds is judged the same whether or not the user's freeze was on then."""
    module = types.ModuleType("seen_frozen_first")
    monkeypatch.setitem(sys.modules, "seen_frozen_first", module)
    module.datetime = imported_datetime
    with freeze_time("2020-01-01"), simulate(app):
        pass
    with simulate(app) as flow:
        assert module.datetime.now(datetime.UTC) == flow.clock.now


@pytest.mark.parametrize(
    ("seconds_", "said"),
    [
        (0.0004, "0s"),
        (0.25, "250ms"),
        (0.99972, "0.9997s"),
        (1.5, "1.5s"),
        (59.998, "1m"),
        (60, "1m"),
        (7500, "2h 5m"),
        (-3, "-3s"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds_, said):
    """Rounding never yields a unit too many."""
    assert duration(seconds_) == said
