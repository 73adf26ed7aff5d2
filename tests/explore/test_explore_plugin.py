"""The marker, the options and the report, in pytest inside pytest."""

import shlex
import textwrap

import pytest

CONFTEST = """
    import pytest
    from pytest_celeryflow.borrow import FreshApp

    @pytest.fixture
    def celeryflow_app():
        with FreshApp("shop", set_as_current=False) as app:
            yield app

    @pytest.fixture
    def charged():
        return []

    @pytest.fixture
    def charge(celeryflow_app, charged):
        @celeryflow_app.task(name="shop.charge", acks_late=True, reject_on_worker_lost=True)
        def charge(order):
            charged.append(order)
            return order
        return charge
"""

PAY = """
    import pytest

    @pytest.mark.celeryflow_explore({arguments})
    def test_pay(celeryflow, charge, charged):
        charged.clear()
        assert celeryflow.run(charge.s(7)).value == 7
        assert charged == [7]
"""


@pytest.fixture
def run(pytester):
    """Run a test file with an app."""
    pytester.makeconftest(CONFTEST)

    def run(source, *options):
        pytester.makepyfile(source)
        quietly = ["-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:asyncio"]
        return pytester.runpytest(*quietly, *options)

    return run


def replay_of(result):
    """The string that a failing exploration printed."""
    (line,) = [x for x in result.outlines if x.startswith("Replay: ")]
    return line.removeprefix("Replay: ")


def test_the_report_of_a_failing_exploration(run):
    """The test's own assertion, then the story, the timeline, and how to repeat it."""
    result = run(PAY.format(arguments="faults=('duplicate',)"))
    result.assert_outcomes(failed=1)
    replay = replay_of(result)
    name = "test_the_report_of_a_failing_exploration.py::test_pay"
    result.stdout.fnmatch_lines(
        [
            "E       assert [[]7, 7[]] == [[]7[]]",
            "*celeryflow: the smallest schedule that fails*",
            "a schedule fails: the last of * schedules (random), * distinct histories*",
            "The smallest story that fails (1 of * choices, after * tries):",
            "  1. the message of charge#1 comes twice",
            "*charge#1  ⚡ the message of charge#1 comes twice",
            f"        pytest '{name}' --celeryflow-replay {replay}",
            "Keep it as a regression test:",
            f'        @pytest.mark.celeryflow_explore(replay="{replay}")',
            "        def test_pay_regression(celeryflow, charge, charged):",
            "            test_pay(celeryflow, charge, charged)",
        ]
    )
    result.stdout.no_fnmatch_line("*what happened in mode*")


STOCK = """
    import pytest
    from celery import group

    stock = {{}}

    @pytest.fixture
    def take(celeryflow_app):
        @celeryflow_app.task(name="shop.log")
        def log(number):
            return number

        @celeryflow_app.task(name="shop.take")
        def take(number):
            left = stock["left"]
            log.delay(number)
            stock["left"] = left - number

        return take

    @pytest.mark.celeryflow_explore({arguments})
    def test_take(celeryflow, take):
        stock["left"] = 10
        celeryflow.run(group(take.s(2), take.s(3)))
        assert stock["left"] == 5
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        (PAY, "faults=('crash',), seed=3"),
        (PAY, "faults=('duplicate',), strategy='pct'"),
        (PAY, "strategy='crash_points', workers=2"),
        (STOCK, "faults=(), strategy='dfs'"),
        (STOCK, "faults=(), seed=11, workers=2"),
    ],
)
def test_a_failure_replays_in_a_fresh_process(run, pytester, monkeypatch, source, arguments):
    """The command that was printed does what it says, whatever the order of sets."""
    first = run(source.format(arguments=arguments))
    replay = replay_of(first)
    (command,) = [x for x in first.outlines if x.endswith(f" --celeryflow-replay {replay}")]
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        given = shlex.split(command.strip())[1:]
        again = pytester.runpytest_subprocess("-p", "no:cacheprovider", *given)
        again.assert_outcomes(failed=1)
        assert replay_of(again) == replay
        again.stdout.fnmatch_lines(["a schedule fails: the last of 1 schedule (replay)*"])


def test_only_the_output_of_the_schedule_that_is_shown(run):
    """Not that of a hundred others."""
    result = run(
        """
    import logging
    import pytest
    seen = []

    @pytest.mark.celeryflow_explore(faults=("duplicate",), seed=1)
    def test_it(celeryflow, charge, charged, caplog):
        charged.clear()
        run = celeryflow.run(charge.s(7))
        seen.append(len(run.executions))
        print("executions:", len(run.executions))
        logging.getLogger("shop").warning("executions: %d", len(run.executions))
        assert len(caplog.messages) == 1
        assert charged == [7]

    def test_seen():
        assert seen.count(1) > 1
    """
    )
    result.assert_outcomes(failed=1, passed=1)
    lines = [x for x in result.outlines if "executions: " in x]
    assert [x for x in lines if x.startswith("executions")] == ["executions: 2"]
    assert len([x for x in lines if x.startswith("WARNING")]) == 1


def test_the_regression_test_of_a_method_with_parameters(run, pytester):
    """It can be pasted below the method."""
    source = """
    import pytest

    class TestPay:
        @pytest.mark.celeryflow_explore(faults=("duplicate",))
        @pytest.mark.parametrize("order", ["A-1"])
        def test_pay(self, celeryflow, order, charge, charged):
            charged.clear()
            celeryflow.run(charge.s(order))
            assert charged == [order]
    """
    first = run(source)
    lines = first.outlines[first.outlines.index("Keep it as a regression test:") + 1 :][:4]
    assert [line.strip() for line in lines[1:]] == [
        '@pytest.mark.parametrize("order", [\'A-1\'])',
        "def test_pay_regression(self, celeryflow, order, charge, charged):",
        "self.test_pay(celeryflow, order, charge, charged)",
    ]
    pasted = textwrap.indent(textwrap.dedent("\n".join(lines)), " " * 8)
    again = run(f"{source.rstrip()}\n\n{pasted}\n")
    again.assert_outcomes(failed=2)


def test_a_damaged_replay_string(run):
    """One line, and no traceback."""
    result = run(PAY.format(arguments=""), "--celeryflow-replay=cf1:zzzz")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["marker celeryflow_explore: replay='cf1:zzzz' was damaged, perhaps cut off*"]
    )
    result.stdout.no_fnmatch_line("*During handling*")


def test_a_regression_test_by_marker(run):
    """`replay=` runs the one schedule."""
    found = run(PAY.format(arguments="faults=('duplicate',)"))
    again = run(PAY.format(arguments=f"replay={replay_of(found)!r}"))
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["  1. the message of charge#1 comes twice"])


def test_a_replay_that_does_not_fit(run):
    """It says where, in words, and nothing else."""
    found = run(PAY.format(arguments="faults=('duplicate',)"))
    result = run(
        """
    import pytest

    @pytest.mark.celeryflow_explore
    def test_other(celeryflow, celeryflow_app):
        @celeryflow_app.task(name="shop.other")
        def other():
            return 1
        celeryflow.run(other.s())
    """,
        "--celeryflow-replay",
        replay_of(found),
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "the replay does not fit any more: at step 0 it wants",
            "  the message of charge#1 comes twice",
            "and what could happen there is",
            "  nothing goes wrong",
            "  the message of other#1 comes twice",
        ]
    )


def test_a_passing_exploration_prints_nothing(run):
    """Like any passing test."""
    result = run(PAY.format(arguments="faults=(), runs=10"))
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*schedule*")


def test_runs_from_the_command_line(run):
    """The option outranks the marker."""
    source = """
    import pytest
    seen = []

    @pytest.mark.celeryflow_explore(runs=50, faults=())
    def test_it(celeryflow, charge):
        seen.append(celeryflow.run(charge.s(1)).value)

    def test_seen():
        assert len(seen) == 7
    """
    run(source, "--celeryflow-runs=7").assert_outcomes(passed=2)


def test_runs_from_the_ini_file(run):
    """They are for those tests whose marker names none."""
    source = """
    import pytest
    seen = []

    @pytest.mark.celeryflow_explore(faults=())
    def test_it(celeryflow, charge):
        seen.append(celeryflow.run(charge.s(1)).value)

    @pytest.mark.celeryflow_explore(runs=3, faults=())
    def test_that(celeryflow, charge):
        seen.append(celeryflow.run(charge.s(1)).value)

    def test_seen():
        assert len(seen) == 7 + 3
    """
    run(source, "-o", "celeryflow_runs=7").assert_outcomes(passed=3)


def test_keywords_of_simulate_go_to_the_simulation(run):
    """From either marker."""
    run(
        """
    import pytest

    @pytest.mark.celeryflow(start="2030-01-01T00:00:00Z")
    @pytest.mark.celeryflow_explore(runs=3, faults=(), workers=2)
    def test_it(celeryflow):
        assert celeryflow.clock.now.year == 2030
        assert len(celeryflow._mode.workers) == 2
    """
    ).assert_outcomes(passed=1)


def test_modes_do_not_multiply_explored_tests(run):
    """Only the simulation can be explored."""
    run(PAY.format(arguments="faults=(), runs=3"), "--celeryflow-modes=eager,worker,sim").assert_outcomes(
        passed=1
    )


def test_sometimes_over_the_whole_exploration(run):
    """Never is a failure, in words."""
    result = run(
        """
    import pytest

    @pytest.mark.celeryflow_explore(runs=4, faults=())
    def test_it(celeryflow):
        celeryflow.sometimes("a retry happened", False)
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["never in 4 schedules: a retry happened"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "@pytest.mark.celeryflow_explore(rnus=5)\ndef test_it(celeryflow): pass",
            "*the marker celeryflow_explore has no keyword 'rnus'; valid are runs, strategy,*",
        ),
        (
            "@pytest.mark.celeryflow_explore(5)\ndef test_it(celeryflow): pass",
            "*the marker celeryflow_explore takes keywords only*",
        ),
        (
            "@pytest.mark.celeryflow_explore\ndef test_it(): pass",
            "*is for tests that use the fixture `celeryflow`*",
        ),
        (
            "@pytest.mark.celeryflow_explore\nasync def test_it(celeryflow): pass",
            "*is for plain functions; this is a coroutine*",
        ),
    ],
)
def test_a_marker_that_cannot_be_used(run, source, message):
    """Told before the first test runs."""
    result = run("import pytest\n\n" + source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("strategy='clever'", "strategy='clever' is not one of 'random', 'pct', 'dfs', *"),
        ("workers=0", "workers=0 must be a whole number, 1 or more"),
        ("replay='cf1:x'", "replay='cf1:x' was damaged, *"),
    ],
)
def test_a_value_that_is_not_valid(run, arguments, message):
    """Told before the first test runs."""
    result = run(PAY.format(arguments=arguments))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *::test_pay: marker celeryflow_explore: {message}"])
