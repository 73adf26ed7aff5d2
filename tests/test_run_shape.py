"""`Run.shape`: what ran, told by what was published."""

from types import SimpleNamespace

import pytest
from celery import chain, chord, group

from pytest_celeryflow import (
    CeleryflowError,
    History,
    assert_shape,
    run_eager,
    run_worker,
    shape,
    simulate,
)
from pytest_celeryflow.shape._ran import ran


@pytest.fixture
def t(app, add):
    """The tasks of these workflows."""
    app.conf.task_allow_error_cb_on_chord_header = True  # or Celery warns

    @app.task(name="shop.total")
    def total(numbers, more=0):
        return sum(numbers) + more

    @app.task(name="shop.spread")
    def spread(value):
        return [value, value]

    @app.task(name="shop.note")
    def note(*_args, **_kwargs):
        return "noted"

    @app.task(name="shop.fail")
    def fail(*_args):
        raise ValueError("no")

    @app.task(name="shop.flaky", bind=True)
    def flaky(self, value):
        if self.request.retries < 2:
            raise self.retry(countdown=1)
        return value

    @app.task(name="shop.report")
    def report(task_id):  # one argument: an errback that is published, not called in place
        return task_id is not None

    tasks = {"add": add, "total": total, "spread": spread, "note": note}
    return SimpleNamespace(app=app, fail=fail, flaky=flaky, report=report, **tasks)


def _with_callbacks(canvas, t):
    canvas.link(t.note.s("link") | t.note.s())
    canvas.link_error(t.report.s())
    return canvas


STATIC = {
    "a task": lambda t: t.add.s(1, 2),
    "an immutable task": lambda t: t.add.si(1, 2),
    "keyword arguments": lambda t: t.add.s(1, y=2),
    "a chain": lambda t: t.add.s(1, 2) | t.add.s(3) | t.add.s(4),
    "a chain of immutable tasks": lambda t: t.add.si(1, 2) | t.add.si(3, 4) | t.add.s(5),
    "a group": lambda t: group(t.add.s(1, 2), t.add.si(3, 4), t.add.s(3, 4)),
    "a group of one": lambda t: group(t.add.s(1, 2)),
    "a group of chains": lambda t: group(t.add.s(1, 2) | t.add.s(3), t.add.s(4, 5) | t.add.s(6)),
    "a group in a group": lambda t: group(t.add.s(1, 2), group(t.add.s(3, 4), t.add.s(5, 6))),
    "an empty group": lambda t: group(),
    "a chord": lambda t: chord([t.add.s(1, 2), t.add.si(3, 4)], t.total.s()),
    "a chord of one": lambda t: chord([t.add.s(1, 2)], t.total.s()),
    "an immutable body": lambda t: chord([t.add.s(1, 2), t.add.s(3, 4)], t.add.si(7, 8)),
    "a body with arguments": lambda t: chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s(more=5)),
    "a body that is a chain": lambda t: chord([t.add.s(n, n) for n in (1, 2)], t.total.s() | t.add.s(9)),
    "a body that is a group": lambda t: chord(
        [t.add.s(n, n) for n in (1, 2)], group(t.total.s(), t.note.s(1))
    ),
    "a body that is a chord": lambda t: chord(
        [t.add.s(n, n) for n in (1, 2)], chord([t.total.s(), t.total.s(1)], t.total.s())
    ),
    "an empty header": lambda t: chord([], t.total.s()),
    "a chord in a chain": lambda t: chain(
        t.add.s(1, 2), chord([t.add.s(3), t.add.si(4, 5)], t.total.s()), t.add.s(6)
    ),
    "a group that becomes a chord": lambda t: chain(
        t.add.s(1, 2), group(t.add.s(3), t.add.s(4)), t.total.s()
    ),
    "a group at the end": lambda t: chain(t.add.s(1, 2), group(t.add.s(3), t.note.si(4))),
    "two groups in a row": lambda t: chain(
        group(t.add.s(1, 2), t.add.s(3, 4)), group(t.total.s(), t.total.s(1)), t.total.s()
    ),
    "a chord in a header": lambda t: chord(
        [t.add.s(1, 2), chord([t.add.s(3, 4), t.add.s(5, 6)], t.total.s())], t.total.s()
    ),
    "chains in a header": lambda t: chord(
        [t.add.s(1, 2) | t.add.s(3), t.add.s(4, 5) | t.add.s(6)], t.total.s()
    ),
    "a group at the end of a header's chain": lambda t: chord(
        [t.note.s(1), t.note.s() | group(t.note.s(2), t.note.s(3))], t.note.s()
    ),
    "map": lambda t: t.spread.map([1, 2]),
    "starmap": lambda t: t.add.starmap([(1, 2), (3, 4)]),
    "starmap in a chain": lambda t: t.add.starmap([(1, 2), (3, 4)]) | t.total.s(),
    "chunks": lambda t: t.add.chunks([(1, 2), (3, 4), (5, 6)], 2),
    "links and errbacks": lambda t: _with_callbacks(t.add.s(1, 2) | t.add.s(3), t),
    "links of a chord": lambda t: _with_callbacks(chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s()), t),
    "a link of the same name": lambda t: t.note.s(1).on_error(t.note.s(2)) | t.note.s(3),
    "retries": lambda t: t.flaky.s(1) | t.add.s(2),
    "options": lambda t: chain(
        t.add.s(1, 2).set(queue="slow", countdown=10),
        t.add.s(3).set(priority=3, expires=600, soft_time_limit=5),
    ),
    "headers": lambda t: t.add.s(1, 2).set(headers={"tenant": "x"}),
    "stamps": lambda t: _stamped(t.add.s(1, 2) | t.add.s(3)),
}  # fmt: skip


def _stamped(canvas):
    canvas.stamp(tenant="x")
    return canvas


@pytest.mark.parametrize("name", STATIC)
def test_what_ran_is_what_was_foretold(t, name):
    """Where nothing is dynamic, the messages that ran are those that Celery's rules give."""
    with simulate(t.app) as flow:
        run = flow.run(STATIC[name](t))
    expected = shape(STATIC[name](t), as_sent=True)
    assert repr(run.shape) == repr(expected)
    assert run.shape == expected


def _replacing(app, make):
    """A task that replaces itself with what ``make`` gives."""

    @app.task(name="shop.change", bind=True)
    def change(self, *_args):
        raise self.replace(make())

    return change


REPLACED = {
    "a task": (
        lambda t: t.add.s(1, 2),
        "add(1, 2)",
    ),
    "an immutable task with options": (
        lambda t: t.add.si(1, 2).set(queue="slow"),
        "add(1, 2).set(queue='slow')",
    ),
    "a chain": (
        lambda t: t.add.s(1, 2) | t.add.si(3, 4),
        "add(1, 2) | add.si(3, 4)",
    ),
    "a group": (
        lambda t: group(t.add.s(1, 2), t.add.s(3, 4)),
        "chord([add(1, 2), add(3, 4)], accumulate(index=0))",
    ),
    "a chord": (
        lambda t: chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s()),
        "chord([add(1, 2), add(3, 4)], total())",
    ),
    "a chain with a chord": (
        lambda t: chain(t.note.s(), group(t.note.s(1), t.note.s(2)), t.note.s(3), t.add.si(5, 6)),
        "note() | chord([note(1), note(2)], note(3)) | add.si(5, 6)",
    ),
}  # fmt: skip


PLACES = {
    "alone": (lambda t, x: x, "{}"),
    "first in a chain": (lambda t, x: chain(x, t.note.s(7)), "{} | note(7)"),
    "between": (
        lambda t, x: chain(t.note.s(6), x, t.note.s(7), t.note.si(8)),
        "note(6) | {} | note(7) | note.si(8)",
    ),
    "last in a chain": (lambda t, x: chain(t.note.s(6), x), "note(6) | {}"),
    "in a group": (lambda t, x: group(t.note.s(6), x), "group(note(6), {})"),
    "in a header": (
        lambda t, x: chord([t.note.s(6), x, t.note.s(7)], t.note.s(8)),
        "chord([note(6), {}, note(7)], note(8))",
    ),
    "in a chain in a header": (
        lambda t, x: chord([t.note.s(6), chain(t.note.s(5), x, t.note.s(7))], t.note.s(8)),
        "chord([note(6), note(5) | {} | note(7)], note(8))",
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", REPLACED)
def test_what_replaced_a_task_stands_in_its_place(t, name, place):
    """Wherever the task stood; what it was itself is gone."""
    (replacement, text), (around, whole) = REPLACED[name], PLACES[place]
    canvas = around(t, _replacing(t.app, lambda: replacement(t)).s())
    with simulate(t.app) as flow:
        run = flow.run(canvas)
    assert run.state == "SUCCESS"
    assert_shape(run.shape, whole.format(text))
    assert str(run.shape) == whole.format(text)


def test_a_body_that_replaced_itself(t):
    """What follows the first task of a body is written after the chord, as everywhere."""
    change = _replacing(t.app, lambda: t.add.s(1, 2) | t.add.s(3))
    with simulate(t.app) as flow:
        run = flow.run(chord([t.note.s(6), t.note.s(7)], change.s() | t.note.s(8)))
    assert_shape(run.shape, "chord([note(6), note(7)], add(1, 2)) | add(3) | note(8)")


def test_a_replaced_member_that_is_alone_in_its_header(t):
    """The same text as for the canvas that has the replacement written out."""
    change = _replacing(t.app, lambda: chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s()))
    with simulate(t.app) as flow:
        run = flow.run(chord([change.s()], t.note.s(8)))
    written = chord([chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s())], t.note.s(8))
    assert run.shape == shape(written, as_sent=True)


def test_a_replacement_that_replaces_itself(t):
    """Only the last one stands there."""

    @t.app.task(name="shop.count", bind=True)
    def count(self, left):
        if left:
            raise self.replace(count.s(left - 1) | t.add.s(left))
        return 0

    with simulate(t.app) as flow:
        run = flow.run(count.s(3) | t.add.s(9))
    assert run.value == 15
    assert_shape(run.shape, "count(0) | add(1) | add(2) | add(3) | add(9)")


def test_a_task_that_is_replaced_after_a_retry(t):
    """Neither the first attempt nor the retry is left."""

    @t.app.task(name="shop.late", bind=True)
    def late(self):
        if not self.request.retries:
            raise self.retry(countdown=1)
        raise self.replace(t.add.s(1, 2))

    with simulate(t.app) as flow:
        run = flow.run(late.s() | t.add.s(3))
    assert_shape(run.shape, "add(1, 2) | add(3)")


def test_links_go_over_to_what_replaced_their_task(t):
    """They are shown where Celery put them, and what they published is not shown."""
    change = _replacing(t.app, lambda: t.add.s(1, 2))
    canvas = change.s()
    canvas.link(t.note.s("link"))
    with simulate(t.app) as flow:
        run = flow.run(canvas)
    assert len(run["note"]) == 1
    assert_shape(run.shape, "add(1, 2).link(note('link'))")


def test_links_that_celery_publishes_twice(t):
    """Celery 5.4 does so when a chain is the replacement; neither is a task of the shape."""
    change = _replacing(t.app, lambda: t.add.s(1, 2) | t.add.s(3))
    canvas = change.s()
    canvas.link(t.note.s("link"))
    with simulate(t.app) as flow:
        run = flow.run(canvas)
    assert len(run["note"]) in (1, 2)
    assert [task.name for task in run.shape.tasks()] == ["shop.add", "shop.add"]


def test_what_a_body_publishes_stands_beside_the_canvas(t):
    """Nothing waits for it."""

    @t.app.task(name="shop.spawn")
    def spawn(value):
        chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s()).delay()
        return value

    with simulate(t.app) as flow:
        run = flow.run(spawn.s(5) | t.add.s(6))
    assert_shape(run.shape, "group(spawn(5) | add(6), chord([add(1, 2), add(3, 4)], total()))")


def test_what_a_body_publishes_is_told_from_its_link(t):
    """The link is published last."""

    @t.app.task(name="shop.spawn")
    def spawn():
        t.note.delay("by hand")

    canvas = spawn.s()
    canvas.link(t.note.s("link"))
    with simulate(t.app) as flow:
        run = flow.run(canvas)
    assert_shape(run.shape, "group(spawn().link(note('link')), note('by hand'))")


def test_a_task_that_was_added_to_a_chord(t):
    """It is a member of the header like the others."""
    pytest.importorskip("redis")

    @t.app.task(name="shop.grow", bind=True)
    def grow(self, value):
        self.add_to_chord(t.add.s(value, value))
        return value

    with simulate(t.app, backend="redis") as flow:
        run = flow.run(chord([grow.s(1), t.add.s(2, 3)], t.total.s()))
    assert run.value == 8
    assert_shape(run.shape, "chord([grow(1), add(2, 3), add(1, 1)], total())")


def test_errbacks_that_ran_are_not_shown_as_tasks(t):
    """They are shown where they were written."""
    canvas = chain(t.fail.s(1), t.note.s()).on_error(t.report.s())
    with simulate(t.app) as flow:
        run = flow.run(canvas)
    assert len(run["report"]) == 1
    assert_shape(run.shape, "fail(1).on_error(report())")


def test_errbacks_of_a_chord_that_failed(t):
    """Celery publishes those of the body for a body that never was."""
    body = t.total.s().on_error(t.report.s())
    with simulate(t.app) as flow:
        run = flow.run(chord([t.fail.s(1), t.add.s(1, 2)], body))
    assert len(run["report"]) == 1
    assert str(run.shape) == "chord([fail(1), add(1, 2)])"


def test_an_errback_that_is_a_chain(t):
    """What came of it is not shown either."""
    canvas = t.fail.s(1).on_error(t.note.si(1) | t.note.si(2))
    with simulate(t.app) as flow:
        run = flow.run(canvas)
    assert len(run["note"]) == 2
    assert str(run.shape) == str(shape(canvas))


def test_a_message_that_came_twice_is_one_task(t):
    """Whoever published it again."""

    @t.app.task(name="shop.twice", bind=True)
    def twice(self):
        for _ in range(2):
            t.note.apply_async((1,), task_id="the-same")

    with simulate(t.app) as flow:
        run = flow.run(twice.s())
    assert len(run["note"]) == 2
    assert_shape(run.shape, "group(twice(), note(1))")


def test_a_workflow_that_did_not_finish(t):
    """What was published until then."""
    with simulate(t.app) as flow:
        run = flow.run(t.add.s(1, 2) | t.fail.s() | t.add.s(3))
    assert_shape(run.shape, "add(1, 2) | fail()")


def test_a_chord_whose_body_celery_itself_waits_for(t):
    """`celery.chord_unlock` is no part of the shape."""
    canvas = chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s()) | t.add.s(5)
    with simulate(t.app, backend="polling") as flow:
        run = flow.run(canvas)
    assert run.shape == shape(canvas, as_sent=True)


def test_a_shape_needs_the_history_alone(t):
    """Also one that was written down and read again."""
    canvas = STATIC["a chord in a chain"](t)
    with simulate(t.app) as flow:
        run = flow.run(canvas)
    assert ran(History.from_json(run.history.to_json())) == shape(canvas, as_sent=True)


def test_shapes_of_two_runs_at_one_flow(t):
    """Each run has its own."""
    with simulate(t.app) as flow:
        one = flow.run(STATIC["a chord"](t))
        two = flow.run(STATIC["a chain"](t))
    assert one.shape == shape(STATIC["a chord"](t), as_sent=True)
    assert two.shape == shape(STATIC["a chain"](t), as_sent=True)


def test_a_deep_workflow_stays_linear(t):
    """A long chain and a wide header are written down once each, not once a message."""

    def size(n):
        wide = chord([t.note.si(k) for k in range(n)], t.note.s())
        canvas = chain(*[t.note.si(k) for k in range(n)], wide)
        with simulate(t.app) as flow:
            run = flow.run(canvas)
        assert run.shape == shape(canvas, as_sent=True)
        return len(run.history.to_json())

    assert size(24) < 2.5 * size(12)


def test_eager_mode_has_no_shape(t):
    """Nothing is published there; it says so and names the modes that can."""
    with run_eager(t.app) as flow:
        run = flow.run(t.add.s(1, 2))
    with pytest.raises(CeleryflowError, match=r"(?s)publishes nothing.*'sim' or 'worker'"):
        _ = run.shape


@pytest.mark.parametrize(
    "name", ["a task", "a chain of immutable tasks", "a chord in a chain", "links and errbacks", "options"]
)
def test_what_ran_in_a_real_worker(t, name):
    """Is what was foretold, too."""
    build = STATIC[name] if name != "options" else lambda t: t.add.s(1, 2).set(priority=3, expires=60)
    with run_worker(t.app) as flow:
        run = flow.run(build(t))
    assert run.shape == shape(build(t), as_sent=True)


def test_a_replacement_in_a_real_worker(t):
    """In the place of the task."""
    change = _replacing(t.app, lambda: group(t.add.s(1, 2), t.add.s(3, 4)))
    with run_worker(t.app) as flow:
        run = flow.run(chain(t.note.s(6), change.s(), t.total.s()))
    assert run.value == 10
    assert_shape(run.shape, "note(6) | chord([add(1, 2), add(3, 4)], accumulate(index=0)) | total()")
