"""`shape()` reads every canvas that Celery can make, and changes none."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
from celery import Celery, chain, chord, group, signature
from celery.canvas import Signature, StampingVisitor, _chain

from pytest_celeryflow.shape import ANY_TASK, Shape, assert_shape, shape

warnings.filterwarnings("ignore", module="celery.canvas")


def test_a_task(t: SimpleNamespace) -> None:
    found = shape(t.resize.s("in.png", width=100))
    assert (found.kind, found.name) == ("task", "proj.tasks.resize")
    assert (found.args, dict(found.kwargs)) == (("in.png",), {"width": 100})
    assert not found.immutable


def test_an_immutable_task(t: SimpleNamespace) -> None:
    assert str(shape(t.notify.si("done"))) == "notify.si('done')"


def test_a_clone_with_more_arguments(t: SimpleNamespace) -> None:
    assert str(shape(t.resize.s(2).clone((1,), {"w": 3}))) == "resize(1, 2, w=3)"


def test_a_task_that_no_app_knows() -> None:
    assert str(shape(signature("not.registered", args=(1,)))) == "registered(1)"


def test_the_dict_of_a_task() -> None:
    assert str(shape({"task": "proj.fetch", "args": ["u"]})) == "fetch('u')"


def test_a_chain(t: SimpleNamespace) -> None:
    assert str(shape(chain(t.fetch.s("u"), t.publish.s()))) == "fetch('u') | publish()"


def test_bars_in_any_association(t: SimpleNamespace) -> None:
    a, b, c = t.fetch.s(), t.resize.s(), t.publish.s()
    assert shape((a | b) | c) == shape(a | (b | c)) == shape(chain(a, b, c))


def test_a_chain_in_a_chain_that_celery_did_not_flatten(t: SimpleNamespace) -> None:
    nested = _chain(_chain(t.fetch.s(), t.resize.s()), t.publish.s())
    assert str(shape(nested)) == "chain(fetch() | resize(), publish())"


def test_a_group(t: SimpleNamespace) -> None:
    assert str(shape(group(t.resize.s(1), t.resize.s(2)))) == "group(resize(1), resize(2))"


def test_a_group_of_a_generator_is_run_once(t: SimpleNamespace) -> None:
    ran = []

    def members() -> object:
        for n in range(3):
            ran.append(n)
            yield t.resize.s(n)

    canvas = group(members())
    first, second = shape(canvas), shape(canvas)
    assert first == second
    assert [task.args for task in first.tasks()] == [(0,), (1,), (2,)]
    assert ran == [0, 1, 2]


def test_a_group_of_a_generator_can_still_be_used(t: SimpleNamespace) -> None:
    canvas = group(t.resize.s(n) for n in range(3))
    shape(canvas)
    assert len(json.loads(json.dumps(canvas))["kwargs"]["tasks"]) == 3


def test_a_generator_among_the_arguments_is_left_alone(t: SimpleNamespace) -> None:
    lazy = iter([1, 2])
    shape(t.resize.s(lazy))
    assert list(lazy) == [1, 2]


def test_a_group_followed_by_a_task(t: SimpleNamespace) -> None:
    canvas = group(t.resize.s(1), t.resize.s(2)) | t.publish.s()
    assert str(shape(canvas)) == "chord([resize(1), resize(2)], publish())"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (lambda t: t.publish.s(), "publish()"),
        (lambda t: group(t.publish.s(), t.notify.s()), "group(publish(), notify())"),
        (lambda t: chord([t.audit.s()], t.notify.s()), "chord([audit()], notify())"),
        (lambda t: None, None),
    ],
    ids=["task", "group", "chord", "none"],
)
def test_a_chord_with_any_body(t: SimpleNamespace, body: object, text: str | None) -> None:
    found = shape(chord([t.resize.s(1)], body(t)))  # type: ignore[operator]
    assert (str(found.body) if found.body else None) == text


def test_map(t: SimpleNamespace) -> None:
    found = shape(t.resize.map([1, 2]))
    assert (found.kind, found.name, found.items) == ("map", "proj.tasks.resize", (1, 2))
    assert str(found) == "resize.map([1, 2])"


def test_starmap(t: SimpleNamespace) -> None:
    assert str(shape(t.resize.starmap([(1, 2)]))) == "resize.starmap([[1, 2]])"


def test_chunks(t: SimpleNamespace) -> None:
    found = shape(t.resize.chunks([(1,), (2,), (3,)], 2))
    assert str(found) == "resize.chunks([[1], [2], [3]], 2)"
    assert found.width == 2


def test_a_map_of_a_generator_is_run_once(t: SimpleNamespace) -> None:
    canvas = t.resize.map(n for n in range(3))
    assert shape(canvas) == shape(canvas) == shape(t.resize.map([0, 1, 2]))


def test_links_and_errbacks_of_a_task(t: SimpleNamespace) -> None:
    canvas = t.fetch.s().on_error(t.clean.s())
    canvas.link(t.audit.s(1))
    assert str(shape(canvas)) == "fetch().link(audit(1)).on_error(clean())"


def test_links_and_errbacks_of_a_chain(t: SimpleNamespace) -> None:
    canvas = chain(t.fetch.s(), t.publish.s())
    canvas.link(t.audit.s())
    canvas.link_error(t.clean.s())
    assert str(shape(canvas)) == "chain(fetch(), publish()).link(audit()).on_error(clean())"


def test_errbacks_of_a_group_are_those_of_its_members(t: SimpleNamespace) -> None:
    canvas = group(t.fetch.s(), t.resize.s())
    canvas.link_error(t.clean.s())
    assert str(shape(canvas)) == "group(fetch().on_error(clean()), resize().on_error(clean()))"


def test_an_errback_that_is_a_chain(t: SimpleNamespace) -> None:
    canvas = t.fetch.s().on_error(t.clean.s() | t.notify.s())
    assert str(shape(canvas)) == "fetch().on_error(clean() | notify())"


def test_options_of_a_task_and_of_a_chain(t: SimpleNamespace) -> None:
    canvas = chain(t.fetch.s().set(queue="slow"), t.publish.s()).set(countdown=5)
    assert str(shape(canvas)) == "chain(fetch().set(queue='slow'), publish()).set(countdown=5)"


def test_stamps(t: SimpleNamespace) -> None:
    class Tenant(StampingVisitor):  # type: ignore[misc]
        def on_signature(self, sig: Signature, **headers: object) -> dict[str, str]:
            return {"tenant": "acme"}

    canvas = chain(t.fetch.s(), t.publish.s())
    canvas.stamp(Tenant())
    text = "fetch().stamp(tenant='acme') | publish().stamp(tenant='acme')"
    assert str(shape(canvas)) == text


def test_a_stamped_chord(t: SimpleNamespace) -> None:
    class Tenant(StampingVisitor):  # type: ignore[misc]
        def on_signature(self, sig: Signature, **headers: object) -> dict[str, str]:
            return {"tenant": "acme"}

    canvas = chord([t.fetch.s()], t.publish.s())
    canvas.stamp(Tenant())
    assert {str(dict(task.stamps)) for task in shape(canvas).tasks()} == {"{'tenant': 'acme'}"}


def test_ids_are_no_part_of_a_shape(t: SimpleNamespace) -> None:
    canvas = chain(t.fetch.s(), t.publish.s())
    before = shape(canvas)
    canvas.freeze()
    assert shape(canvas) == before


def test_a_canvas_that_came_through_json(t: SimpleNamespace) -> None:
    canvas = t.fetch.s("u") | group(t.resize.s((1, 2)), t.audit.s()) | t.publish.s()
    canvas.link_error(t.clean.s())
    came = json.loads(json.dumps(canvas))
    assert shape(came) == shape(signature(came)) == shape(canvas)


def test_the_canvas_is_not_changed(t: SimpleNamespace) -> None:
    canvas = t.fetch.s("u") | group(t.resize.s(1), t.audit.s()) | t.publish.s()
    before = copy.deepcopy(dict(canvas)), json.dumps(canvas)
    shape(canvas)
    assert (copy.deepcopy(dict(canvas)), json.dumps(canvas)) == before


def test_an_empty_group_and_an_empty_chain() -> None:
    assert str(shape(group())) == "group()"
    assert str(shape(chain())) == "chain()"


def test_a_task_is_no_signature(t: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match=r"canvas is the task proj.tasks.fetch; write fetch\.s"):
        shape(t.fetch)


def test_a_list_is_no_canvas(t: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match=r"canvas is a list; write group\(…\) or chain\(…\)"):
        shape([t.fetch.s()])


def test_what_is_not_a_signature_is_named_by_its_place(t: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match=r"canvas\[1\] is int, not a signature"):
        shape(
            {"task": "celery.group", "subtask_type": "group", "kwargs": {"tasks": [t.fetch.s(), 1]}}
        )


def test_celery_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys\n"
        "from pytest_celeryflow.shape import ANY, ANY_ARGS, Shape, assert_shape, shape\n"
        "found = Shape.parse(\"fetch('u') | group(resize(1), resize(2))\")\n"
        "found.tree(), found.mermaid(), found.svg(), Shape.from_json(found.to_json())\n"
        "assert_shape(found, 'fetch(ANY) | group(resize(1), resize(2))')\n"
        "assert not {'celery', 'kombu'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_name_of_the_package_is_callable_as_the_function(t: SimpleNamespace) -> None:
    import pytest_celeryflow.shape as package

    assert package(t.fetch.s()) == Shape(kind="task", name="proj.tasks.fetch")


def test_a_signature_without_an_app() -> None:
    assert (
        str(shape(Celery(set_as_current=False).signature("x.y") | signature("x.z"))) == "y() | z()"
    )


@pytest.mark.parametrize("write", ["in the body", "after the chord", "in a longer chain"])
def test_what_follows_a_chord_is_read_alike(t: SimpleNamespace, write: str) -> None:
    """Celery appends to the body, so that nothing tells the ways of writing it apart."""
    body = t.publish.s() | t.notify.s()
    canvas = {
        "in the body": lambda: chord([t.resize.s(1)], body),
        "after the chord": lambda: chord([t.resize.s(1)], t.publish.s()) | t.notify.s(),
        "in a longer chain": lambda: chain(chord([t.resize.s(1)], t.publish.s()), t.notify.s()),
    }[write]()
    found = shape(canvas)
    assert str(found) == "chord([resize(1)], publish()) | notify()"
    assert Shape.parse("chord([resize(1)], publish() | notify())") == Shape.parse(str(found))


def test_any_as_a_body_stands_for_all_that_follows(t: SimpleNamespace) -> None:
    """Also for what is written after the chord."""
    canvas = t.fetch.s() | chord([t.resize.s(1)], t.publish.s()) | t.notify.s()
    assert_shape(canvas, t.fetch.s() | chord([t.resize.s(1)], ANY_TASK) | ANY_TASK)
    assert_shape(canvas, "fetch() | chord([resize(1)], ANY)")
    with pytest.raises(AssertionError):
        assert_shape(canvas, "fetch() | chord([resize(2)], ANY)")
