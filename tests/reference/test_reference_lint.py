"""No false alarm: what lint says of the reference app, wherever its messages and results are."""

from __future__ import annotations

import pytest

from pytest_celeryflow.lint import lint
from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.catalogue import WORKFLOWS
from pytest_celeryflow.reference.declaration import Surroundings


@pytest.fixture(params=[None, "redis://nowhere.invalid", "cache+memory://", "file:///nowhere"])
def url(request, monkeypatch):
    """Where results are; messages are in Redis, if anywhere."""
    monkeypatch.setattr(app.conf, "result_backend", request.param)
    monkeypatch.setattr(app.conf, "broker_url", request.param and "redis://nowhere.invalid")
    return request.param


def test_the_app(url):
    assert [str(each) for each in lint(app)] == []


def test_the_workflows(url):
    """A rule fires where a workflow is there to show it, and says so."""
    found = {w.name: lint(w.canvas(Surroundings())) for w in WORKFLOWS}
    codes = {name: tuple(sorted({f.code for f in each})) for name, each in found.items()}
    assert codes == {w.name: w.lint for w in WORKFLOWS}
