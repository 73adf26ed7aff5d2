"""Events, executions, histories: pure data."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_celeryflow import Event, History, simulate
from pytest_celeryflow.history import KINDS, Opaque

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
events = st.builds(
    Event,
    number=st.integers(0, 99),
    at=st.floats(0, 1e6),
    kind=st.sampled_from(KINDS),
    task=st.none() | st.just("shop.add"),
    id=st.none() | st.text(max_size=4),
    label=st.none() | st.just("add#1"),
    worker=st.none() | st.just("w1"),
    execution=st.none() | st.integers(1, 9),
    details=st.dictionaries(st.text(min_size=1, max_size=4), json_values, max_size=3),
)


@given(st.lists(events, max_size=6))
def test_json_round_trip(listed):
    """What is JSON comes back equal, and with the same digest."""
    history = History(listed)
    back = History.from_json(history.to_json())
    assert back == history
    assert back.digest() == history.digest()


def test_what_json_cannot_carry_comes_back_as_text():
    """The digest survives all the same."""
    history = History([Event(0, 0.0, "failed", details={"error": ValueError("no"), "args": {3, 1, 2}})])
    back = History.from_json(history.to_json())
    assert back[0].details["error"] == Opaque("ValueError('no')")
    assert back.digest() == history.digest()


def test_a_history_equals_what_comes_back_from_json(app):
    """Though JSON has neither tuples nor exceptions."""

    @app.task(name="shop.broken")
    def broken(*args):
        raise ValueError("no")

    with simulate(app) as flow:
        history = flow.run(broken.s(1, 2)).history
    back = History.from_json(history.to_json())
    assert back == history
    assert set(back) == set(history)
    assert back != history[:-1]
    assert replace(history[0], details={"args": (1, 3)}) != history[0]


def test_text_that_is_no_history_is_refused():
    """With a word on what it should be."""
    with pytest.raises(ValueError, match=r"not a history as History\.to_json writes it"):
        History.from_json('[{"at": 1}, 5]')


def test_digest_ignores_times_ids_and_addresses():
    """Two runs that did the same agree, on whatever machine."""
    one = History([Event(0, 0.1, "succeeded", id="a", label="f#1", details={"result": object()})])
    two = History([Event(0, 9.9, "succeeded", id="b", label="f#1", details={"result": object()})])
    assert one.digest() == two.digest()


def test_digest_sees_the_order():
    """Doing the same things in another order is another history."""
    a, b = Event(0, 0.0, "started", label="a#1"), Event(1, 0.0, "started", label="b#1")
    assert History([a, b]).digest() != History([b, a]).digest()


def test_a_slice_is_a_history():
    """And an index an event."""
    history = History([Event(n, 0.0, "clock") for n in range(3)])
    assert isinstance(history[1:], History)
    assert history[2].number == 2


def test_unknown_kinds_are_refused():
    """`only` lists the kinds there are."""
    with pytest.raises(ValueError, match="kind 'done' is not one of published, received"):
        History().only("done")


def test_an_execution_joins_its_beginning_and_its_end():
    """Arguments come from the one, state and result from the other."""
    history = History(
        [
            Event(0, 1.0, "started", "shop.add", "i", "add#1", "w1", 1, {"args": (1, 2)}),
            Event(1, 3.0, "succeeded", "shop.add", "i", "add#1", "w1", 1, {"result": 3}),
        ]
    )
    (execution,) = history.executions()
    assert (execution.args, execution.state, execution.result) == ((1, 2), "SUCCESS", 3)
    assert (execution.started_at, execution.finished_at) == (1.0, 3.0)


def test_an_execution_without_an_end_is_still_started():
    """Nothing is made up for it."""
    history = History([Event(0, 1.0, "started", "shop.add", "i", "add#1", "w1", 1)])
    assert history.executions()[0].state == "STARTED"
    assert history.executions()[0].finished_at is None


def test_the_clock_is_in_the_history(app, add):
    """Each time that it moved, and outside the digest."""
    with simulate(app) as flow:
        add.apply_async((1, 2), countdown=60).get()
    moves = flow.history.only("clock")
    assert [(e.at, e.details["now"]) for e in moves] == [(60, "2026-01-01T00:01:00+00:00")]


def test_events_cannot_be_changed():
    """They are frozen."""
    with pytest.raises(AttributeError):
        Event(0, 0.0, "clock").at = 1.0


@pytest.mark.parametrize(("left", "other"), [(2.999, 2.98), (3.0, 2.999)])
def test_digest_ignores_what_a_real_clock_takes_from_a_countdown(left, other):
    """Three seconds are three seconds, measured a moment later."""
    histories = [
        History([Event(0, 0.0, "published", "t", "a", "t#1", details={"countdown": seconds})])
        for seconds in (left, other)
    ]
    assert histories[0].digest() == histories[1].digest()
