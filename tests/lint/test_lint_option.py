"""`--celeryflow-lint`: what a session publishes is checked."""

import re
import textwrap

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
            "  chord: the header of the chord is empty: its body is called at once with *",
            "    in chord([[][]], total()), published by test_shop.py::test_empty",
            "  repair: build it only when there is something to run",
            "  silence: celeryflow_lint_ignore = CF103 in the ini file, or the marker *('CF103')",
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


@pytest.fixture
def found(pytester):
    """Codes and paths that lint tells of a test, published by what follows `SOURCE`."""

    def told(body, *, ini="", marker=""):
        pytester.makeini(f"[pytest]\nceleryflow_lint = error\n{ini}")
        text = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
        test = f"    {marker or 'pass'}\n    def test_it(celeryflow, celeryflow_app, total):\n{text}\n"
        pytester.makepyfile(test_shop=SOURCE.partition("    def test_empty")[0] + test)
        result = pytester.runpytest(*QUIETLY)
        return re.findall(r"^(CF\d+) .*\n  (\S+):", str(result.stdout), re.MULTILINE)

    return told


@pytest.mark.parametrize(
    "publish",
    [
        "chord([], total.s()).delay()",
        "chord([], total.s()).apply_async()",
        "chord([], total.s())()",
        "(chord([], total.s()) | total.s()).apply_async(countdown=1)",
    ],
)
def test_what_code_under_test_publishes(found, publish):
    """However it does."""
    assert {code for code, _ in found(f"{publish}\nceleryflow.drain()")} == {"CF103"}


def test_the_arguments_of_a_call_are_checked(found):
    """`delay` brings them."""
    assert found("total.delay({1: 2})") == [("CF108", "task.args[0]")]


def test_what_tasks_publish(found):
    """And what replaces them."""
    body = """
        @celeryflow_app.task(bind=True)
        def start(self):
            chord([], total.s()).delay()

        @celeryflow_app.task(bind=True)
        def other(self):
            return self.replace(total.s({1: 2}))

        celeryflow.run(start.s())
        celeryflow.run(other.s())
    """
    assert {code for code, _ in found(body)} == {"CF103", "CF108"}


def test_a_canvas_is_checked_once_as_a_whole(found):
    """Not its steps again, when Celery goes on with them."""
    body = """
        celeryflow.run(total.s([1]) | total.si({1: 2}))
    """
    assert found(body) == [("CF108", "chain[1].args[0]")]


@pytest.mark.parametrize(
    "silence",
    [
        {"ini": "celeryflow_lint_ignore = CF104, CF103"},
        {"ini": "celeryflow_lint_ignore = CF103@chord"},
        {"marker": "@pytest.mark.celeryflow_lint_ignore('CF103')"},
    ],
    ids=["project", "place", "test"],
)
def test_a_rule_is_silenced(found, silence):
    """In the project, or in a test."""
    assert found("celeryflow.run(chord([], total.s()))", **silence) == []


@pytest.mark.parametrize(
    ("silence", "message"),
    [
        ({"ini": "celeryflow_lint_ignore = CF999"}, "celeryflow_lint_ignore: no rule has the code"),
        (
            {"marker": "@pytest.mark.celeryflow_lint_ignore('CF999')"},
            "test_shop.py::test_it: marker celeryflow_lint_ignore: no rule has the code 'CF999'",
        ),
        (
            {"marker": "@pytest.mark.celeryflow_lint_ignore(code='CF103')"},
            "takes codes of rules, such as 'CF104'",
        ),
    ],
    ids=["project", "test", "keyword"],
)
def test_a_rule_that_there_is_not_cannot_be_silenced(found, capfd, silence, message):
    """Said before the first test."""
    assert found("pass", **silence) == []
    assert message in "".join(capfd.readouterr())


def test_celery_is_put_back(found):
    """Its own methods, after each test."""
    from celery import canvas
    from celery.app.task import Task

    before = [vars(owner)["apply_async"] for owner in (Task, canvas.Signature, canvas.group)]
    found("total.delay([1])")
    assert [vars(o)["apply_async"] for o in (Task, canvas.Signature, canvas.group)] == before
