"""`compare_modes`: what differs between modes, as a table."""

import pytest
from celery import chord

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


def test_where_an_exception_is_raised(app, add):
    """Eagerly, out of publishing a chain; the type is the same."""

    @app.task(name="shop.boom")
    def boom(value):
        raise ZeroDivisionError("boom")

    found = compare_modes(app, add.s(1, 2) | boom.s() | add.s(1))
    assert all(type(run.error) is ZeroDivisionError for run in found.runs.values())


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
        (("sim",), "modes=('sim',) must be two or more of eager, worker, sim"),
        (("sim", "real"), "'real' is not one of the modes 'eager', 'worker', 'sim'"),
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
