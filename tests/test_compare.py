"""`compare_modes`: what differs between modes, as a table."""

import datetime

import pytest
from celery import chord, group

from pytest_celeryflow import compare_modes


@pytest.fixture
def kind(app):
    @app.task(name="shop.kind")
    def kind(value):
        return type(value).__name__

    return kind


def test_what_is_the_same(app, add):
    """No difference, said in one line."""
    found = compare_modes(app, add.s(1, 2) | add.s(3))
    assert found.same
    assert str(found) == "the same in eager, worker, sim"


def test_what_a_step_returns_is_not_serialised_eagerly(app, kind):
    """A tuple stays one; in a message it becomes a list."""

    @app.task(name="shop.pair")
    def pair():
        return (1, 2)

    found = compare_modes(app, pair.s() | kind.s())
    assert not found.same
    assert str(found) == (
        "                   eager         worker       sim\n"
        "---------------------------------------------------------\n"
        "value              'tuple'       'list'       'list'\n"
        "arguments of kind  (tuple[int])  (list[int])  (list[int])"
    )


@pytest.fixture
def boom(app):
    @app.task(name="shop.boom")
    def boom(value=None):
        raise ZeroDivisionError("boom")

    return boom


def _row(found, what):
    return next((dict(d.seen) for d in found.differences if d.what == what), None)


def test_where_an_exception_is_raised(app, add, boom):
    """Eagerly out of publishing, when the chain goes on after the task that raises."""
    found = compare_modes(app, add.s(1, 2) | boom.s() | add.s(1))
    assert [d.aspect for d in found.differences] == ["raised"]
    assert _row(found, "raised") == {
        "eager": "by apply_async(), in boom",
        "worker": "by result.get(), in boom",
        "sim": "by result.get(), in boom",
    }


def test_an_exception_that_no_task_raised(app, add):
    """An expired task is never executed, but eagerly."""
    past = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    found = compare_modes(app, add.s(1, 2).set(expires=past), ("eager", "sim"))
    assert _row(found, "raised") == {"eager": "–", "sim": "by result.get(), in no task"}
    assert _row(found, "executions of add") == {"eager": "1", "sim": "0"}


def test_errbacks_that_are_called(app, add, boom):
    """The body's, when the header fails: not eagerly."""

    @app.task(name="shop.on_error")
    def on_error(request, exc, traceback):
        pass

    @app.task(name="shop.total")
    def total(numbers):
        return sum(numbers)

    canvas = chord([add.s(1, 2), boom.s()], total.s().on_error(on_error.s()))
    found = compare_modes(app, canvas, ("eager", "worker"))
    assert _row(found, "errback on_error called") == {"eager": "never", "worker": "once"}
    assert not any("executions of on_error" in d.what for d in found.differences)


def test_an_errback_with_a_message_of_its_own_counts_too(app, boom):
    """One that takes the id of the failed task is published; twice is twice."""

    @app.task(name="shop.on_error_id")
    def on_error_id(task_id):
        pass

    @app.task(name="shop.replaced", bind=True)
    def replaced(self):
        raise self.replace(boom.s())

    canvas = replaced.s()
    canvas.link_error(on_error_id.s())
    found = compare_modes(app, canvas, ("eager", "sim"))
    assert _row(found, "errback on_error_id called") == {"eager": "twice", "sim": "once"}


def test_order_that_is_turned_round(app, add):
    """Eagerly a task that is published runs before its publisher goes on."""

    @app.task(name="shop.asks")
    def asks():
        add.delay(1, 2)

    @app.task(name="shop.first")
    def first():
        return 1

    found = compare_modes(app, group(first.s() | asks.si(), first.si() | first.si()), ("eager", "sim"))
    assert _row(found, "order of add and first") is None
    found = compare_modes(
        app,
        group(asks.s(), first.s()),
        ("eager", "sim"),
        options={"sim": {"concurrency": 1}},
    )
    assert _row(found, "order of add and first") == {"eager": "add first", "sim": "first first"}


def test_arguments_of_all_executions_count(app, add, kind):
    """Not those of the first alone."""

    @app.task(name="shop.pair")
    def pair():
        return (1, 2)

    found = compare_modes(app, group(kind.s(1), pair.s() | kind.s()), ("eager", "sim"))
    assert _row(found, "arguments of kind") == {
        "eager": "(int) or (tuple[int])",
        "sim": "(int) or (list[int])",
    }


def test_publishing_that_raises(app, add, kind):
    """Kept as what it raised, in that mode."""
    found = compare_modes(app, add.s(1, 2) | kind.si(object()), ("eager", "sim"))
    assert _row(found, "state") == {"eager": "SUCCESS", "sim": "never published"}
    assert isinstance(found.runs["sim"], Exception)


@pytest.mark.parametrize("ignore", [("value", "arguments"), ["value", "arguments of kind"]])
def test_what_is_ignored_is_told_as_accepted(app, kind, ignore):
    """It differs, and the comparison is the same all the same."""

    @app.task(name="shop.pair")
    def pair():
        return (1, 2)

    found = compare_modes(app, pair.s() | kind.s(), ("eager", "sim"), ignore=ignore)
    assert found.same
    assert [d.what for d in found.accepted] == ["value", "arguments of kind"]
    assert str(found) == "the same in eager, sim, but for value, arguments of kind"


@pytest.mark.parametrize(
    ("ignore", "message"),
    [
        (("speed",), "'speed' is not one of 'value', 'state'"),
        (("order of add",), "'order of add' is not one of"),
        ("value", "ignore='value' must be a tuple of 'value', 'state'"),
        (("retries of ad",), "'retries of ad' names a task that was not executed; executed were add"),
    ],
)
def test_what_cannot_be_ignored(app, add, ignore, message):
    """It lists what can."""
    with pytest.raises(ValueError) as refused:
        compare_modes(app, add.s(1, 2), ("eager", "sim"), ignore=ignore)
    assert message in str(refused.value)


def test_time_and_retries(app):
    """A retry in an hour is called at once eagerly; real time is not spent on it here."""

    @app.task(name="shop.flaky", bind=True, max_retries=2)
    def flaky(self):
        if not self.request.retries:
            raise self.retry(countdown=3600)
        return "done"

    found = compare_modes(app, flaky.s(), modes=("eager", "sim"))
    assert [d.what for d in found.differences] == ["elapsed"]
    assert found.differences[0].seen == {"eager": "0s", "sim": "1h"}


def test_a_function_makes_the_workflow_anew_for_each_mode(app, add):
    """As it does for a canvas that is given."""
    made = []

    def workflow():
        made.append(1)
        return add.s(1, 2)

    assert compare_modes(app, workflow, modes=("eager", "sim")).same
    assert len(made) == 2


def test_one_mode_hangs(app, add):
    """A header task that raises Ignore: eagerly nobody notices."""
    from celery.exceptions import Ignore

    @app.task(name="shop.skip")
    def skip(value):
        raise Ignore

    @app.task(name="shop.total")
    def total(numbers):
        return len(numbers)

    found = compare_modes(app, chord([add.s(1, 2), skip.s(1)], total.s()), modes=("eager", "sim"))
    assert {d.what for d in found.differences} >= {"state", "raised", "executions of total"}


@pytest.mark.parametrize(
    ("modes", "message"),
    [
        (("sim",), "modes=('sim',) must be two or more of eager, worker, process, sim"),
        (("sim", "real"), "'real' is not one of the modes 'eager', 'worker', 'process', 'sim'"),
        ("sim", "modes='sim' must be two or more of"),
    ],
)
def test_modes_that_cannot_be_compared(app, add, modes, message):
    """It lists those that can."""
    with pytest.raises(ValueError) as refused:
        compare_modes(app, add.s(1, 2), modes=modes)
    assert str(refused.value).startswith(message)


def test_what_is_no_workflow(app):
    """Neither a canvas nor a function that makes one."""
    with pytest.raises(ValueError, match="workflow=5 is not a canvas"):
        compare_modes(app, 5)
