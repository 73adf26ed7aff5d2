"""Matchers: what stands for what in `assert_shape`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from celery import chain, chord, group

from pytest_celeryflow.shape import (
    ANY,
    ANY_ARGS,
    ANY_TASK,
    Shape,
    any_order,
    assert_shape,
    repeated,
    shape,
)


def fits(actual: Any, expected: Any, **how: bool) -> bool:
    try:
        assert_shape(actual, expected, **how)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    "value",
    [ANY, mock.ANY, int, pytest.approx(100), lambda n: n > 50, 100],
    ids=["ANY", "mock.ANY", "type", "approx", "predicate", "value"],
)
def test_what_matches_an_argument(t: SimpleNamespace, value: object) -> None:
    assert fits(t.resize.s(100), t.resize.s(value))


@pytest.mark.parametrize(
    "value",
    [str, pytest.approx(101), lambda n: n > 500, lambda n: n.no_such, 100.0, "100", bool],
    ids=["type", "approx", "predicate", "predicate that raises", "float", "text", "bool"],
)
def test_what_does_not_match_an_argument(t: SimpleNamespace, value: object) -> None:
    assert not fits(t.resize.s(100), t.resize.s(value))


def test_true_is_no_int(t: SimpleNamespace) -> None:
    assert not fits(t.resize.s(True), t.resize.s(int))


def test_matchers_of_dirty_equals(t: SimpleNamespace) -> None:
    dirty_equals = pytest.importorskip("dirty_equals")
    canvas = t.resize.s({"id": 7, "tags": ["a"]})
    assert fits(canvas, t.resize.s({"id": dirty_equals.IsPositiveInt, "tags": ["a"]}))
    assert fits(canvas, t.resize.s(dirty_equals.IsPartialDict(id=7)))
    assert not fits(canvas, t.resize.s({"id": dirty_equals.IsNegative, "tags": ["a"]}))


def test_matchers_deep_in_a_value(t: SimpleNamespace) -> None:
    canvas = t.resize.s({"files": [{"name": "a", "size": 3}]})
    assert fits(canvas, t.resize.s({"files": [{"name": ANY, "size": int}]}))


def test_any_args_stands_for_the_rest(t: SimpleNamespace) -> None:
    canvas = t.resize.s("in.png", 100, mode="fit")
    assert fits(canvas, t.resize.s(ANY_ARGS))
    assert fits(canvas, t.resize.s("in.png", ANY_ARGS))
    assert fits(canvas, t.resize.s(ANY_ARGS, mode="fit"))
    assert not fits(canvas, t.resize.s("out.png", ANY_ARGS))
    assert not fits(canvas, t.resize.s(ANY_ARGS, mode="fill"))
    assert not fits(canvas, t.resize.s("in.png", 100, 200, ANY_ARGS))
    assert not fits(canvas, t.audit.s(ANY_ARGS))


def test_any_args_matches_no_arguments_at_all(t: SimpleNamespace) -> None:
    assert fits(t.resize.s(), t.resize.s(ANY_ARGS))


def test_any_task_stands_for_one_task(t: SimpleNamespace) -> None:
    canvas = t.fetch.s("u") | t.resize.si(1) | t.publish.s()
    assert fits(canvas, t.fetch.s("u") | ANY_TASK | t.publish.s())
    assert not fits(canvas, t.fetch.s("u") | ANY_TASK)
    assert not fits(t.fetch.s() | group(t.audit.s(), t.clean.s()), t.fetch.s() | ANY_TASK)


def test_any_task_anywhere_in_a_canvas(t: SimpleNamespace) -> None:
    canvas = group(t.fetch.s(1), t.resize.s(2)) | t.publish.s()
    assert fits(canvas, group(ANY_TASK, t.resize.s(2)) | t.publish.s())
    assert fits(canvas, chord([t.fetch.s(1), ANY_TASK], ANY_TASK))


def test_any_stands_for_a_whole_branch(t: SimpleNamespace) -> None:
    canvas = group(t.fetch.s() | t.resize.s(), t.audit.s())
    assert fits(canvas, group(ANY, t.audit.s()))


def test_a_group_is_in_order(t: SimpleNamespace) -> None:
    one, two = t.resize.s(1), t.resize.s(2)
    assert not fits(group(one, two), group(two, one))


def test_any_order_of_a_group(t: SimpleNamespace) -> None:
    one, two = t.resize.s(1), t.resize.s(2)
    assert fits(group(one, two), any_order(group(two, one)))
    assert fits(group(one, two), any_order([two, one]))
    assert not fits(group(one, two), any_order(group(two, two)))
    assert not fits(group(one, two), any_order(group(two, one, one)))


def test_any_order_of_a_header(t: SimpleNamespace) -> None:
    one, two = t.resize.s(1), t.resize.s(2)
    canvas = t.fetch.s() | group(one, two) | t.publish.s()
    assert fits(canvas, t.fetch.s() | any_order(group(two, one)) | t.publish.s())
    assert fits(chord([one, two], t.publish.s()), any_order(chord([two, one], t.publish.s())))


def test_any_order_does_not_change_the_signatures_given(t: SimpleNamespace) -> None:
    one = t.resize.s(1)
    any_order(group(one, t.audit.s()))
    assert shape(group(one, t.audit.s())) == Shape.parse("group(resize(1), audit())")


def test_any_order_finds_the_pairing_that_a_greedy_search_would_miss(t: SimpleNamespace) -> None:
    canvas = group(t.resize.s(1), t.resize.s(2), t.resize.s(3))
    loose = any_order(group(t.resize.s(ANY), t.resize.s(lambda n: n < 3), t.resize.s(1)))
    assert fits(canvas, loose)


def test_any_order_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"any_order\(\) takes a group, a chord or a list, not 3"):
        any_order(3)


def test_what_a_map_goes_over_may_be_anything(t: SimpleNamespace) -> None:
    """All of it, or what follows, or one item."""
    two, pairs = t.resize.map([1, 2]), t.resize.starmap([(1, 2), (3, 4)])
    assert fits(two, t.resize.map(ANY))
    assert fits(pairs, t.resize.starmap(ANY))
    assert fits(pairs, t.resize.starmap([(1, ANY), ANY_ARGS]))
    assert fits(t.resize.chunks([(1, 2), (3, 4)], 1), t.resize.chunks(ANY, 1))
    assert fits(two, "resize.map([ANY_ARGS])")
    assert not fits(two, t.resize.starmap(ANY))
    assert not fits(two, t.resize.map([3, ANY_ARGS]))
    assert not fits(t.resize.chunks([(1, 2)], 1), t.resize.chunks(ANY, 2))


def test_a_map_that_begins_otherwise(t: SimpleNamespace) -> None:
    """What may be anything is not told as a difference."""
    with pytest.raises(AssertionError) as differs:
        assert_shape(t.resize.map([1, 2]), t.resize.map([3, ANY_ARGS]))
    assert str(differs.value).splitlines()[0] == "map.items[0]: expected 3, got 1"


def test_repeated_takes_a_signature(t: SimpleNamespace) -> None:
    """Or `ANY`, which fits whatever is there."""
    assert fits(group(t.fetch.s(), t.fetch.s() | t.audit.s()), group(repeated(ANY, 2)))
    with pytest.raises(TypeError, match=r"sig is .*; it is a signature, such as task\.s\(ANY\)"):
        repeated(t.resize, 2)


def test_repeated_in_a_group_a_header_and_a_chain(t: SimpleNamespace) -> None:
    members = [t.resize.s(n) for n in range(4)]
    assert fits(group(members), group(repeated(t.resize.s(ANY), 4)))
    assert fits(chord(members, t.publish.s()), chord([repeated(t.resize.s(ANY), 4)], t.publish.s()))
    assert fits(
        chain(t.fetch.s(), *[t.audit.si()] * 3, t.publish.s()),
        t.fetch.s() | repeated(t.audit.si(), 3) | t.publish.s(),
    )
    assert not fits(group(members), group(repeated(t.resize.s(ANY), 3)))


def test_repeated_as_the_only_member_of_a_group_in_a_chain(t: SimpleNamespace) -> None:
    members = [t.resize.s(n) for n in range(3)]
    canvas = t.fetch.s() | group(members) | t.publish.s() | t.notify.s()
    for n in (3, ANY):
        pattern = group(repeated(t.resize.s(ANY), n))
        assert fits(canvas, t.fetch.s() | pattern | t.publish.s() | t.notify.s())
        assert fits(t.fetch.s() | group(members), t.fetch.s() | pattern)
        assert fits(
            chain(t.fetch.s(), canvas),
            chain(t.fetch.s(), t.fetch.s() | pattern | t.publish.s() | t.notify.s()),
        )
    pattern = group(repeated(t.resize.s(ANY), 2))
    assert not fits(canvas, t.fetch.s() | pattern | t.publish.s() | t.notify.s())


def test_the_reading_of_repeated_that_is_nearer_is_reported(t: SimpleNamespace) -> None:
    canvas = t.fetch.s() | group(t.resize.s(n) for n in range(3)) | t.publish.s()
    with pytest.raises(AssertionError, match=r"^chain\[1\]\.header\[2\]: unexpected: resize\(2\)"):
        assert_shape(canvas, t.fetch.s() | group(repeated(t.resize.s(ANY), 2)) | t.publish.s())


def test_repeated_any_number_of_times(t: SimpleNamespace) -> None:
    pattern = group(t.fetch.s(), repeated(t.resize.s(ANY), ANY), t.audit.s())
    for n in range(3):
        assert fits(group(t.fetch.s(), *[t.resize.s(n)] * n, t.audit.s()), pattern)
    assert not fits(group(t.fetch.s(), t.clean.s(), t.audit.s()), pattern)


def test_repeated_within_any_order(t: SimpleNamespace) -> None:
    canvas = group(t.resize.s(1), t.audit.s(), t.resize.s(2))
    assert fits(canvas, any_order(group(t.audit.s(), repeated(t.resize.s(ANY), 2))))


@pytest.mark.parametrize(("n", "error"), [(-1, ValueError), ("3", TypeError), (True, TypeError)])
def test_repeated_a_wrong_number_of_times(
    t: SimpleNamespace, n: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match="n is "):
        repeated(t.resize.s(), n)


def test_two_open_numbers_among_siblings_are_refused(t: SimpleNamespace) -> None:
    pattern = group(repeated(t.resize.s(), ANY), repeated(t.audit.s(), ANY))
    with pytest.raises(ValueError, match=r"only one repeated\(…, ANY\) may stand among siblings"):
        assert_shape(group(t.resize.s()), pattern)


def test_text_and_shapes_are_expected_too(t: SimpleNamespace) -> None:
    canvas = t.fetch.s("u") | group(t.resize.s(1), t.resize.s(2)) | t.publish.s()
    assert fits(canvas, "fetch(ANY) | chord([resize(…) × 2], ANY_TASK)")
    assert fits(canvas, shape(canvas))
    assert fits(shape(canvas), canvas)


def test_arguments_count_unless_told_not_to(t: SimpleNamespace) -> None:
    assert fits(t.resize.s(1) | t.audit.s(), t.resize.s(2) | t.audit.s(x=1), args=False)
    assert not fits(t.resize.s(1), t.resize.si(1), args=False)


def test_options_count_only_when_told_to(t: SimpleNamespace) -> None:
    assert fits(t.resize.s().set(queue="a"), t.resize.s())
    assert not fits(t.resize.s().set(queue="a"), t.resize.s(), options=True)
    assert fits(t.resize.s().set(queue="a"), t.resize.s().set(queue=str), options=True)


def test_stamps_count_as_options(t: SimpleNamespace) -> None:
    canvas = t.resize.s()
    canvas.stamp(tenant="acme")
    assert fits(canvas, t.resize.s())
    assert not fits(canvas, t.resize.s(), options=True)


def test_links_and_errbacks_always_count(t: SimpleNamespace) -> None:
    assert not fits(t.resize.s().on_error(t.clean.s()), t.resize.s())
    assert fits(t.resize.s().on_error(t.clean.s(1)), t.resize.s().on_error(t.clean.s(ANY)))


def test_any_order_compares_each_pair_a_few_times_at_most(t: SimpleNamespace) -> None:
    """Matching stays quadratic, also where the first fitting member is always the wrong one."""
    compared = 0

    def upto(top: int) -> Callable[[int], bool]:
        def fitting(n: int) -> bool:
            nonlocal compared
            compared += 1
            return n <= top

        return fitting

    size = 100
    members = [t.resize.s(n) for n in range(size)]
    patterns = [t.resize.s(upto(n)) for n in reversed(range(size))]
    assert fits(group(members), any_order(group(patterns)))
    assert not fits(group([*members[:-1], t.audit.s()]), any_order(group(patterns)))
    assert compared <= 6 * size**2


def test_any_order_in_any_order_is_not_exponential(t: SimpleNamespace) -> None:
    """Six members against six, three levels deep: each pair of each level is looked at once."""
    compared = 0

    def exactly(wanted: int) -> Callable[[int], bool]:
        def fitting(n: int) -> bool:
            nonlocal compared
            compared += 1
            return n == wanted

        return fitting

    def nest(depth: int, leaf: Callable[[int], Any], *, backwards: bool) -> Any:
        leaves = [t.resize.s(leaf(n)) for n in range(3)]
        if depth:
            inner = nest(depth - 1, leaf, backwards=backwards)
            leaves += [chord([inner], t.audit.s())] * 3
        return any_order(group(leaves[::-1] if backwards else leaves))

    actual = shape(nest(3, lambda n: n, backwards=False))
    assert fits(actual, nest(3, exactly, backwards=True))
    assert compared <= 9 * (1 + 9 + 9**2 + 9**3)
