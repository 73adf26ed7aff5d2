"""Exploring a function: what is found, what is said of it, and that it happens again."""

import inspect
import random
import re
import threading
from importlib import import_module

import pytest

from pytest_celeryflow import (
    CeleryflowAssertionError,
    CrashPoint,
    History,
    assert_idempotent,
    crash_everywhere,
    explore,
    simulate,
)
from pytest_celeryflow.explore import ReplayMismatch


def test_a_race_between_two_header_tasks_is_found(shop):
    """Both read before either writes: two departures from the default order, and no fewer."""
    found = explore(shop.race, app=shop.app, faults=())
    assert found.failure is not None
    assert found.failure.story == [
        "bump#2 is delivered to w1, before bump#1 starts in w1",
        "bump#2 starts in w1, before bump#1 goes on",
    ]


@pytest.mark.parametrize("strategy", ["random", "pct", "dfs"])
def test_each_strategy_finds_the_race(shop, strategy):
    """Each in its own way."""
    found = explore(shop.race, app=shop.app, faults=(), strategy=strategy)
    assert found.failure is not None
    assert len(found.failure.story) == 2


def test_a_double_charge_is_found_by_its_crash_point(shop):
    """Every crash point in turn; the first that shows it."""
    found = explore(shop.pay, app=shop.app, strategy="crash_points")
    assert found.failure.story == ["the process of charge#1 is killed in the body"]


@pytest.mark.parametrize(
    ("fault", "story"),
    [
        ("crash", r"(the process of charge#1|w1) is killed .*"),
        ("duplicate", r"the message of charge#1 comes twice"),
    ],
)
def test_a_double_charge_is_found_by_each_fault_that_shows_it(shop, fault, story):
    """One fault, nothing else."""
    found = explore(shop.pay, app=shop.app, faults=(fault,))
    (sentence,) = found.failure.story
    assert re.fullmatch(story, sentence)


def test_a_lost_message_is_found(shop):
    """`drop`: the workflow can never end."""
    found = explore(shop.fine, app=shop.app, faults=("drop",))
    assert "was dropped on its way" in str(found.failure.error)
    assert found.verdicts["hung"] == 1


def test_a_delay_is_found(shop):
    """A task that takes longer than the body expects."""

    def body(flow):
        assert flow.run(shop.slow.s(1)).elapsed < 3

    found = explore(body, app=shop.app, faults=("delay",), delay="1m")
    assert found.failure.story == ["slow#1 takes 60 s longer"]


def test_nothing_to_find(shop):
    """Each schedule is counted, and each history once."""
    found = explore(shop.fine, app=shop.app, faults=(), runs=40)
    assert found.ok
    assert found.schedules == 40
    assert 1 < found.histories <= 40
    assert str(found).endswith("distinct histories: nothing failed")


def test_depth_first_says_when_it_was_complete(shop):
    """A single task and its link have few schedules; all are tried, and none twice in a history."""

    def body(flow):
        assert flow.run(shop.add.s(1, 2) | shop.add.s(3)).value == 6

    found = explore(body, app=shop.app, faults=(), strategy="dfs")
    assert found.complete
    assert "which is all there are" in str(found)


def test_crash_points_say_when_they_were_complete(shop):
    """Each point of each execution, once."""

    def body(flow):
        flow.run(shop.add.s(1, 2))

    found = explore(body, app=shop.app, strategy="crash_points")
    assert found.complete
    assert found.schedules == 15  # none, and 14 crashes at 8 points


def test_no_more_faults_than_allowed(shop):
    """`max_faults` bounds each schedule."""
    seen = []

    def body(flow):
        flow.run(shop.charge.s(1) | shop.add.s(2))
        seen.append(sum(e.kind == "fault" for e in flow.history))

    explore(body, app=shop.app, runs=60, max_faults=2)
    assert max(seen) == 2


def test_a_failure_replays(shop):
    """The string makes the same choices, and the same failure."""
    found = explore(shop.race, app=shop.app, faults=())
    again = explore(shop.race, app=shop.app, replay=found.failure.replay)
    assert again.schedules == 1
    assert again.failure.replay == found.failure.replay
    assert again.failure.history.digest() == found.failure.history.digest()


def test_a_failure_with_a_fault_replays(shop):
    """Which faults could strike is part of the string."""
    found = explore(shop.pay, app=shop.app, faults=("crash", "duplicate"))
    again = explore(shop.pay, app=shop.app, replay=found.failure.replay)
    assert again.failure.story == found.failure.story


def test_a_replay_that_no_longer_fits(shop):
    """It says at which step, what it wants, and what could happen."""
    found = explore(shop.race, app=shop.app, faults=())
    with pytest.raises(ReplayMismatch) as misfit:
        explore(shop.fine, app=shop.app, faults=(), replay=found.failure.replay)
    assert str(misfit.value) == (
        "the replay does not fit any more: at step 0 it wants\n"
        "  bump#2 is delivered to w1\n"
        "and what could happen there is\n"
        "  add#1 starts in w1\n"
        "  add#2 is delivered to w1\n"
        "The code, the test or a version changed since it was recorded: explore anew. Or else "
        "the\norder of a set decides, which differs from process to process: try PYTHONHASHSEED=0."
    )


def test_a_repaired_function_passes_its_replay(shop):
    """The regression test of a repaired bug passes."""
    found = explore(shop.pay, app=shop.app, faults=("duplicate",))

    def repaired(flow):
        shop.charged.clear()
        flow.run(shop.charge.s(7) | shop.add.s(1))
        assert set(shop.charged) == {7}

    again = explore(repaired, app=shop.app, faults=("duplicate",), replay=found.failure.replay)
    assert again.ok


def test_the_same_seed_finds_the_same(shop):
    """Another seed may find another schedule."""
    one, other = (explore(shop.pay, app=shop.app, seed=5) for _ in range(2))
    assert one.schedules == other.schedules
    assert one.failure.replay == other.failure.replay


def test_what_is_random_outside_the_simulation_is_told(shop):
    """The same choices, another history: where they part, and where to look."""
    source = random.SystemRandom()

    @shop.app.task(name="shop.unsure")
    def unsure():
        return source.random()

    def body(flow):
        flow.run(unsure.s())
        flow.run(shop.slow.s(1))
        raise AssertionError

    found = explore(body, app=shop.app, faults=())
    assert "The same choices led to another history" in str(found)
    parted = r"They part at event \d+: unsure#1 succeeded in w1: result was [\d.e-]+, then [\d.e-]+\."
    assert re.search(parted, str(found))


def test_real_threads_are_told(shop):
    """A failure that the next run does not have."""
    failed = threading.Event()

    def body(flow):
        flow.run(shop.add.s(1, 2))
        if not failed.is_set():
            failed.set()
            raise AssertionError("once")

    found = explore(body, app=shop.app, faults=())
    assert "something outside the simulation decides too" in str(found)


def test_what_should_be_so_at_least_once(shop):
    """`sometimes`: true in one schedule is enough; in none is a failure."""

    def body(flow):
        shop.stock["n"] = 0
        flow.run(shop.group(shop.bump.s(1), shop.bump.s(2)))
        flow.sometimes("an update is lost", shop.stock["n"] != 3)
        flow.sometimes("the moon is blue", condition=False)

    found = explore(body, app=shop.app, faults=(), runs=30)
    assert found.wishes == {"an update is lost": True, "the moon is blue": False}
    assert not found.ok
    with pytest.raises(CeleryflowAssertionError, match=r"never in 30 schedules: the moon is blue"):
        found.check()


def test_an_invariant_is_checked_in_every_schedule(shop):
    """`always` breaks at the event that breaks it."""

    def body(flow):
        shop.charged.clear()
        flow.always(lambda: len(shop.charged) <= 1, "charged at most once")
        flow.run(shop.charge.s(7))

    found = explore(body, app=shop.app, faults=("crash",))
    assert str(found.failure.error).startswith("charged at most once is no longer true after:")


def test_tasks_of_the_body_are_new_in_each_schedule(shop):
    """A closure of the first run must not serve the second."""
    sizes = []

    def body(flow):
        mine = []

        @shop.app.task(name="shop.inner")
        def inner():
            mine.append(1)

        flow.run(inner.s())
        sizes.append(len(mine))

    explore(body, app=shop.app, faults=(), runs=5)
    assert sizes == [1] * 5
    assert "shop.inner" not in shop.app.tasks


def test_the_report_of_a_failure(shop):
    """How many, what, the story, the timeline, the string."""
    found = explore(shop.pay, app=shop.app, strategy="crash_points")
    replay = found.failure.replay
    assert str(found) == (
        "a schedule fails: the last of 6 schedules (crash_points), 6 distinct histories\n"
        "\n"
        "AssertionError: charged [7, 7]\n"
        "\n"
        "The smallest story that fails (1 of 1 choices, after 2 tries):\n"
        "  1. the process of charge#1 is killed in the body\n"
        "\n"
        "0s  charge#1  ▸ started with (7)\n"
        "    charge#1  ⚡ the process of charge#1 is killed in the body\n"
        "    charge#1  ☠ lost: its process was killed in the body\n"
        "    charge#1  ⟲ back in queue 'celery'\n"
        "    charge#1  ▸ started with (7), redelivered\n"
        "    charge#1  ✓ returned 7\n"
        "    add#1     ▸ started with (7, 1)\n"
        "    add#1     ✓ returned 8\n"
        "\n"
        f"Replay: {replay}\n"
        "Keep it as a regression test:\n"
        f'        @pytest.mark.celeryflow_explore(replay="{replay}")'
    )


def test_shrinking_ends_with_its_budget(shop):
    """It says that it may not be the smallest."""
    found = explore(shop.race, app=shop.app, faults=(), shrink_runs=1, seed=3)
    assert found.failure.tries == 1
    assert (
        "choices, after 1 tries; the tries were used up, so it may not be the smallest: "
        "shrink_runs= gives more):\n"
    ) in str(found)


def test_crash_everywhere(shop):
    """A workflow that survives, and one that does not."""
    assert crash_everywhere(shop.safe.s(1) | shop.safe.s()).complete
    with pytest.raises(CeleryflowAssertionError, match=r"add#1 was lost|WorkerLostError"):
        crash_everywhere(shop.add.s(1, 2))


def test_assert_idempotent(shop):
    """The same effects, however often it is delivered."""
    shop.charged.clear()
    assert_idempotent(shop.safe.s(1), effects=lambda: shop.charged)
    assert_idempotent(shop.safe.s(1), effects=lambda: len(shop.charged), reset=shop.charged.clear)
    with pytest.raises(CeleryflowAssertionError) as failed:
        assert_idempotent(shop.charge.s(1), effects=lambda: shop.charged)
    assert "the workflow is not idempotent: its effects are [1, 1], and without a fault [1]" in str(
        failed.value
    )


def test_effects_that_last_need_a_reset(shop):
    """Or the second run would have nothing left to do twice."""
    with pytest.raises(ValueError, match="give reset=, which brings back the state before"):
        assert_idempotent(shop.safe.s(1), effects=lambda: len(shop.charged))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": "clever"}, "strategy='clever' is not one of 'random', 'pct', 'dfs', 'crash"),
        ({"faults": ("earthquake",)}, "faults: 'earthquake' is not one of 'crash', 'duplicate',"),
        ({"faults": "crash"}, "faults='crash' must be a list of some of crash, duplicate, drop"),
        ({"runs": 0}, "runs=0 must be a whole number, 1 or more"),
        ({"max_faults": -1}, "max_faults=-1 must be a whole number, 0 or more"),
        ({"replay": "cf9:abc"}, "replay='cf9:abc' is not a replay string of this version"),
        ({"replay": "cf1:abc"}, "replay='cf1:abc' was damaged, perhaps cut off"),
        ({"workers": 0}, "workers=0 must be a whole number, 1 or more"),
    ],
)
def test_a_bad_argument_is_an_error_at_once(shop, wrong, message):
    """It names the argument and lists what is valid."""
    with pytest.raises(ValueError) as refused:
        explore(shop.fine, app=shop.app, **wrong)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fn": "body"}, "fn='body' cannot be called; it is a function that is given a flow"),
        ({"app": "shop"}, "app='shop' is not a Celery app"),
        ({"rnus": 5}, "explore() has no argument 'rnus'; of simulate() it takes workers,"),
    ],
)
def test_what_cannot_be_explored_is_refused(shop, wrong, message):
    """Not told as a failure of a schedule."""
    with pytest.raises(TypeError) as refused:
        explore(**{"fn": shop.fine, "app": shop.app, **wrong})
    assert str(refused.value).startswith(message)


def test_the_signature_is_that_of_the_function():
    """The package of the same name is callable, and bound to the name once it is loaded."""
    for name in ("explore", "lint", "shape"):
        package = import_module(f"pytest_celeryflow.{name}")
        assert inspect.signature(package) == inspect.signature(getattr(package, name))


def test_a_run_is_the_same_whether_it_is_explored_or_not(shop):
    """The first schedule of an exploration is the plain simulation's.

    Acknowledgements aside: before Celery 5.6 the worker's loop sends them, and it may go round
    where a task yields.
    """
    histories = []

    def body(flow):
        shop.fine(flow)
        told = History(event for event in flow.history if event.kind != "acked")
        histories.append(told.digest())

    explore(body, app=shop.app, faults=(), runs=1)
    with simulate(shop.app) as flow:
        body(flow)
    assert len(set(histories)) == 1


def test_a_task_of_the_body_is_killed_in_its_body_too(shop):
    """It is not known yet when the exploration begins."""
    reached = set()

    def body(flow):
        @shop.app.task(name="shop.inner", acks_late=True, reject_on_worker_lost=True)
        def inner():
            return 1

        run = flow.run(inner.s())
        reached.update(e.details["reason"] for e in run.history.only("fault"))

    explore(body, app=shop.app, strategy="crash_points")
    assert "the process of inner#1 is killed in the body" in reached


def test_a_crash_of_the_test_and_one_of_the_exploration(shop):
    """Each strikes once."""

    def body(flow):
        flow.faults.crash(shop.safe, at=CrashPoint.IN_BODY)
        assert flow.run(shop.safe.s(1)).value == 1

    found = explore(body, app=shop.app, strategy="crash_points")
    assert found.ok
