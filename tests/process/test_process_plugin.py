"""Mode `process` as a user of pytest meets it."""

import itertools

import pytest

from tests import services

pytestmark = pytest.mark.slow

_numbers = itertools.count()

APP = """
from celery import Celery

app = Celery({name!r})

@app.task
def inc(x):
    print(f"counting {{x}}")
    return x + 1
"""


@pytest.fixture
def run(pytester):
    """Run pytest on a test file, in a project with an app of its own."""
    services.private_redis()

    def run(text, *options, ini=True, env=()):
        name = f"shop_{next(_numbers)}"
        pytester.makepyfile(**{name: APP.format(name=name)})
        pytester.makepyfile(**{f"test_{name}": f"import pytest\nfrom {name} import inc\n{text}"})
        pytester.makeini("[pytest]\n" + (f"celeryflow_app = {name}:app" if ini else ""))
        others = ("randomly", "celery", "asyncio", "django", "xdist", "hypothesispytest")
        blocked = [part for each in others for part in ("-p", f"no:{each}")]
        return pytester.runpytest_subprocess(*blocked, "-p", "no:cacheprovider", *options)

    return run


def test_fixture_marker_and_option_open_the_mode(run):
    result = run(
        """
def test_fixture(celeryflow_process):
    assert celeryflow_process.mode == "process"
    assert celeryflow_process.run(inc.s(1)).value == 2

@pytest.mark.celeryflow(mode="process", workers=2, concurrency=1)
def test_marker(celeryflow):
    assert [worker.name for worker in celeryflow.workers] == ["w1", "w2"]

@pytest.mark.celeryflow(modes=["sim", "process"])
def test_several(celeryflow):
    assert celeryflow.run(inc.s(1)).value == 2

def test_option(celeryflow):
    assert celeryflow.mode == "process"
""",
        "-v",
        "--celeryflow-mode=process",
    )
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*test_several?sim?*", "*test_several?process?*"])
    result.stdout.no_fnmatch_line("*output of worker*")


def test_a_failure_shows_what_happened_and_what_the_worker_wrote(run):
    result = run(
        """
def test_it(celeryflow_process):
    assert celeryflow_process.run(inc.s(1)).value == 3
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*celeryflow: what happened in mode process*",
            "*inc#1  ▸ started with (1)",
            "*inc#1  ✓ returned 2*",
            "*celeryflow: output of worker w1*",
            "*counting 1*",
        ]
    )


def test_an_app_that_no_worker_can_import_is_an_error_that_says_what_to_do(run):
    result = run("def test_it(celeryflow_process): pass", ini=False)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*a worker is another process, and cannot import this app*celeryflow_app = proj.celery:app*"]
    )


def test_a_server_that_is_missing_skips_with_the_reason(run, monkeypatch):
    monkeypatch.delenv("CELERYFLOW_REQUIRE_SERVICES", raising=False)
    result = run(
        "def test_it(celeryflow_process): raise AssertionError",
        "-rs",
        "--celeryflow-redis-url=redis://127.0.0.1:1/0",
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no Redis: url names one that does not answer: 127.0.0.1:1*"])


def test_compare_modes_knows_it():
    from pytest_celeryflow import compare_modes
    from tests.process import app as t

    url = services.private_redis().url
    options = {"process": {"broker": url, "backend": url}}
    comparison = compare_modes(t.app, t.add.s(1, 2), ("sim", "process"), options=options)
    assert comparison.same, str(comparison)
