"""The one-line text: canonical, short, and read back."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from types import SimpleNamespace

import pytest
from celery import Celery, chain, group

from pytest_celeryflow.shape import ANY, ANY_ARGS, Shape, shape

BACK = [
    "fetch('u') | chord([resize(100), resize(200)], publish()) | notify.si('done')",
    "group(resize(…) × 40)",
    "group(resize(1) × 3, audit())",
    "group((resize(1) | audit()) × 3)",
    "poll() × 5 | done()",
    "group(resize.si(…).set(queue='q') × 11)",
    "chain()",
    "chain(a())",
    "chain(a() | b(), c())",
    "chord([])",
    "chord([a()], b()) | c()",
    "a().link(b() | c()).on_error(d()).on_error(e())",
    "chain(a(), b()).set(countdown=5, immutable=True)",
    "a().stamp(tenant='x')",
    "a.map([1, 2])",
    "a(1).starmap([[1, 2]])",
    "a.chunks([ANY × 100], 10)",
    "chord([a()], b()).clone([1], {'x': 2})",
    "any_order(group(a(), b()))",
    "group(repeated(a(…), ANY), b())",
    "ANY_TASK | ANY",
    "a(…)",
    "a(1, …, x=ANY)",
    "a(int, str)",
    "a(-1, 1.5, None, True, 'x × y … | z', b'raw')",
    "a({'k': [1, {'n': None}]}, **{'a-b': 1, 'class': 2})",
    "a({1, 2}, frozenset({3}), set())",
    "a(float('inf'), float('nan'))",
    "signature('my-task')(1)",
    "signature('my-task').si(1)",
    "signature('a.map')(1)",
    "signature('group')()",
    "a('it\\'s', \"say 'x'\", '\\n')",
]


@pytest.mark.parametrize("text", BACK)
def test_text_that_was_read_is_written_alike(text: str) -> None:
    once = str(Shape.parse(text))
    assert str(Shape.parse(once)) == once
    assert Shape.parse(once) == Shape.parse(text)
    assert once == text or "\\'" in text


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
        dt.date(2026, 1, 2),
        dt.timedelta(hours=2),
        Decimal("1.10"),
        uuid.UUID(int=7),
        {"nested": [dt.time(1, 2)]},
    ],
    ids=str,
)
def test_values_that_celery_serializes_are_read_back(value: object) -> None:
    found = Shape(kind="task", name="f", args=(value,))
    assert Shape.parse(str(found)) == found


def test_keys_are_sorted(t: SimpleNamespace) -> None:
    one, two = t.fetch.s({"b": 1, "a": 2}, y=1, x=2), t.fetch.s({"a": 2, "b": 1}, x=2, y=1)
    assert str(shape(one)) == str(shape(two)) == "fetch({'a': 2, 'b': 1}, x=2, y=1)"


def test_names_are_as_short_as_tells_them_apart() -> None:
    app = Celery(set_as_current=False)
    a, b, c = (app.signature(name) for name in ("one.io.fetch", "two.io.fetch", "two.io.send"))
    assert str(shape(chain(a, b, c))) == "one.io.fetch() | two.io.fetch() | send()"


def test_a_name_that_ends_another_is_told_apart() -> None:
    app = Celery(set_as_current=False)
    found = shape(chain(app.signature("fetch"), app.signature("a.fetch")))
    assert str(found) == "fetch() | a.fetch()"
    assert Shape.parse(str(found)) == found


def test_a_group_up_to_ten_is_written_out(t: SimpleNamespace) -> None:
    assert str(shape(group(t.resize.s(n) for n in range(10)))).count("resize") == 10


def test_a_wider_group_is_folded_and_the_text_still_equals_it(t: SimpleNamespace) -> None:
    found = shape(group(t.resize.s(n) for n in range(40)))
    assert str(found) == "group(resize(…) × 40)"
    assert Shape.parse(str(found)) == found
    assert Shape.parse("group(resize(…) × 39)") != found


def test_neighbours_that_differ_are_not_folded(t: SimpleNamespace) -> None:
    members = (
        [t.resize.s(n) for n in range(20)] + [t.audit.s()] + [t.resize.s(n) for n in range(20)]
    )
    assert str(shape(group(members))) == "group(resize(…) × 20, audit(), resize(…) × 20)"


def test_repr_leaves_nothing_out(t: SimpleNamespace) -> None:
    found = shape(group(t.resize.s(n) for n in range(40)))
    assert eval(repr(found)) == found
    assert repr(found).count("proj.tasks.resize") == 40


def test_no_address_in_memory(t: SimpleNamespace) -> None:
    assert str(shape(t.fetch.s(object()))) == "fetch(<object object>)"


def test_a_long_chain_is_read_back(t: SimpleNamespace) -> None:
    found = shape(chain(*[t.fetch.s(n) for n in range(300)]))
    assert eval(repr(found)) == found


def test_a_deep_canvas_is_written_in_no_time() -> None:
    found = Shape.parse("a()")
    for n in range(50):
        found = Shape(kind="chord", children=(Shape.parse(f"b({n})"), found), body=found.body)
    assert Shape.parse(str(found)) == found
    assert len(found.tree().splitlines()) > 50
    assert found.mermaid().count("-->") == 0


def test_many_lines_are_read_as_one() -> None:
    assert Shape.parse("fetch('u')\n  | publish()\n") == Shape.parse("fetch('u') | publish()")


def test_ellipsis_in_ascii() -> None:
    assert Shape.parse("group(resize(...) @ 3)") == Shape.parse("group(resize(…) × 3)")
    assert Shape.parse("resize(ANY_ARGS)").args == (ANY_ARGS,)
    assert Shape.parse("resize(ANY)").args[0] is ANY


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fetch(", "not the text of a shape: '(' was never closed, at column 6"),
        ("fetch", "not the text of a shape: 'fetch' is not a step; write a call"),
        ("fetch(<object>)", "not the text of a shape: invalid syntax"),
        ("fetch(open('x'))", "\"open('x')\" is not a value that text can carry"),
        ("chord(a(), b())", "chord() takes a list, the header, and the body"),
        ("any_order(a())", "any_order() takes one group or chord"),
        ("group(a() × x)", "'x' is not a number of times"),
        ("", "not the text of a shape: invalid syntax"),
    ],
)
def test_what_is_not_text_of_a_shape_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        Shape.parse(text)
    assert why in str(caught.value)
    assert "The form is: fetch('u') | chord(" in str(caught.value)


def test_nothing_is_evaluated() -> None:
    with pytest.raises(ValueError, match=r"is not a step|does not name a task"):
        Shape.parse("(lambda: 1)()")


def test_a_chain_of_one_step_several_times_is_read_back() -> None:
    """All of its text is one repeated step."""
    step = Shape.parse("fetch()")
    chain = Shape(kind="chain", children=(step, step, step))
    assert str(chain) == "fetch() × 3"
    assert Shape.parse(str(chain)) == chain
