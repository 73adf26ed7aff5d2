"""`Shape` itself: questions, equality, JSON."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from pytest_celeryflow.shape import ANY, ANY_ARGS, Shape

FLOW = Shape.parse("fetch('u') | chord([resize(1) | audit(), resize(2)], publish()) | notify()")


def test_tasks_in_the_order_of_the_text() -> None:
    names = [task.name for task in FLOW.tasks()]
    assert names == ["fetch", "resize", "audit", "resize", "publish", "notify"]


def test_tasks_of_callbacks_on_demand() -> None:
    shape = Shape.parse("fetch().link(audit()).on_error(clean())")
    assert [task.name for task in shape.tasks()] == ["fetch"]
    assert [task.name for task in shape.tasks(callbacks=True)] == ["fetch", "audit", "clean"]


def test_depth_is_the_longest_way_through() -> None:
    assert FLOW.depth == 5


def test_width_is_how_many_can_run_at_once() -> None:
    assert FLOW.width == 2
    assert Shape.parse("group(a(), b() | group(c(), d()))").width == 3


def test_the_path_of_a_difference_can_be_followed() -> None:
    assert FLOW[1].header[0][1].name == "audit"
    assert FLOW[1].body == Shape.parse("publish()")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        FLOW.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        FLOW[0].kwargs["x"] = 1  # type: ignore[index]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind is 'loop'; valid are task, chain, group"):
        Shape(kind="loop")  # type: ignore[arg-type]


def test_equal_shapes_have_equal_hashes() -> None:
    other = Shape.parse(str(FLOW))
    assert other == FLOW
    assert hash(other) == hash(FLOW)


@pytest.mark.parametrize(
    "other",
    ["f(1.0)", "f(True)", "f('1')", "f.si(1)", "f(x=1)", "g(1)", "f(1).set(a=1)", "f(1).link(g())"],
)
def test_what_is_not_equal(other: str) -> None:
    assert Shape.parse("f(1)") != Shape.parse(other)


def test_a_tuple_is_a_list_as_it_is_in_a_message() -> None:
    assert Shape(kind="task", name="f", args=((1, 2),)) == Shape(
        kind="task", name="f", args=([1, 2],)
    )


def test_full_names_are_compared_in_full() -> None:
    assert Shape(kind="task", name="a.fetch") != Shape(kind="task", name="b.fetch")
    assert Shape(kind="task", name="a.fetch") != Shape(kind="task", name="fetch")


def test_a_name_in_text_may_be_an_abbreviation() -> None:
    assert Shape.parse("tasks.fetch()") == Shape(kind="task", name="proj.tasks.fetch")
    assert Shape.parse("asks.fetch()") != Shape(kind="task", name="proj.tasks.fetch")


def test_any_equals_every_value() -> None:
    assert Shape.parse("f(ANY)") == Shape.parse("f(1)")
    assert Shape(kind="task", name="f", args=(1, ANY_ARGS)) == Shape.parse("f(1, 2, x=3)")
    assert Shape(kind="task", name="f", args=(2, ANY_ARGS)) != Shape.parse("f(1, 2, x=3)")


def test_json_round_trip() -> None:
    text = "chain(f(1, [2], {'a': None}, x=UUID('12345678-1234-5678-1234-567812345678')), any_order(group(g.map([1]), h.chunks([[1]], 1)))).set(queue='q').stamp(t=1).link(a()).on_error(b())"
    shape = Shape.parse(text)
    assert Shape.from_json(shape.to_json()) == shape
    assert str(Shape.from_json(shape.to_json())) == text


def test_json_of_an_object_without_a_literal_keeps_its_text() -> None:
    class Point:
        def __repr__(self) -> str:
            return "<Point 1 2>"

    shape = Shape(kind="task", name="f", args=(Point(),))
    again = Shape.from_json(shape.to_json())
    assert again == shape
    assert str(again) == "f(<Point 1 2>)"


def test_json_with_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown attributes \['colour'\]; valid are kind, name"):
        Shape.from_json({"kind": "task", "colour": "red"})


def test_it_can_be_copied_and_pickled() -> None:
    assert copy.deepcopy(FLOW) is FLOW
    assert pickle.loads(pickle.dumps(FLOW)) == FLOW


@pytest.mark.parametrize("matcher", [ANY, ANY_ARGS])
def test_matchers_survive_copying(matcher: object) -> None:
    assert copy.deepcopy([matcher])[0] is matcher
    assert copy.copy(matcher) is matcher
    assert pickle.loads(pickle.dumps(matcher)) is matcher
