"""What `assert_shape` prints when it fails: each message as it is, in `failures.txt`.

After a change of the messages, write them anew and read the difference:

    python tests/shape/test_shape_failures.py
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, chain, chord, group

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.shape import ANY, Shape, any_order, assert_shape, repeated, shape
from pytest_celeryflow.shape._difference import explain_eq

GOLDEN = Path(__file__).with_name("failures.txt")


def is_even(n: int) -> bool:
    return n % 2 == 0


def nest(t: Any, depth: int, value: int) -> Any:
    canvas = t.resize.s(value)
    for _ in range(depth):
        canvas = chord([t.fetch.s(), canvas], t.publish.s())
    return canvas


#: Name -> actual, expected, and how to compare.
CASES: dict[str, Callable[[Any], tuple[Any, Any, dict[str, bool]]]] = {
    "one argument in a wide header": lambda t: (
        t.fetch.s("u") | group(t.resize.s(n) for n in range(40)) | t.publish.s(),
        t.fetch.s(ANY) | group(t.resize.s(n if n != 3 else 400) for n in range(40)) | t.publish.s(),
        {},
    ),
    "a matcher that matched": lambda t: (
        t.resize.s("in.png", 100, mode="fit"),
        t.resize.s(ANY, 200, mode=str),
        {},
    ),
    "a missing step": lambda t: (
        chain(t.fetch.s(1), t.notify.si()),
        chain(t.fetch.s(1), t.publish.s(), t.notify.si()),
        {},
    ),
    "an unexpected step": lambda t: (
        chain(t.fetch.s(1), t.publish.s(), t.notify.si()),
        chain(t.fetch.s(1), t.notify.si()),
        {},
    ),
    "another task": lambda t: (t.fetch.s() | t.audit.s(1), t.fetch.s() | t.publish.s(1), {}),
    "another kind": lambda t: (
        t.fetch.s() | group(t.resize.s(1), t.resize.s(2)) | t.publish.s(),
        t.fetch.s() | group(t.resize.s(1), t.resize.s(2)),
        {},
    ),
    "one task where a chain was expected": lambda t: (
        t.fetch.s(1),
        t.fetch.s(ANY) | t.publish.s(),
        {},
    ),
    "one member moved": lambda t: (
        group(t.resize.s(n) for n in (5, 0, 1, 2, 3, 4)),
        group(t.resize.s(n) for n in range(6)),
        {},
    ),
    "all members moved": lambda t: (
        group(t.resize.s(n) for n in (3, 2, 1, 0)),
        group(t.resize.s(n) for n in range(4)),
        {},
    ),
    "any order, one does not fit": lambda t: (
        group(t.resize.s(n) for n in (3, 2, 1, 9)),
        any_order(group(t.resize.s(n) for n in range(4))),
        {},
    ),
    "an errback too many": lambda t: (
        t.fetch.s().on_error(t.clean.s()) | t.publish.s(),
        t.fetch.s() | t.publish.s(),
        {},
    ),
    "an option": lambda t: (
        t.fetch.s().set(queue="slow"),
        t.fetch.s().set(queue="fast"),
        {"options": True},
    ),
    "options of a group": lambda t: (
        group(t.fetch.s(1), t.fetch.s(2)).set(queue="slow"),
        group(t.fetch.s(1), t.fetch.s(3)),
        {"options": True},
    ),
    "immutable": lambda t: (t.fetch.s() | t.publish.si(), t.fetch.s() | t.publish.s(), {}),
    "deep in a long argument": lambda t: (
        t.resize.s({"files": ["a" * 90, "b"], "width": 5}),
        t.resize.s({"files": ["a" * 89 + "x", "b"], "width": int}),
        {},
    ),
    "a predicate and a type": lambda t: (t.resize.s(3, 4), t.resize.s(is_even, str), {}),
    "an item of a map": lambda t: (t.resize.map([1, 2, 3]), t.resize.map([1, 2, 4]), {}),
    "a chord without body": lambda t: (
        chord([t.fetch.s()], None),
        chord([t.fetch.s()], t.publish.s()),
        {},
    ),
    "too few of a repeated one": lambda t: (
        group(t.resize.s(n) for n in range(3)),
        group(repeated(t.resize.s(ANY), 5)),
        {},
    ),
    "everything": lambda t: (
        chain(*[t.resize.s(n) for n in range(10)]),
        chain(*[t.resize.s(n + 100) for n in range(10)]),
        {},
    ),
    "deep path": lambda t: (nest(t, 9, 1), nest(t, 9, 2), {}),
    "steps of a chain moved": lambda t: (
        chain(t.fetch.s(), t.audit.s(), t.publish.s()),
        chain(t.fetch.s(), t.publish.s(), t.audit.s()),
        {},
    ),
}


def message(t: Any, name: str) -> str:
    actual, expected, how = CASES[name](t)
    with pytest.raises(CeleryflowAssertionError) as caught:
        assert_shape(actual, expected, **how)
    return str(caught.value)


def golden() -> dict[str, str]:
    parts = re.split(r"^### (.*)\n", GOLDEN.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.rstrip("\n") for name, text in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_the_message(t: SimpleNamespace, name: str) -> None:
    assert message(t, name) == golden()[name]


@pytest.mark.parametrize("name", CASES)
def test_the_first_line_is_short_and_begins_with_the_path(t: SimpleNamespace, name: str) -> None:
    first, *_ = message(t, name).splitlines()
    assert len(first) <= 80
    assert re.match(r"(task|chain|group|chord|map)[^ :]*: ", first)


@pytest.mark.parametrize("name", CASES)
def test_what_it_says_to_write_is_right(t: SimpleNamespace, name: str) -> None:
    actual, _, how = CASES[name](t)
    text = eval(message(t, name).splitlines()[-1])
    assert_shape(actual, text.replace("is_even", "ANY"), **how)


def test_both_sides_can_be_asked_for(t: SimpleNamespace) -> None:
    with pytest.raises(CeleryflowAssertionError) as caught:
        assert_shape(t.fetch.s(1), t.fetch.s(2))
    assert caught.value.actual == shape(t.fetch.s(1))
    assert caught.value.expected == shape(t.fetch.s(2))


def test_the_traceback_ends_in_the_test() -> None:
    assert "__tracebackhide__" in assert_shape.__code__.co_varnames


def test_a_very_large_difference_is_cut(t: SimpleNamespace) -> None:
    one, two = group(t.resize.s(n) for n in range(99)), group(t.audit.s(n) for n in range(99))
    with pytest.raises(CeleryflowAssertionError) as caught:
        assert_shape(one, two)
    assert "\n  … 139 more lines\n" in str(caught.value)


def test_one_member_too_many_in_front_of_a_very_wide_group(t: SimpleNamespace) -> None:
    one = group(t.resize.s(n) for n in range(600))
    two = group(t.resize.s(n) for n in range(1, 601))
    with pytest.raises(CeleryflowAssertionError) as caught:
        assert_shape(one, two)
    first, *_ = str(caught.value).splitlines()
    assert first == "group[0]: unexpected: resize(0) (and 1 more)"


@pytest.mark.parametrize("name", CASES)
def test_the_explanation_of_an_equality_has_at_most_seven_lines(
    t: SimpleNamespace, name: str
) -> None:
    actual, expected, _ = CASES[name](t)
    lines = explain_eq(shape(actual), shape(expected))
    assert lines is not None
    assert 1 <= len(lines) <= 7
    assert all(len(line) <= 100 for line in lines)


def test_the_explanation_of_an_equality(t: SimpleNamespace) -> None:
    left, right = shape(t.fetch.s() | t.resize.s(1)), shape(t.fetch.s() | t.resize.s(2))
    assert explain_eq(left, right) == [
        "chain[1].args[0]: expected 2, got 1",
        "- right side   + left side",
        "  chain",
        "    [0] fetch()",
        "-   [1] resize(2)",
        "+   [1] resize(1)",
    ]


def test_the_explanation_of_an_equality_with_text() -> None:
    found = explain_eq(Shape.parse("fetch()"), "fetch()")
    assert found is not None
    assert found[0] == "a Shape is never equal to text"


def test_nothing_to_explain_about_other_objects() -> None:
    assert explain_eq(1, 2) is None


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    app = Celery(set_as_current=False)
    names = ("fetch", "resize", "publish", "notify", "audit", "clean")

    def body(*args: object) -> None: ...

    tasks = SimpleNamespace(
        **{n: app.task(name=f"proj.tasks.{n}", shared=False)(body) for n in names}
    )
    GOLDEN.write_text(
        "\n".join(f"### {name}\n{message(tasks, name)}\n" for name in CASES), encoding="utf-8"
    )
