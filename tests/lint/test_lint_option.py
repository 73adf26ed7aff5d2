"""`--celeryflow-lint`: what a session publishes is checked."""

import pytest

SOURCE = """
    import pytest
    from celery import chord
    from pytest_celeryflow.borrow import FreshApp

    @pytest.fixture
    def celeryflow_app():
        with FreshApp("shop", set_as_current=False) as app:
            yield app

    @pytest.fixture
    def total(celeryflow_app):
        @celeryflow_app.task(name="shop.total")
        def total(numbers):
            return sum(numbers)
        return total

    def test_empty(celeryflow, total):
        assert celeryflow.run(chord([], total.s())).value == 0

    def test_fine(celeryflow, total):
        assert celeryflow.run(total.s([1, 2])).value == 3
"""
QUIETLY = ("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:asyncio")


def test_off_by_default(pytester):
    """A passing session prints nothing."""
    pytester.makepyfile(SOURCE)
    result = pytester.runpytest(*QUIETLY)
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*lint*")


@pytest.mark.parametrize("more", [(), ("-n1",)], ids=["here", "xdist"])
def test_warn_tells_at_the_end(pytester, more):
    """By rule, with the tests; from the workers of xdist, too."""
    pytester.makepyfile(test_shop=SOURCE)
    result = pytester.runpytest_subprocess(*QUIETLY, "--celeryflow-lint=warn", *more)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*celeryflow lint*",
            "CF103 nothing-to-run",
            "  chord: the header of the chord is empty*[[]test_shop.py::test_empty[]]",
            "  repair: build it only when there is something to run",
            "  see: *cf103*",
        ]
    )


def test_error_fails_the_test(pytester):
    """The one that published it, and no other."""
    pytester.makepyfile(SOURCE)
    result = pytester.runpytest(*QUIETLY, "--celeryflow-lint=error")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["lint finds something in what the test published", "CF103 *"])


def test_the_ini_twin(pytester):
    """The same from the ini file."""
    pytester.makepyfile(SOURCE)
    pytester.makeini("[pytest]\nceleryflow_lint = error")
    pytester.runpytest(*QUIETLY).assert_outcomes(passed=1, failed=1)


def test_a_level_that_there_is_not(pytester):
    """It lists those that there are."""
    pytester.makepyfile(SOURCE)
    pytester.makeini("[pytest]\nceleryflow_lint = loud")
    result = pytester.runpytest(*QUIETLY)
    result.stderr.fnmatch_lines(["*celeryflow_lint='loud' is not one of off, warn, error"])
