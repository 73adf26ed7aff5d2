"""``compare=True`` of the marker: one test, each mode, and what differs."""

import itertools

import pytest

_numbers = itertools.count()

TASKS = """
    import pytest
    from celery import shared_task

    @shared_task
    def pair():
        return (1, 2)

    @shared_task
    def kind(value):
        return type(value).__name__

    @pytest.fixture
    def wrapped(celeryflow):
        return celeryflow
"""


@pytest.fixture
def run(pytester):
    """Run pytest on a test file, with our plugin and no other of this environment."""

    def run(text, *options):
        pytester.makepyfile(**{f"test_compared_{next(_numbers)}": TASKS + text})
        others = ("randomly", "celery", "asyncio", "django", "xdist", "hypothesispytest")
        blocked = [part for name in others for part in ("-p", f"no:{name}")]
        return pytester.runpytest_inprocess(*blocked, "-p", "no:cacheprovider", *options)

    return run


def _told(result, first, last):
    """The lines of a report from one to another, the first included."""
    lines = [line.rstrip() for line in result.outlines]
    start = next(n for n, line in enumerate(lines) if line.startswith(first))
    end = next(n for n, line in enumerate(lines) if n > start and last in line)
    return "\n".join(lines[start:end])


def test_modes_that_agree_are_one_test_that_passes(run):
    """And it says nothing."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "worker", "sim"], compare=True)
    def test_it(celeryflow):
        assert celeryflow.run(kind.s(1)).value == "int"
    """
    )
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*celeryflow: *")


def test_modes_that_differ_fail_with_the_table(run):
    """Golden: what differs, and how to say that it may; then what happened in each."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
    def test_it(celeryflow):
        celeryflow.run(pair.s() | kind.s())
    """
    )
    result.assert_outcomes(failed=1)
    assert _told(result, "the test does not", "what happened in mode eager") == (
        "the test does not do the same in eager and sim\n"
        "\n"
        "pair() | kind()\n"
        "\n"
        "                   eager         sim\n"
        "--------------------------------------------\n"
        "value              'tuple'       'list'\n"
        "arguments of kind  (tuple[int])  (list[int])\n"
        "\n"
        "If it is meant to differ, say so in the marker:\n"
        '  @pytest.mark.celeryflow(…, compare=True, ignore=("value", "arguments"))'
    )
    result.stdout.fnmatch_lines(
        [
            "*celeryflow: what happened in mode eager*",
            "*kind#1  ✓ returned 'tuple'*",
            "*celeryflow: what happened in mode sim*",
            "*kind#1  ✓ returned 'list'*",
        ]
    )


def test_without_modes_all_of_them_are_compared(run):
    """As `compare_modes` does."""
    result = run(
        """
    @pytest.mark.celeryflow(compare=True)
    def test_it(celeryflow):
        celeryflow.run(pair.s())
    """
    )
    result.stdout.fnmatch_lines(["the test does not do the same in eager, worker and sim"])


def test_modes_of_the_command_line_are_compared(run):
    """They say which, for tests that name none."""
    result = run(
        """
    @pytest.mark.celeryflow(compare=True)
    def test_it(celeryflow):
        celeryflow.run(pair.s())
    """,
        "--celeryflow-modes=sim,eager",
    )
    result.stdout.fnmatch_lines(["the test does not do the same in sim and eager"])


@pytest.mark.parametrize(
    "ignore", ['("value", "arguments")', '["value", "arguments of kind"]', '{"value", "arguments"}']
)
def test_differences_that_are_accepted(run, ignore):
    """By aspect, or by aspect and task."""
    result = run(
        f"""
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True, ignore={ignore})
    def test_it(celeryflow):
        celeryflow.run(pair.s() | kind.s())
    """
    )
    result.assert_outcomes(passed=1)


def test_each_run_is_compared_with_its_own(run):
    """The second with the second; which one it is, is said."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
    def test_it(celeryflow):
        celeryflow.run(kind.s(1))
        celeryflow.run(pair.s() | kind.s())
    """
    )
    result.stdout.fnmatch_lines(["run 2 of 2: pair() | kind()"])
    result.stdout.no_fnmatch_line("run 1 of 2*")


def test_runs_that_only_one_mode_comes_to(run):
    """They have nothing to be compared with, and that differs."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
    def test_it(celeryflow):
        for _ in range(2 if celeryflow.mode == "eager" else 1):
            celeryflow.run(kind.s(1))
    """
    )
    result.stdout.fnmatch_lines(["calls of celeryflow.run: 2 in eager, 1 in sim"])


def test_publishing_that_raises_in_one_mode(run):
    """Caught by the test or not, it is compared."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
    def test_it(celeryflow):
        try:
            celeryflow.run(pair.s() | kind.si(object()))
        except TypeError:
            pass
    """
    )
    result.stdout.fnmatch_lines(
        ["state*SUCCESS*never published", "raised*–*by apply_async(), in no task"]
    )


def test_a_test_that_fails_in_one_mode_says_in_which(run):
    """Golden: its own failure, a note, and then the table."""
    result = run(
        """
    @pytest.mark.celeryflow(compare=True)
    def test_it(celeryflow):
        assert celeryflow.run(pair.s() | kind.s()).value == "list"
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>       assert celeryflow.run(pair.s() | kind.s()).value == "list"',
            "E       AssertionError: assert 'tuple' == 'list'",
            "E       celeryflow: this is in mode eager; it passed in worker, sim",
            "-* celeryflow: what differs between modes -*",
            "value * 'tuple' * 'list' * 'list'",
        ]
    )


def test_a_stub_that_no_mode_calls(run):
    """Is complained of once, without a traceback through the plugin."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
    def test_it(celeryflow):
        celeryflow.stub(pair)
        celeryflow.run(kind.s(1))
    """
    )
    assert _told(result, "the stub of", "what happened in mode eager").splitlines()[-1] == (
        "celeryflow: this is in mode eager; the test failed in sim too"
    )
    result.stdout.no_fnmatch_line("*plugin_compare*")


def test_a_test_that_runs_nothing(run):
    """There would be nothing to compare, and it would always pass."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
    def test_it(celeryflow):
        pass
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["compare=True compares what celeryflow.run() brings, and this test never calls it"]
    )


def test_a_task_that_is_accepted_and_never_executed(run):
    """Most likely it is misspelt."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True, ignore=("retries of knd",))
    def test_it(celeryflow):
        celeryflow.run(kind.s(1))
    """
    )
    result.stdout.fnmatch_lines(
        [
            "marker celeryflow: ignore: 'retries of knd' names a task that was not executed; *kind"
        ]
    )


def test_options_reach_the_modes_that_take_them(run):
    """`workers` is for sim, `propagate` for eager."""
    result = run(
        """
    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True, workers=2, propagate=True)
    def test_it(celeryflow):
        celeryflow.run(kind.s(1))
    """
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "arguments", "message"),
    [
        ("compare=1", "celeryflow", "(compare=1) must be True or False"),
        ("ignore=('value',)", "celeryflow", "(ignore=…) says what compare=True accepts; add that"),
        ("mode='sim', compare=True", "celeryflow", "give modes=[…] instead of mode, or neither"),
        ("modes=['sim'], compare=True", "celeryflow", "compare=True needs two modes or more"),
        ("compare=True", "celeryflow_sim", "is for tests that take the fixture `celeryflow`"),
        ("compare=True", "celeryflow, wrapped", "the fixture `wrapped` takes `celeryflow`"),
        ("compare=True, ignore='value'", "celeryflow", "ignore='value' must be a tuple of 'value'"),
        (
            "compare=True, ignore=('speed',)",
            "celeryflow",
            (
                "ignore=('speed',): 'speed' is not one of 'value', 'state', 'exception', 'raised', "
                "'executions', 'retries', 'errbacks', 'arguments', 'order', 'elapsed'; "
                "'executions', 'retries', 'errbacks', 'arguments' also of one task, as in "
                "'executions of charge'"
            ),
        ),
        ("compare=True, ignore=('value of pair',)", "celeryflow", "'value of pair' is not one of"),
    ],
)
def test_markers_that_cannot_be(run, marker, arguments, message):
    """Before the first test runs, in words."""
    result = run(
        f"""
    @pytest.mark.celeryflow({marker})
    def test_it({arguments}):
        pass
    """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in str(result.stderr)


def test_it_is_not_explored_too(run):
    """One test can be one of the two."""
    result = run(
        """
    @pytest.mark.celeryflow_explore
    @pytest.mark.celeryflow(compare=True)
    def test_it(celeryflow):
        pass
    """
    )
    assert "celeryflow_explore are for two tests" in str(result.stderr)


def test_coroutines_are_refused(run):
    """Their event loop would not be ours."""
    result = run(
        """
    @pytest.mark.celeryflow(compare=True)
    async def test_it(celeryflow):
        pass
    """
    )
    assert "(compare=True) is for plain functions, not coroutines" in str(result.stderr)
