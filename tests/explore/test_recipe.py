"""The replay string: read back as it was written, and refused when it was not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_celeryflow.explore.recipe import Departure, Recipe

RECIPES = st.builds(
    Recipe,
    st.integers(0, 2**31),
    st.lists(st.sampled_from(["crash", "drop"]), unique=True).map(tuple),
    st.integers(0, 5),
    st.floats(0, 1e6),
    st.lists(st.builds(Departure, st.integers(0, 10**6), st.text())).map(tuple),
)


@given(RECIPES)
def test_read_back(recipe):
    """Whatever the words of an option are."""
    assert Recipe.read(str(recipe)) == recipe


@given(RECIPES)
def test_safe_on_a_command_line(recipe):
    """Letters, digits, and three signs that no shell takes for its own."""
    assert set(str(recipe).removeprefix("cf1:")) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    )


@given(RECIPES, st.data())
def test_damage_is_noticed(recipe, data):
    """Any one character changed, or the end cut off."""
    text = str(recipe)
    at = data.draw(st.integers(4, len(text) - 1))
    other = "A" if text[at] != "A" else "B"
    for damaged in (text[:at] + other + text[at + 1 :], text[:at]):
        try:
            assert Recipe.read(damaged) == recipe  # the unused bits of the last character
        except ValueError as exc:
            assert "was damaged" in str(exc)  # noqa: PT017 - either is right


@pytest.mark.parametrize("wrong", ["", "cf2:AAAA", "hello", 5, None])
def test_what_is_no_replay_string(wrong):
    """It says how one begins."""
    with pytest.raises(ValueError, match="it must begin with 'cf1:'"):
        Recipe.read(wrong)
