"""The plugin as a user meets it: transcripts of pytest inside pytest."""

import itertools
import sys
import textwrap

import pytest
from celery import _state

_numbers = itertools.count()

TASKS = """
    import pytest
    from celery import shared_task

    @shared_task
    def inc(x):
        return x + 1

    @shared_task
    def broken():
        raise ValueError("no stock")
"""


@pytest.fixture(autouse=True)
def _shared_tasks_forgotten():
    """`@shared_task` announces a task for the rest of the process: not ours."""
    kept = set(_state._on_app_finalizers)
    yield
    _state._on_app_finalizers.clear()
    _state._on_app_finalizers.update(kept)


@pytest.fixture
def run(pytester):
    """Run pytest on a test file, with our plugin and no other of this environment."""

    def run(text, *options, ini=""):
        # A name of its own: tasks are called after their module, in apps that live on.
        pytester.makepyfile(**{f"test_inner_{next(_numbers)}": TASKS + text})
        pytester.makeini(f"[pytest]\n{ini}")
        others = ("randomly", "celery", "asyncio", "django", "xdist", "hypothesispytest")
        blocked = [part for name in others for part in ("-p", f"no:{name}")]
        return pytester.runpytest_inprocess(*blocked, "-p", "no:cacheprovider", *options)

    return run


def test_a_test_runs_in_sim_by_default(run):
    """And a passing session prints nothing extra."""
    result = run(
        """
    def test_it(celeryflow):
        assert celeryflow.mode == "sim"
        assert celeryflow.run(inc.s(1)).value == 2
    """
    )
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*what happened*")
    assert "celeryflow" not in str(result.stdout).split("plugins:")[1].split("\n", 1)[1]


@pytest.mark.parametrize("mode", ["eager", "worker", "sim"])
def test_mode_from_the_command_line(run, mode):
    """The same test in the mode that is asked for."""
    result = run(
        f"""
    def test_it(celeryflow):
        assert celeryflow.mode == "{mode}"
        assert celeryflow.run(inc.s(1) | inc.s()).value == 3
    """,
        f"--celeryflow-mode={mode}",
    )
    result.assert_outcomes(passed=1)


def test_mode_from_the_ini_file(run):
    """The ini file is asked last."""
    result = run(
        """
    def test_it(celeryflow):
        assert celeryflow.mode == "eager"
    """,
        ini="celeryflow_mode = eager",
    )
    result.assert_outcomes(passed=1)


def test_marker_outranks_the_command_line(run):
    """A test that needs virtual time keeps it."""
    result = run(
        """
    @pytest.mark.celeryflow(mode="sim", workers=2)
    def test_it(celeryflow):
        assert celeryflow.mode == "sim"
        assert len(celeryflow.app.control.inspect().ping()) == 2
    """,
        "--celeryflow-modes=eager,worker",
    )
    result.assert_outcomes(passed=1)


def test_modes_run_a_whole_suite_in_each(run):
    """Ids are the names of the modes."""
    result = run(
        """
    def test_it(celeryflow):
        assert celeryflow.run(inc.s(1)).value == 2
    """,
        "--celeryflow-modes=eager,worker,sim",
        "-v",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_it[[]eager[]]*", "*test_it[[]worker[]]*", "*test_it[[]sim[]]*"])


@pytest.mark.parametrize("named", ["eager,worker", "eager worker", "eager, worker"])
def test_modes_from_the_ini_file(run, named):
    """Separated by commas, as on the command line, or by blanks."""
    result = run(
        """
    def test_it(celeryflow):
        assert celeryflow.mode in ("eager", "worker")
    """,
        ini=f"celeryflow_modes = {named}",
    )
    result.assert_outcomes(passed=2)


def test_a_mode_on_the_command_line_outranks_modes_of_the_ini_file(run):
    """What is typed is meant."""
    result = run(
        """
    def test_it(celeryflow):
        assert celeryflow.mode == "worker"
    """,
        "--celeryflow-mode=worker",
        ini="celeryflow_modes = eager, sim",
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("far", "near", "tests"), [("modes=['eager', 'worker']", "mode='sim'", 1), ("mode='eager'", "modes=['worker', 'sim']", 2)]
)
def test_the_nearest_marker_names_the_mode_or_the_modes(run, far, near, tests):
    """Be it one or several."""
    result = run(
        f"""
    pytestmark = pytest.mark.celeryflow({far}, config={{"task_acks_late": True}})
    @pytest.mark.celeryflow({near})
    def test_it(celeryflow):
        assert celeryflow.mode != "eager"
        assert celeryflow.app.conf.task_acks_late
    """
    )
    result.assert_outcomes(passed=tests)


def test_modes_of_the_marker(run):
    """With keywords that only some of them have."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], workers=2)
    def test_it(celeryflow):
        assert celeryflow.run(inc.s(1)).value == 2
    """
    )
    result.assert_outcomes(passed=2)


def test_fixtures_of_one_mode(run):
    """`celeryflow_eager` and its siblings."""
    result = run(
        """
    def test_it(celeryflow_eager):
        assert celeryflow_eager.mode == "eager"
    def test_that(celeryflow_worker):
        assert celeryflow_worker.mode == "worker"
    def test_other(celeryflow_sim):
        assert celeryflow_sim.mode == "sim"
    """
    )
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("mode='simm'", "*'simm' is not a mode; valid are eager, worker, process, sim*"),
        ("modes='sim'", "*modes='sim'* must be a list of modes*"),
        ("wokers=2", "*has no keyword 'wokers'; valid are mode, modes, *workers*"),
        ("mode='eager', workers=2", "*mode 'eager' has no keyword 'workers'; valid are propagate, config*"),
        ("'sim'", "*takes keywords only*"),
        ("mode='sim', modes=['eager']", "*takes mode= or modes=, and not both"),
        ("modes=['sim', 'sim']", "*celeryflow(modes=…): 'sim' is named twice"),
        ("broker='kafka'", "*::test_it: marker celeryflow: broker='kafka' is not one of 'redis', *"),
        ("mode='worker', pool='gevent'", "*pool='gevent' is not one of 'threads', 'solo'"),
        ("modes=['sim', 'worker'], broker='kafka'", "*::test_it*sim*: broker='kafka' is not one of*"),
        ("modes=['sim', 'eager'], compare=True, workers=0", "*workers=0 must be a whole number*"),
    ],
)
def test_bad_markers_are_usage_errors(run, marker, message):
    """Before the first test runs, and with what is valid."""
    result = run(
        f"""
    @pytest.mark.celeryflow({marker})
    def test_it(celeryflow):
        pass
    """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_values_of_a_marker_are_those_of_the_fixture_s_mode(run):
    """A test may name the mode by its fixture alone."""
    result = run(
        """
    @pytest.mark.celeryflow(broker="kafka")
    def test_it(celeryflow_worker):
        pass
    """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*broker='kafka' is not one of 'memory', 'redis', 'rabbitmq', nor*"])


def test_two_flows_of_one_app_are_refused_in_words(run):
    """Without a traceback through the toolkit."""
    result = run(
        """
    def test_it(celeryflow, celeryflow_worker):
        pass
    """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["app 'celeryflow' is in use by mode 'sim' already", "", "Expected:*"])
    result.stdout.no_fnmatch_line("*contextlib*")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--celeryflow-mode=real", "*celeryflow-mode: 'real' is not a mode; valid are*"),
        ("--celeryflow-modes=sim,real", "*celeryflow-modes: 'real' is not a mode; valid are*"),
    ],
)
def test_bad_options_are_usage_errors(run, option, message):
    """Likewise."""
    result = run("\n    def test_it(): pass", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_failure_report_has_one_section(run):
    """The timeline, once."""
    result = run(
        """
    def test_it(celeryflow):
        assert celeryflow.run(inc.s(1)).value == 3
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*celeryflow: what happened in mode sim*", "0s  inc#1  ▸ started with (1)", "*returned 2"]
    )
    assert str(result.stdout).count("what happened in mode") == 1


def test_timeline_is_told_once(run):
    """A stall's message shows it: then there is no section with the same again."""
    result = run(
        """
    def test_it(celeryflow):
        celeryflow.faults.drop("inc", nth=2)
        celeryflow.run(inc.s(1) | inc.s()).value
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*WorkflowStalled: the result of inc#2 will never come*"])
    assert str(result.stdout).count("inc#1  ▸ started with (1)") == 1


def test_failure_report_of_a_context_manager(run):
    """Also without a fixture, and in a task's own failure."""
    result = run(
        """
    from pytest_celeryflow import simulate
    def test_it(celeryflow_app):
        with simulate(celeryflow_app) as flow:
            flow.run(broken.s()).value
    """
    )
    result.stdout.fnmatch_lines(["*ValueError: no stock", "*broken#1*failed: ValueError: no stock"])


def test_failure_report_shows_flows_that_were_open_together(run):
    """Those of two apps; not those that were closed before."""
    result = run(
        """
    from celery import Celery
    from pytest_celeryflow import run_eager, simulate
    def test_it(celeryflow_app):
        with run_eager(celeryflow_app):
            pass
        with simulate(celeryflow_app), simulate(Celery("other", set_as_current=False)):
            assert False
    """
    )
    assert str(result.stdout).count("what happened in mode sim") == 2
    assert "what happened in mode eager" not in str(result.stdout)


def test_failure_report_reproduces_a_seed(run):
    """A seed that was given is in the line to repeat."""
    result = run(
        """
    def test_it(celeryflow):
        assert not celeryflow.run(inc.s(1)).value
    """,
        "--celeryflow-seed=5",
    )
    result.stdout.fnmatch_lines(["reproduce: pytest *::test_it* --celeryflow-seed 5"])


def test_failure_report_reproduces_the_mode_that_was_asked_for(run):
    """The test has its name by the option."""
    result = run(
        """
    def test_it(celeryflow):
        assert not celeryflow.run(inc.s(1)).value
    """,
        "--celeryflow-seed=5",
        "--celeryflow-modes=sim,eager",
    )
    line = "reproduce: pytest '*::test_it[[]sim]' --celeryflow-modes sim,eager --celeryflow-seed 5"
    result.stdout.fnmatch_lines([line])


def test_stub_that_was_not_called_fails_the_test(run):
    """The test itself, not its teardown, with nothing but the message."""
    result = run(
        """
    def test_it(celeryflow):
        celeryflow.stub(inc).returns(5)
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the stub of *inc was never called*"])


@pytest.mark.parametrize(
    ("body", "outcome"),
    [("pytest.skip('not today')", "skipped"), ("pytest.xfail('known')", "xfailed"), ("assert 0", "failed")],
)
def test_what_was_not_used_when_a_test_stopped_early_is_not_complained_of(run, body, outcome):
    """It has one outcome, and no error of its teardown."""
    result = run(
        f"""
    def test_it(celeryflow):
        celeryflow.stub(inc).returns(5)
        celeryflow.faults.fail(broken)
        {body}
    """
    )
    result.assert_outcomes(**{outcome: 1})


def test_modes_of_a_flow_that_is_asked_for_too_late(run):
    """Nothing is left to be parametrised."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"])
    def test_it(request):
        request.getfixturevalue("celeryflow")
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*UsageError: *::test_it: marker celeryflow(modes=…) runs a test once*"])


def test_fault_that_never_struck_fails_the_test(run):
    """With what was expected, what happened instead, and what to do."""
    result = run(
        """
    def test_it(celeryflow):
        celeryflow.faults.drop(inc)
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "the fault drop(inc) never struck",
            "Expected: the task is published",
            "Instead:  the task was neither published nor executed while the flow was open",
            "Next:     repair the test, or plan the fault with optional=True.",
        ]
    )


def test_a_failed_test_is_not_blamed_for_its_stubs_too(run):
    """A stub that was not reached because of the failure is no second error."""
    result = run(
        """
    def test_it(celeryflow):
        celeryflow.stub(inc).returns(5)
        assert False
    """
    )
    result.assert_outcomes(failed=1)


def test_shapes_that_differ_are_explained_under_a_plain_assert(run):
    """In pytest's own words for a failed comparison, at most seven lines."""
    result = run(
        """
    from pytest_celeryflow import shape
    def test_it(celeryflow_app):
        assert shape(inc.s(1) | inc.s()) == shape(inc.s(2) | inc.s())
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*chain[[]0[]].args[[]0[]]*"])


def test_app_from_the_ini_file(run, pytester):
    """`celeryflow_app` names the user's own."""
    pytester.makepyfile(
        proj="""
        from celery import Celery
        app = Celery("proj", broker="redis://localhost:1/0")

        @app.task
        def double(x):
            return 2 * x
        """
    )
    pytester.syspathinsert()
    result = run(
        """
    def test_it(celeryflow):
        from proj import app, double
        assert celeryflow.app is app
        assert celeryflow.run(double.s(2)).value == 4
    """,
        ini="celeryflow_app = proj:app",
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module:app", "*'no_such_module' cannot be imported: No module named*"),
        ("json:app", "*'app' in 'json' is missing; set celeryflow_app to module:attribute*"),
        ("json:dumps", "*'dumps' in 'json' is not a Celery app*"),
    ],
)
def test_app_path_that_does_not_import(run, path, message):
    """The path, the reason, and how to write one."""
    result = run("\n    def test_it(celeryflow): pass", ini=f"celeryflow_app = {path}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_app_overridden_in_a_conftest(run, pytester):
    """Like any fixture."""
    pytester.makeconftest(
        """
        import pytest
        from celery import Celery
        @pytest.fixture
        def celeryflow_app():
            return Celery("mine", set_as_current=False)
        """
    )
    result = run("\n    def test_it(celeryflow): assert celeryflow.app.main == 'mine'")
    result.assert_outcomes(passed=1)


def test_hypothesis_works_through_context_managers(pytester):
    """`@given` opens a simulation for each example."""
    pytester.makepyfile(
        """
        from celery import Celery
        from hypothesis import given, settings, strategies as st
        from pytest_celeryflow import simulate

        app = Celery("shop", set_as_current=False)

        @app.task
        def double(x):
            return 2 * x

        @settings(deadline=None, max_examples=20)
        @given(st.integers())
        def test_it(n):
            with simulate(app) as flow:
                assert flow.run(double.s(n)).value == 2 * n
        """
    )
    pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:asyncio").assert_outcomes(passed=1)


@pytest.mark.slow
def test_other_plugins_beside_ours(pytester):
    """pytest-asyncio, pytest-django and Celery's own, all loaded: no clash."""
    plugins = ["celery.contrib.pytest"]
    pytester.makeconftest(f"pytest_plugins = {plugins!r}")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        TASKS
        + """
    import asyncio

    @pytest.mark.asyncio
    async def test_async(celeryflow):
        await asyncio.sleep(60)
        assert celeryflow.clock.elapsed == 60
        assert celeryflow.run(inc.s(1)).value == 2

    def test_beside_celerys_own(celery_app, celeryflow):
        assert celery_app is not celeryflow.app
        assert celeryflow.run(inc.s(1)).value == 2
    """
    )
    pytest.importorskip("pytest_asyncio")
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)


@pytest.mark.slow
def test_under_xdist_and_in_random_order(pytester):
    """Each process has contexts of its own."""
    pytest.importorskip("xdist")
    pytester.makepyfile(
        TASKS
        + """
    @pytest.mark.parametrize("n", range(12))
    def test_it(celeryflow, n):
        assert celeryflow.run(inc.s(n)).value == n + 1
    """
    )
    options = ("-n2", "--celeryflow-modes=eager,worker,sim")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=36)


@pytest.mark.slow
def test_a_session_without_our_fixtures_loads_nothing(pytester):
    """Neither at its start nor at its end is Celery or anything of ours loaded."""
    pytester.makeconftest(
        """
        import sys
        LOADED = ("celery", "kombu", "freezegun", "greenlet", "hypothesis", "pytest_celeryflow.flow")

        def pytest_sessionstart(session):
            print("at start:", [name for name in LOADED if name in sys.modules])

        def pytest_sessionfinish(session):
            print("at end:", [name for name in LOADED if name in sys.modules])
        """
    )
    pytester.makepyfile("def test_it(): pass")
    others = ("celery", "hypothesispytest", "randomly", "asyncio", "django")
    blocked = [part for name in others for part in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess("-s", *blocked)
    result.stdout.fnmatch_lines(["*at start: []*", "*at end: []*"])


@pytest.mark.slow
def test_pytest_takes_the_package_as_python_compiled_it(pytester, monkeypatch):
    """All but the reference workflows, whose asserts a user is to read."""
    pytester.makepyfile(
        """
        import sys
        import pytest_celeryflow.flow, pytest_celeryflow.reference.running

        def test_it(pytestconfig):
            hook = pytestconfig.pluginmanager.rewrite_hook
            print("rewritten:", [n for n in hook._rewritten_names if n.startswith("pytest_celeryflow.")])
        """
    )
    # As an installed distribution is: its package is marked before its plugin is imported.
    pytester.makepyfile(
        marking="""
        import pytest
        pytest.register_assert_rewrite("pytest_celeryflow")
        """
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_subprocess("-s", "-p", "marking", "-p", "pytest_celeryflow.plugin")
    line = next(text for text in result.outlines if "rewritten:" in text)
    assert "pytest_celeryflow.reference.running" in line
    assert "pytest_celeryflow.flow" not in line
    assert "pytest_celeryflow.plugin_html" not in line


@pytest.mark.slow
def test_importing_the_package_loads_nothing():
    """A public name is loaded when it is used."""
    import subprocess

    script = (
        "import sys, pytest_celeryflow, pytest_celeryflow.plugin;"
        "print([m for m in ('celery','kombu','hypothesis','freezegun','greenlet') if m in sys.modules]);"
        "pytest_celeryflow.simulate; print('celery' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


def test_every_public_name_can_be_had():
    """`__all__` is true, and an unknown name is an AttributeError."""
    import pytest_celeryflow

    for name in pytest_celeryflow.__all__:
        assert getattr(pytest_celeryflow, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'simulte'"):
        pytest_celeryflow.simulte  # noqa: B018 - reading it raises


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mode", "fast", "'fast' is not a mode; valid are eager, worker, process, sim*"),
        ("modes", "sim,fast", "'fast' is not a mode; valid are eager, worker, process, sim*"),
        ("redis-url", "localhost:6379", "*is no URL of a server; it begins with redis://*"),
        ("rabbitmq-url", "redis://x", "*is no URL of a server; it begins with amqp://*"),
        ("runs", "0", "* is not a whole number, 1 or more"),
        ("replay", "cf2:x", "'cf2:x' is not what a failed exploration prints, cf1:*"),
    ],
)
@pytest.mark.parametrize("ini", [False, True], ids=["option", "ini"])
def test_options_and_their_ini_twins_are_checked(run, name, value, said, ini):
    """Before the first test runs, in words."""
    text = "\n    def test_it():\n        pass\n"
    if ini:
        result = run(text, ini=f"celeryflow_{name.replace('-', '_')} = {value}")
    else:
        result = run(text, f"--celeryflow-{name}={value}")
    result.stderr.fnmatch_lines([f"ERROR: celeryflow-{name}: {said}"])


@pytest.mark.parametrize(("name", "value"), [("seed", "x"), ("runs", "x"), ("lint", "loud")])
def test_ini_twins_have_the_type_of_their_option(run, name, value):
    """What `argparse` checks on the command line."""
    result = run("\n    def test_it():\n        pass\n", ini=f"celeryflow_{name} = {value}")
    result.stderr.fnmatch_lines([f"ERROR: celeryflow?{name}*'{value}' is not*"])


def test_an_app_that_cannot_be_imported_because_of_another_module(run, pytester):
    """Its own traceback says where; the note says who asked."""
    pytester.makepyfile(proj_without_dep="import no_such_dependency")
    pytester.syspathinsert()
    result = run(
        "\n    def test_it(celeryflow):\n        pass\n",
        ini="celeryflow_app = proj_without_dep:app",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*import no_such_dependency",
            "E   celeryflow_app='proj_without_dep:app': 'proj_without_dep' cannot be imported: *",
        ]
    )


@pytest.mark.slow
def test_pytest_within_pytest_loads_celery_anew(pytester):
    """`pytester` unloads after each what it had loaded: no class of the first is met in the second."""
    inner = "def test_it(celeryflow):\n    assert celeryflow.run(inc.s(1)).value == 3\n"
    pytester.makeconftest("pytest_plugins = ['pytester']")
    pytester.makepyfile(
        f"""
    import pytest

    @pytest.mark.parametrize("turn", [1, 2])
    def test_outer(pytester, turn):
        pytester.makepyfile({textwrap.dedent(TASKS) + inner!r})
        result = pytester.runpytest_inprocess()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*what happened in mode sim*"])
    """
    )
    others = ("randomly", "celery", "asyncio", "django", "xdist", "hypothesispytest")
    blocked = [part for name in others for part in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess(*blocked)
    result.assert_outcomes(passed=2)
