"""A test that uses no fixture."""

from __future__ import annotations


def test_nothing() -> None:
    """It only passes."""
