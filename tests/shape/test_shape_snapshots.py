"""Shapes in snapshot libraries: the text suits them as it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from celery import group

from pytest_celeryflow.shape import Shape, shape

pytest_plugins = ["pytester"]

TEST = """
from celery import Celery, group
from pytest_celeryflow.shape import Shape, shape
{imports}

app = Celery(set_as_current=False)
fetch, resize, publish = map(app.signature, ("proj.fetch", "proj.resize", "proj.publish"))
canvas = fetch.clone(("u",)) | group(resize.clone((n,)) for n in range({members})) | publish

def test_text({fixture}):
    assert str(shape(canvas)) == {snapshot}

def test_shape({fixture}):
    assert shape(canvas) == {snapshot}
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:celeryflow", *options)


def test_syrupy(pytester: pytest.Pytester) -> None:
    pytest.importorskip("syrupy")
    how = {"imports": "", "fixture": "snapshot", "snapshot": "snapshot"}
    test = pytester.makepyfile(TEST.format(members=3, **how))
    run(pytester, "--snapshot-update").assert_outcomes(passed=2)
    run(pytester).assert_outcomes(passed=2)
    stored = next(Path(pytester.path).rglob("*.ambr")).read_text(encoding="utf-8")
    assert "fetch('u') | chord([resize(0), resize(1), resize(2)], publish())" in stored
    test.write_text(TEST.format(members=4, **how), encoding="utf-8")
    run(pytester).assert_outcomes(failed=2)


def test_inline_snapshot(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("inline_snapshot")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    how = {"imports": "from inline_snapshot import snapshot", "fixture": ""}
    test = pytester.makepyfile(TEST.format(members=3, snapshot="snapshot()", **how))
    run(pytester, "--inline-snapshot=create")
    written = test.read_text(encoding="utf-8")
    assert "fetch('u') | chord([resize(0), resize(1), resize(2)], publish())" in written
    assert "Shape(kind=" in written
    run(pytester).assert_outcomes(passed=2)
    test.write_text(written.replace("range(3)", "range(4)"), encoding="utf-8")
    assert run(pytester).parseoutcomes()["failed"] == 2


def test_the_repr_is_code_that_builds_the_shape(t: SimpleNamespace) -> None:
    found = shape(group(t.resize.s(1), t.audit.s()))
    assert repr(found) == "Shape.parse('group(proj.tasks.resize(1), proj.tasks.audit())')"
    assert eval(repr(found), {"Shape": Shape}) == found
