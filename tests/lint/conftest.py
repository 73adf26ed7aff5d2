"""What the examples of rules leave behind in Celery is taken away."""

from __future__ import annotations

import linecache

import pytest
from celery import _state


@pytest.fixture(autouse=True)
def _examples_stay_apart(monkeypatch):
    """An example's app becomes current, as a user's does."""
    monkeypatch.setattr(_state, "default_app", _state.default_app)
    monkeypatch.setattr(_state._tls, "current_app", _state._tls.current_app)
    yield
    linecache.checkcache()


@pytest.fixture
def no_shared_tasks(monkeypatch):
    """No app is given the shared tasks of other tests."""
    own = {each for each in _state._on_app_finalizers if each.__module__ == "celery.app.builtins"}
    monkeypatch.setattr(_state, "_on_app_finalizers", own)
