"""The reference suite in somebody else's project: what it runs, what it leaves alone, what it says."""

from __future__ import annotations

import re

import pytest

from tests.services import rabbitmq_url, redis_client, redis_url

pytestmark = pytest.mark.slow

SUITE = ["--pyargs", "pytest_celeryflow.reference"]

#: What else is installed must not change what is printed; xdist makes it no quicker.
QUIETLY = ["-p", "no:randomly", "-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cacheprovider"]

STRICT = """
[pytest]
addopts = --strict-markers --strict-config {more}
filterwarnings = error
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A project with opinions and a conftest of its own."""
    for name in ("CELERYFLOW_REQUIRE_SERVICES", "CELERYFLOW_REDIS_URL", "CELERYFLOW_RABBITMQ_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    pytester.makeini(STRICT.format(more=""))
    pytester.makeconftest("import pytest\n\n@pytest.fixture(autouse=True)\ndef ours():\n    yield\n")
    return pytester


def run(project, *options):
    return project.runpytest_subprocess(*QUIETLY, *SUITE, *options)


def table(result):
    """The summary, from its title on, without the lines of pytest."""
    lines = str(result.stdout).splitlines()
    first = next(n for n, line in enumerate(lines) if "reference workflows on" in line)
    last = next(n for n, line in enumerate(lines) if "does not work: " in line or "works: " in line)
    return "\n".join(lines[first + 1 : last + 1]).strip()


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_it_runs_in_a_strict_project(project, mode):
    """Warnings are errors, markers are strict, and modules are imported in any of pytest's ways."""
    project.makeini(STRICT.format(more=f"--import-mode={mode}"))
    chosen = "chord-eager or chord-worker or chord-sim or saga or errback or test_declarations"
    result = run(project, "-k", chosen, "--celeryflow-modes", "eager,worker,sim")
    assert result.ret == 0
    assert set(result.parseoutcomes()) <= {"passed", "deselected"}
    assert "reference workflows on" not in str(result.stdout)


def test_one_mode_is_one_mode(project):
    """``--celeryflow-mode`` holds here, too."""
    result = run(project, "-k", "test_workflow and signature", "--celeryflow-mode", "sim", "-v")
    result.stdout.fnmatch_lines(["*signature-sim*PASSED*"])
    assert "signature-worker" not in str(result.stdout)


def test_nothing_is_collected_or_imported_unless_asked_for(project):
    """A session of the user's own tests does not know the reference workflows."""
    project.makepyfile(
        """
        import sys

        def test_own(celeryflow):
            assert not [name for name in sys.modules if "celeryflow.reference" in name]
        """
    )
    project.runpytest_subprocess(*QUIETLY).assert_outcomes(passed=1)


def test_a_difference_that_is_gone_fails(project):
    """A known difference is a claim like any other."""
    project.makeconftest(
        """
        from pytest_celeryflow.reference.catalogue import WORKFLOWS
        from pytest_celeryflow.reference.declaration import Differs

        chord = next(each for each in WORKFLOWS if each.name == "chord")
        chord.differs["eager"] = Differs("Chords are not eager.", end=7, executions={"total": 0})
        """
    )
    chosen = "chord-eager and not add-to"
    result = run(project, "-k", chosen, "--celeryflow-modes", "eager")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        [
            "E * chord in eager is not what it says",
            "E * end: expected 7, instead 140",
            "E * executions: expected {'sales': 3, 'total': 0}, instead {'sales': 3, 'total': 1}",
            "E * It is said to differ there: Chords are not eager.",
            "E * If that is no longer so, remove 'eager' from its `differs`.",
        ]
    )


def test_a_run_on_a_redis_ends_with_a_table_and_leaves_nothing_behind(project):
    client = redis_client()
    before = set(client.keys())
    chosen = "signature or chord-redis or periodic"
    result = run(project, "-k", chosen, "--celeryflow-redis-url", redis_url())
    ours = {key for key in set(client.keys()) - before if b"celeryflow" in key}
    client.close()
    assert result.ret == 0
    assert ours == set()
    assert (
        table(result)
        == """\
add-to-chord  works
chord         works
periodic-job  not run  [1]
signature     works

[1] beat needs virtual time: a week is a week where time is real

not run: 1, works: 3"""
    )


def test_rpc_has_no_chords_and_the_table_says_why(project):
    """What Celery itself refuses is no failure of the user's services."""
    chosen = "signature or chord-rabbitmq or replace-rabbitmq or group-of-chains"
    options = ["--celeryflow-rabbitmq-url", rabbitmq_url(), "--celeryflow-backend-url", "rpc://"]
    result = run(project, "-k", chosen, *options)
    assert result.ret == 0
    assert (
        table(result)
        == """\
add-to-chord         does not work  [1]
chord                does not work  [1]
fallback-by-replace  does not work  [2]
group-of-chains      works
replace              does not work  [2]
signature            works

[1] NotImplementedError: The "rpc" result backend does not support chords! (celery/backends/rpc.py:ensure_chords_allowed)

[2] the replacement's result is sent to the worker, not to the caller: the worker freezes it with a reply queue of its own (celery/canvas.py:Signature.freeze)

does not work: 4, works: 2"""
    )


def test_a_surprise_is_one_line(project):
    """No traceback of the toolkit's for what the services did."""
    project.makeconftest(
        """
        from pytest_celeryflow.reference.catalogue import WORKFLOWS

        chain = next(each for each in WORKFLOWS if each.name == "chain-that-fails")
        object.__setattr__(chain, "end", "a result")
        """
    )
    options = ["--celeryflow-backend-url", "cache+memory://"]
    result = run(project, "-k", "test_workflow and chain-that-fails", *options)
    text = str(result.stdout)
    assert "chain-that-fails on memory, results in cache+memory://: FileNotFoundError: " in text
    assert "test_workflows.py:" not in text.partition("Captured")[0]
    assert result.ret == 1
    assert re.search(r"chain-that-fails +does not work +\[1\]", text)


def test_a_redis_that_is_not_there_is_a_reason_to_skip(project):
    pytest.importorskip("redis")
    options = ["--celeryflow-redis-url", "redis://127.0.0.1:1/0", "-rs"]
    result = run(project, "-k", "test_workflow and signature", *options)
    assert result.ret == 0
    assert result.parseoutcomes()["skipped"] == 1
    result.stdout.fnmatch_lines(
        ["signature  not run  [[]1]", "[[]1] no Redis: url names one that does not answer: 127.0.0.1:1*"]
    )


def test_the_services_of_the_users_own_app(project):
    """Broker, result backend and settings of the app; a password is not printed."""
    url, store = rabbitmq_url(), project.mkdir("results")
    project.makepyfile(
        proj=f"""
        from celery import Celery

        app = Celery("proj", broker={url!r}, backend="file://{store}")
        app.conf.update(task_routes={{"*": {{"queue": "theirs"}}}}, result_serializer="json")
        """
    )
    project.makeini(STRICT.format(more="") + "celeryflow_app = proj:app\npythonpath = .\n")
    result = run(project, "-k", "signature-own or chord-own", "--celeryflow-own-services")
    assert result.ret == 0
    title = next(x for x in result.outlines if "reference workflows on" in x)
    assert f"results in file://{store}" in str(result.stdout)
    assert ":guest@" not in title
    assert "works: 2" in table(result) or "works: 3" in table(result)


@pytest.mark.parametrize(
    ("ini", "said"),
    [
        ("", "--celeryflow-own-services needs the ini option celeryflow_app = module:attribute"),
        ("celeryflow_app = nowhere:app", "*celeryflow_app='nowhere:app' cannot be imported: *"),
        ("celeryflow_app = json:dumps", "*celeryflow_app='json:dumps' is not a Celery app"),
    ],
)
def test_own_services_need_an_app(project, ini, said):
    project.makeini(STRICT.format(more="") + ini)
    result = run(project, "--celeryflow-own-services")
    text = str(result.stdout) + str(result.stderr)
    assert re.search(re.escape(said).replace(r"\*", ".*"), text)
    assert "Traceback" not in text


def test_a_broker_that_mode_worker_cannot_use(project):
    project.makepyfile(proj="from celery import Celery\napp = Celery(broker='sqs://', backend='rpc://')")
    project.makeini(STRICT.format(more="") + "celeryflow_app = proj:app\npythonpath = .\n")
    result = run(project, "-k", "signature-own", "--celeryflow-own-services")
    result.stdout.fnmatch_lines(
        ["[[]1] mode worker can use Redis and RabbitMQ, not the broker sqs://"]
    )
