"""Oracles on a small scheduler of their own: what each promises."""

from itertools import count

import pytest

from pytest_celeryflow.explore.crash_points import CrashPoints
from pytest_celeryflow.explore.depth_first import DepthFirst
from pytest_celeryflow.explore.first import FirstInFirstOut
from pytest_celeryflow.explore.pct import Pct
from pytest_celeryflow.explore.uniform import Uniform
from pytest_celeryflow.sim.oracle import Choice, Step


class Toy:
    """Actors that take turns; each is a generator function, and shares a dict."""

    def __init__(self, **actors):
        self.actors = actors

    def run(self, oracle):
        """One schedule; the order of the actors' steps, and what they left."""
        shared, steps, order = {}, [], []
        live = {name: actor(shared) for name, actor in self.actors.items()}
        while live:
            names = tuple(live)
            taken = 0
            if len(names) > 1:
                choice = Choice("move", names, names)
                taken = oracle.choose(choice)
                steps.append(Step(choice, taken))
            order.append(names[taken])
            try:
                next(live[names[taken]])
            except StopIteration:
                del live[names[taken]]
        oracle.end(steps)
        return "".join(order), shared


def orders(toy, oracle):
    """The order of each schedule until the oracle has no more."""
    found = []
    for schedule in count():
        if not oracle.begin(schedule):
            break
        found.append(toy.run(oracle)[0])
    return found


def walk(steps):
    def actor(shared):
        for _ in range(steps):
            yield

    return actor


def test_first_in_first_out_is_one_schedule():
    """The default one."""
    assert orders(Toy(a=walk(1), b=walk(1)), FirstInFirstOut()) == ["aabb"]


def test_depth_first_tries_every_schedule_once_a_bound():
    """All interleavings of two actors with two steps each: four over two."""
    oracle = DepthFirst(1000)
    found = orders(Toy(a=walk(1), b=walk(1)), oracle)
    assert oracle.complete
    assert set(found) == {"aabb", "abab", "abba", "baab", "baba", "bbaa"}


def test_depth_first_tries_fewer_departures_first():
    """The default schedule, then those with one departure."""
    found = orders(Toy(a=walk(1), b=walk(1)), DepthFirst(4))
    assert found[0] == "aabb"
    assert found[1:4] == ["aabb", "abab", "baab"]


def test_depth_first_says_when_it_was_cut_short():
    """The runs were used up."""
    oracle = DepthFirst(3)
    orders(Toy(a=walk(3), b=walk(3)), oracle)
    assert not oracle.complete


def test_random_begins_with_the_default_schedule():
    """So that a test that fails without exploring fails at once."""
    assert orders(Toy(a=walk(2), b=walk(2)), Uniform(5, 0, 0))[0] == "aaabbb"


def test_random_is_the_same_for_a_seed():
    """And another for another."""
    one, same, other = (
        orders(Toy(a=walk(5), b=walk(5)), Uniform(10, 0, seed)) for seed in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_crash_points_take_each_opportunity_in_turn(depth):
    """One fault a schedule, and none in the first."""
    oracle, taken = CrashPoints(100), []
    choice = Choice("fault", ("nothing", "x", "y"), ("a", "a", "a"))
    for schedule in count():
        if not oracle.begin(schedule):
            break
        answers = [oracle.choose(choice) for _ in range(depth)]
        oracle.end([Step(choice, answer) for answer in answers])
        taken.append(answers)
    none = [0] * depth
    assert taken[0] == none
    assert len(taken) == 1 + 2 * depth
    assert len({tuple(t) for t in taken}) == len(taken)
    assert oracle.complete


LONG = 40


def _writer(shared):
    """Leaves the thing half done between two of its steps."""
    yield from walk(3)(shared)
    shared["half"] = True
    yield
    shared["half"] = False


def _reader(shared):
    """Sees the thing half done from its first step to its last, and the flag in between."""
    seen = [shared.get("half")]
    for _ in range(LONG):
        yield
        seen.append(shared.get("half"))
    shared["bug"] = all(seen) and shared.get("flag") is True


def _flagger(shared):
    """Raises the flag, at the end of a walk of its own, once the reader is on its way."""
    yield from walk(3)(shared)
    shared["flag"] = shared.get("half") is True


def test_pct_finds_a_depth_3_bug_that_random_schedules_miss():
    """Three ordering constraints: half < read, flag within, read < whole.

    The reader takes forty steps while the writer stands between two of its own: of a random
    walk that is not to be expected; PCT needs its two priority changes at the right steps.
    """
    toy = Toy(w=_writer, r=_reader, f=_flagger)

    def bugs(oracle):
        found = 0
        for schedule in count():
            if not oracle.begin(schedule):
                break
            found += bool(toy.run(oracle)[1].get("bug"))
        return found

    assert bugs(Uniform(1000, 0, 0)) == 0
    assert bugs(Pct(1000, 0, 0, depth=3)) > 0


def test_pct_holds_its_bound():
    """At least one schedule in n * k ** (d - 1) finds a bug of depth d, sampling error aside."""
    seen, length = [], 10

    def reader(shared):
        values = [shared.get("half")]
        for _ in range(length):
            yield
            values.append(shared.get("half"))
        seen.append(all(values))

    orders(Toy(w=_writer, r=reader), Pct(4000, 0, 0, depth=2))
    actors, steps = 2, 6 + length + 1
    assert sum(seen) / len(seen) >= 0.8 / (actors * steps)
