"""Where everything goes in the drawing of a history."""

from pytest_celeryflow import Event, History
from pytest_celeryflow.report.lanes import lanes


def told(*rows):
    """A history: (seconds, kind, label, worker, execution) each, and details."""
    events = []
    for n, row in enumerate(rows):
        at, kind, label, worker, execution, *details = (*row, *[None] * (5 - len(row)))
        task = label and f"shop.{label.partition('#')[0]}"
        events.append(
            Event(n, at, kind, task, label, label, worker, execution, *(details or [{}]))
        )
    return History(events)


def started(at, label, worker, execution, **details):
    return at, "started", label, worker, execution, {"args": (), **details}


def ended(at, label, worker, execution, kind="succeeded"):
    return at, kind, label, worker, execution, {}


def test_a_lane_for_each_worker_and_a_row_for_what_runs_at_once():
    """Two at once on w1 take two rows; the third takes the first that is free."""
    drawing = lanes(
        told(
            started(0, "a#1", "w1", 1),
            started(0, "a#2", "w1", 2),
            started(0, "a#3", "w2", 3),
            ended(1, "a#1", "w1", 1),
            started(1, "a#4", "w1", 4),
            ended(2, "a#2", "w1", 2),
            ended(2, "a#4", "w1", 4),
            ended(2, "a#3", "w2", 3),
        )
    )
    assert [(lane.name, lane.rows) for lane in drawing.lanes] == [("w1", 2), ("w2", 1)]
    assert [(bar.label, bar.lane, bar.row) for bar in drawing.bars] == [
        ("a#1", "w1", 0), ("a#2", "w1", 1), ("a#3", "w2", 0), ("a#4", "w1", 0),
    ]  # fmt: skip
    first, _, _, fourth = drawing.bars
    assert first.x + first.width < fourth.x


def test_no_bar_is_narrower_than_its_label():
    """Ten that begin and end at one moment stand side by side, and can be read."""
    events = []
    for n in range(1, 11):
        events += [started(0, f"resize#{n}", "w1", n), ended(0, f"resize#{n}", "w1", n)]
    drawing = lanes(told(*events))
    assert all(bar.width > len(bar.label) * 6 for bar in drawing.bars)
    assert all(a.x + a.width < b.x for a, b in zip(drawing.bars, drawing.bars[1:], strict=False))
    assert drawing.width > drawing.bars[-1].x + drawing.bars[-1].width


def test_an_hour_takes_more_room_than_a_second_and_less_than_3600_times_as_much():
    """Time that passes is a pause, which tells how long it is."""
    drawing = lanes(
        told(
            started(0, "a#1", "w1", 1),
            ended(1, "a#1", "w1", 1, "retried"),
            started(3601, "a#1", "w1", 2, retries=1),
            ended(3601, "a#1", "w1", 2),
        )
    )
    second, hour = drawing.pauses
    assert (second.lasts, hour.lasts) == ("1s", "1h")
    assert second.width < hour.width < 4 * second.width
    assert [name for _, name in drawing.moments] == ["0s", "1s", "1h 1s"]
    assert [bar.label for bar in drawing.bars] == ["a#1", "a#1 ↻1"]


def test_ties_lead_from_the_publisher_and_from_the_attempt_before():
    """What published what, and which attempt followed which."""
    drawing = lanes(
        told(
            started(0, "a#1", "w1", 1),
            (0, "published", "b#1", None, None, {"parent": "a#1"}),
            ended(0, "a#1", "w1", 1),
            started(0, "b#1", "w2", 2, parent="a#1"),
            ended(0, "b#1", "w2", 2, "retried"),
            started(60, "b#1", "w1", 3, parent="a#1", retries=1),
            ended(60, "b#1", "w1", 3),
        )
    )
    a, b, again = drawing.bars
    publishes, retried = drawing.ties
    assert publishes == ("publishes", (a.x, drawing.lane("w1").middle(0)),
                         (b.x, drawing.lane("w2").middle(0)))  # fmt: skip
    assert retried[0] == "again"
    assert retried[1][0] == b.x + b.width
    assert retried[2][0] == again.x


def test_what_happens_to_an_execution_is_marked_on_its_bar():
    """Beyond its label; what happens to a message is the broker's."""
    drawing = lanes(
        told(
            (0, "fault", "b#1", None, None, {"reason": "drop(b)"}),
            (0, "dropped", "b#1", None, None, {}),
            started(0, "a#1", "w1", 1),
            (0, "fault", "a#1", "w1", None, {"reason": "hang(a)"}),
            (5, "timeout", "a#1", "w1", None, {"limit": "hard", "seconds": 5.0}),
            ended(5, "a#1", "w1", 1, "failed"),
        )
    )
    assert [(mark.lane, mark.kind) for mark in drawing.marks] == [
        ("broker", "fault"), ("broker", "dropped"), ("w1", "fault"), ("w1", "timeout"),
    ]  # fmt: skip
    assert [lane.name for lane in drawing.lanes] == ["broker", "w1"]
    (bar,) = drawing.bars
    assert bar.x + len(bar.label) * 6 < drawing.marks[2].x < bar.x + bar.width
    assert drawing.marks[3].title == "a#1 hard time limit of 5s reached, 5s"


def test_what_never_ends_goes_on_to_the_edge():
    """An execution without an end is open."""
    drawing = lanes(told(started(0, "a#1", "w1", 1), started(0, "b#1", "w1", 2),
                         ended(9, "b#1", "w1", 2)))  # fmt: skip
    a, b = drawing.bars
    assert a.state == "STARTED"
    assert a.row != b.row
    assert a.x + a.width > b.x + b.width


def test_what_there_is_no_room_for_is_counted():
    """The first are drawn."""
    events = []
    for n in range(1, 31):
        events += [started(n, f"a#{n}", "w1", n), ended(n, f"a#{n}", "w1", n)]
    drawing = lanes(told(*events), most=20)
    assert (len(drawing.bars), drawing.left_out) == (20, 10)


def test_nothing_happened():
    """An empty drawing is one."""
    drawing = lanes(History())
    assert not drawing.bars
    assert not drawing.lanes
