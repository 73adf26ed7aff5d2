"""`Values`: bytes under keys, with expiry on a clock that is given."""

from __future__ import annotations

import pytest


def test_a_value_is_there_until_it_is_deleted(values) -> None:
    """Setting, reading, deleting; deleting twice says that nothing was there."""
    values.set(b"k", b"v")
    assert values.get(b"k") == b"v"
    assert (values.delete(b"k"), values.delete(b"k")) == (True, False)
    assert values.get(b"k") is None


def test_a_value_is_gone_when_its_time_has_come(values, present) -> None:
    """Up to the last moment it is there; at the moment itself it is not."""
    values.set(b"k", b"v", 10)
    present.now += 9.999
    assert values.get(b"k") == b"v"
    present.now += 0.001
    assert values.get(b"k") is None
    assert list(values) == []


def test_setting_again_forgets_the_expiry(values, present) -> None:
    """As SET does on Redis."""
    values.set(b"k", b"old", 10)
    values.set(b"k", b"new")
    present.now += 100
    assert values.get(b"k") == b"new"


def test_adding_keeps_the_expiry(values, present) -> None:
    """A counter of a chord lives as long as it was told to."""
    values.set(b"k", b"1", 10)
    assert values.incr(b"k", 2) == 3
    present.now += 10
    assert values.incr(b"k") == 1


def test_expire_says_whether_there_is_a_value(values, present) -> None:
    """It gives a value an end, and nothing to what is not there."""
    assert values.expire(b"k", 5) is False
    values.set(b"k", b"v")
    assert values.expire(b"k", 5) is True
    present.now += 5
    assert values.expire(b"k", 5) is False


def test_an_end_in_the_past_deletes(values) -> None:
    """As EXPIRE with 0 does on Redis."""
    values.set(b"k", b"v")
    values.expire(b"k", 0)
    assert values.get(b"k") is None


def test_setdefault_keeps_what_is_there(values) -> None:
    """A container is made once."""
    first = values.setdefault(b"k", [])
    first.append(1)
    assert values.setdefault(b"k", []) == [1]


@pytest.mark.parametrize("change", [lambda v: v.set(b"k", b"1"), lambda v: v.incr(b"k")])
def test_each_change_is_told(values, change) -> None:
    """Whoever waits is woken, and sees a new version."""
    told = []
    values.changed = lambda: told.append(values.version)
    before = values.version
    change(values)
    assert told == [before + 1]
