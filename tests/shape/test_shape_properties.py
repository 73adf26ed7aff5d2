"""Properties of shapes, over random canvases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signature
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.shape import Shape, assert_shape, shape

app = Celery(set_as_current=False)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)
names = st.sampled_from(["proj.fetch", "proj.resize", "other.fetch", "odd-name", "a.map", "group"])
keywords = st.dictionaries(st.sampled_from(["width", "a-b", "class", "x"]), values, max_size=2)
options = st.dictionaries(st.sampled_from(["queue", "countdown", "priority"]), values, max_size=2)


@st.composite
def tasks(draw: st.DrawFn) -> Any:
    return app.signature(
        draw(names),
        args=tuple(draw(st.lists(values, max_size=2))),
        kwargs=draw(keywords),
        options=draw(options),
        immutable=draw(st.booleans()),
    )


@st.composite
def mapped(draw: st.DrawFn) -> Any:
    from celery import chunks
    from celery.canvas import xmap, xstarmap

    kind, items = draw(st.sampled_from([xmap, xstarmap])), draw(st.lists(values, max_size=3))
    if draw(st.booleans()):
        return chunks(draw(tasks()), [[item] for item in items], draw(st.integers(1, 3)), app=app)
    return kind(draw(tasks()), [[item] for item in items], app=app)


@st.composite
def composed(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    members = draw(st.lists(inner, min_size=1, max_size=4))
    kind = draw(st.sampled_from(["chain", "group", "chord", "linked"]))
    if kind == "chain":
        return chain(*members)
    if kind == "group":
        return group(members)
    if kind == "chord":
        return chord(members, draw(inner))
    canvas = draw(tasks())
    canvas.options["link"] = members[:1]
    canvas.options["link_error"] = members[1:]
    return canvas


canvases = st.recursive(tasks() | mapped(), composed, max_leaves=12)
quick = settings(max_examples=50)


@quick
@given(canvases)
def test_a_canvas_that_came_through_json_has_the_same_shape(canvas: Any) -> None:
    assert shape(json.loads(json.dumps(canvas))) == shape(canvas)


@quick
@given(canvases)
def test_the_text_is_read_back(canvas: Any) -> None:
    found = shape(canvas)
    assert Shape.parse(str(found)) == found
    assert eval(repr(found)) == found
    assert str(Shape.parse(str(found))) == str(found) or "." in str(found)


@quick
@given(canvases)
def test_json_is_read_back(canvas: Any) -> None:
    found = shape(canvas)
    again = Shape.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert (str(again), hash(again)) == (str(found), hash(found))


@quick
@given(canvases, canvases)
def test_equal_shapes_have_equal_text_and_different_text_is_a_different_shape(
    one: Any, two: Any
) -> None:
    left, right = shape(one), shape(two)
    assert (left == right) == (repr(left) == repr(right))


@quick
@given(canvases)
def test_a_canvas_is_what_it_is(canvas: Any) -> None:
    assert_shape(canvas, canvas, options=True)


@quick
@given(canvases)
def test_reading_does_not_change_the_canvas(canvas: Any) -> None:
    before = json.dumps(canvas)
    shape(canvas)
    assert json.dumps(canvas) == before


@quick
@given(canvases)
def test_every_task_is_sent_once(canvas: Any) -> None:
    plain, sent = shape(canvas), shape(canvas, as_sent=True)
    if plain.kind != "chunks":
        assert sorted(each.name for each in sent.tasks()) == sorted(
            each.name for each in plain.tasks()
        )
    assert_shape(canvas, sent, as_sent=True)


@quick
@given(canvases)
def test_every_canvas_can_be_drawn(canvas: Any) -> None:
    found = shape(canvas)
    assert found.tree()
    assert found.mermaid().startswith("flowchart LR\n")
    assert found.svg().startswith("<svg")


# -- one edit ---------------------------------------------------------------------------------


def numbered(found: Shape) -> Shape:
    """Give every task a number of its own, so that no two nodes are alike."""
    numbers = count()

    def number(node: Shape) -> Shape:
        if node.kind == "task":
            node = replace(node, args=(next(numbers), *node.args))
        return replace(
            node,
            items=(next(numbers),) if node.kind in ("map", "starmap", "chunks") else node.items,
            children=node.children if node.is_task else tuple(map(number, node.children)),
            body=node.body and number(node.body),
            links=tuple(map(number, node.links)),
            errbacks=tuple(map(number, node.errbacks)),
        )

    return number(found)


def places(node: Shape, path: str) -> Iterator[tuple[str, Shape, Callable[[Shape], Shape]]]:
    """Yield each node with its path, and a function that puts another in its place."""
    yield path, node, lambda new: new
    for slot, label in (
        ("children", ".header" if node.kind == "chord" else ""),
        ("links", ".links"),
        ("errbacks", ".errbacks"),
    ):
        if slot == "children" and node.is_task:
            continue
        below: tuple[Shape, ...] = getattr(node, slot)
        for index, child in enumerate(below):
            for deeper, found, put in places(child, f"{path}{label}[{index}]"):
                yield (
                    deeper,
                    found,
                    lambda new, slot=slot, below=below, index=index, put=put: replace(
                        node, **{slot: (*below[:index], put(new), *below[index + 1 :])}
                    ),
                )
    if node.body:
        for deeper, found, put in places(node.body, f"{path}.body"):
            yield deeper, found, lambda new, put=put: replace(node, body=put(new))


NEW = Shape(kind="task", name="proj.new", args=("new",))


def edits(path: str, node: Shape) -> Iterator[tuple[str, Shape]]:
    """Yield each edited node with the path where the edit has to be reported."""
    if node.kind == "task":
        yield f"{path}.args[0]", replace(node, args=("edited", *node.args[1:]))
        yield f"{path}.name", replace(node, name="proj.edited")
        yield f"{path}.immutable", replace(node, immutable=not node.immutable)
        yield f"{path}.kwargs['edited']", replace(node, kwargs={**node.kwargs, "edited": 1})
        yield f"{path}.options['edited']", replace(node, options={**node.options, "edited": 1})
    yield f"{path}.errbacks[{len(node.errbacks)}]", replace(node, errbacks=(*node.errbacks, NEW))
    if not node.is_task:
        label = ".header" if node.kind == "chord" else ""
        for index in range(len(node.children) + 1):
            before, after = node.children[:index], node.children[index:]
            yield f"{path}{label}[{index}]", replace(node, children=(*before, NEW, *after))
            if after:
                yield f"{path}{label}[{index}]", replace(node, children=before + after[1:])


@settings(max_examples=60)
@given(canvases, st.data())
def test_one_edit_is_reported_at_its_own_path(canvas: Any, data: st.DataObject) -> None:
    found = numbered(shape(canvas))
    path, node, put = data.draw(st.sampled_from(list(places(found, found.kind))))
    if not (of_node := list(edits(path, node))):
        return
    reported, edited = data.draw(st.sampled_from(of_node))
    with pytest.raises(CeleryflowAssertionError) as caught:
        assert_shape(put(edited), found, options=True)
    first, *_ = str(caught.value).splitlines()
    assert len(first) <= 80
    if len(reported) <= 50:
        assert first.startswith(f"{reported}: ")


@settings(max_examples=40)
@given(canvases)
def test_signatures_rebuilt_by_celery_have_the_same_shape(canvas: Any) -> None:
    if canvas.get("subtask_type") == "chain" and canvas.options:
        return
    assert shape(signature(json.loads(json.dumps(canvas)))) == shape(canvas)
