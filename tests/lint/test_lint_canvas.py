"""How a canvas is walked: paths, what a task is given, which tasks a chord waits for."""

from __future__ import annotations

import json

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import xmap
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.lint import lint
from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._canvas import Canvas
from pytest_celeryflow.shape import assert_shape, shape

app = FreshApp("shop", set_as_current=False)


@app.task(name="shop.a")
def a(*args, **kwargs):
    return args


@app.task(name="shop.one")
def one(x):
    return x


def places(canvas):
    return {each.path: each for each in Canvas(shape(canvas), AppView(app)).places}


def given_to(canvas):
    """How many results each task is given, by path."""
    return {path: each.given for path, each in places(canvas).items() if each.is_task}


def test_the_first_task_may_be_given_anything():
    assert given_to(a.s() | a.s() | a.s()) == {"chain[0]": None, "chain[1]": 1, "chain[2]": 1}


def test_members_are_given_what_came_before_the_group():
    assert given_to(a.s() | group(a.s(), a.s() | a.s())) == {
        "chain[0]": None,
        "chain[1][0]": 1,
        "chain[1][1][0]": 1,
        "chain[1][1][1]": 1,
    }


def test_a_body_is_given_one_list():
    found = places(chord([a.s(), a.s()], a.s()))
    assert found["chord.body"].given == 1
    assert [each.path for each in found["chord.body"].before] == [
        "chord.header[0]",
        "chord.header[1]",
    ]


def test_what_follows_a_chord_is_given_what_its_body_returns():
    found = places(chord([a.s()], a.s()) | a.s())
    assert [each.path for each in found["chain[1]"].before] == ["chain[0].body"]


def test_arguments_of_a_composition_are_given_to_its_first_tasks():
    assert given_to(chain(a.s(), a.s()).clone(args=(1, 2))) == {"chain[0]": None, "chain[1]": 1}
    nested = {**dict(chain(a.s(), a.s())), "args": (1, 2)}
    canvas = chain(one.s(), one.s())
    canvas.tasks[1] = nested
    assert given_to(canvas)["chain[1][0]"] == 3


def test_an_empty_group_gives_nothing():
    canvas = a.s() | a.s() | a.s()
    canvas.tasks[1] = group()
    assert [each.path for each in places(canvas)["chain[2]"].before] == ["chain[0]"]


def test_callbacks_are_given_the_result_of_what_they_belong_to():
    canvas = chain(a.s(), a.s())
    canvas.link(a.s())
    found = places(canvas)
    assert found["chain.links[0]"].given == 1
    assert [each.path for each in found["chain.links[0]"].before] == ["chain[1]"]


def test_a_chord_waits_for_the_last_task_of_each_member():
    canvas = chord([a.s() | a.s(), group(a.s(), a.s()), chord([a.s()], a.s())], a.s())
    counted = {path for path, each in places(canvas).items() if each.counted and each.is_task}
    assert counted == {
        "chord.header[0][1]",
        "chord.header[1][0]",
        "chord.header[1][1]",
        "chord.header[2].header[0]",
        "chord.header[2].body",
    }


def test_a_group_with_a_step_after_it_is_a_header():
    canvas = a.s() | a.s()
    canvas.kwargs["tasks"] = [group(a.s(), a.s()), a.s()]
    assert places(canvas)["chain[0]"].becomes_header
    assert not places(group(a.s(), a.s()))["group"].becomes_header


def test_countdowns_add_up():
    slow = a.s().set(countdown=10)
    canvas = chain(slow, chord([slow, a.s() | slow], slow), slow)
    waits = {path: each.waits for path, each in places(canvas).items() if each.is_task}
    assert waits == {
        "chain[0]": 0,
        "chain[1].header[0]": 10,
        "chain[1].header[1][0]": 10,
        "chain[1].header[1][1]": 10,
        "chain[1].body": 20,
        "chain[2]": 30,
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda step: a.s() | step(one.s),
        lambda step: chord([a.s(), step(one.si)], a.s()),
        lambda step: chord([a.s()], step(one.s)) | a.s(),
        lambda step: group(a.s(), a.s() | step(one.s)),
        lambda step: a.s() | chord([a.s(), a.s() | step(one.s)], a.s()) | a.s(),
    ],
)
def test_a_path_is_that_of_a_shape_failure(make):
    """The same place is called the same by lint and by `assert_shape`."""
    wrong = make(lambda sign: sign(1, 2, 3))
    (finding,) = lint(wrong)
    with pytest.raises(CeleryflowAssertionError) as failure:
        assert_shape(wrong, make(lambda sign: sign(1, 2, 4)))
    assert str(failure.value).startswith(f"{finding.path}.args[2]: ")


tasks = st.builds(
    lambda name, args, options, immutable: app.signature(
        name, args=tuple(args), options=options, immutable=immutable
    ),
    st.sampled_from(["shop.a", "shop.one", "shop.unknown"]),
    st.lists(st.none() | st.integers() | st.dictionaries(st.integers(), st.text()), max_size=2),
    st.dictionaries(
        st.sampled_from(["countdown", "expires", "eta", "queue"]),
        st.none() | st.floats() | st.integers() | st.text(max_size=3) | st.datetimes(),
        max_size=3,
    ),
    st.booleans(),
)


def _compose(inner):
    many = st.lists(inner, min_size=1, max_size=3)
    return (
        many.map(lambda members: chain(*members))
        | many.map(group)
        | st.builds(chord, many, inner)
        | many.map(lambda items: xmap(a.s(), [1, 2]))
    )


@pytest.mark.slow
@settings(max_examples=40)
@given(st.recursive(tasks, _compose, max_leaves=10), st.booleans())
def test_any_canvas_can_be_linted_and_stays_as_it_was(canvas, configured):
    url = "redis://nowhere.invalid" if configured else None
    client = Celery("other", broker=url, backend=url, set_as_current=False)
    before = json.dumps(canvas, default=str)
    lint(canvas)
    lint(canvas, client)
    assert json.dumps(canvas, default=str) == before
    assert lint(shape(canvas), app) == lint(canvas, app)
