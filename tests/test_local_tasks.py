"""Tasks that tests define within themselves: each its own, though they have one name."""

import sys
from types import ModuleType

import pytest
from celery import Celery, shared_task

from pytest_celeryflow import explore, simulate
from pytest_celeryflow.local_tasks import local_tasks_forgotten

#: Plugins of this environment that have nothing to do with it.
BLOCKED = [
    part
    for name in ("randomly", "celery", "asyncio", "django", "xdist", "hypothesispytest")
    for part in ("-p", f"no:{name}")
]

TWO_TESTS = """
    from celery import shared_task

    def test_one(celeryflow):
        @shared_task
        def number():
            return 1

        assert celeryflow.run(number.s()).value == 1

    def test_two(celeryflow):
        @shared_task
        def number():
            return 2

        assert celeryflow.run(number.s()).value == 2
"""

A_FIXTURE = """
    import pytest
    from celery import shared_task

    @pytest.fixture
    def notes():
        found = []

        @shared_task
        def note(x):
            found.append(x)

        note.delay
        return note, found

    @pytest.mark.parametrize("x", [1, 2])
    def test_it(notes, celeryflow, x):
        note, found = notes
        celeryflow.run(note.s(x))
        assert found == [x]
"""

A_WIDER_FIXTURE = """
    import pytest
    from celery import Celery

    @pytest.fixture(scope="module")
    def celeryflow_app():
        app = Celery("shop", set_as_current=False)

        @app.task(name="shop.add")
        def add(x, y):
            return x + y

        return app

    @pytest.mark.parametrize("x", [1, 2])
    def test_it(celeryflow, celeryflow_app, x):
        assert celeryflow.run(celeryflow_app.tasks["shop.add"].s(x, 1)).value == x + 1
"""

COMPARED = """
    import pytest
    from celery import shared_task

    @pytest.mark.celeryflow(modes=["eager", "sim"], compare=True)
    def test_it(celeryflow):
        runs = []

        @shared_task
        def note():
            runs.append(1)

        celeryflow.run(note.s())
        assert runs == [1]
"""


@pytest.mark.parametrize("text", [TWO_TESTS, A_FIXTURE, A_WIDER_FIXTURE, COMPARED])
def test_under_pytest(pytester, text):
    """In the test, in a fixture of it that is set up first, for all tests of a module."""
    pytester.makepyfile(text)
    result = pytester.runpytest_inprocess(*BLOCKED, "-W", "error")
    assert result.ret == 0


def test_what_was_known_before_a_test_is_not_kept(pytester):
    """Items stay until the session ends, and there may be ten thousand of them."""
    pytester.makeconftest(
        """
        import gc
        from pytest_celeryflow.local_tasks import KnownTasks

        def there():
            gc.collect()
            return sum(type(each) is KnownTasks for each in gc.get_objects())

        before = there()  # that of the session around this one

        def pytest_sessionfinish(session):
            print("kept:", there() - before)
        """
    )
    pytester.makepyfile(TWO_TESTS)
    result = pytester.runpytest_inprocess("-s", *BLOCKED)
    result.stdout.fnmatch_lines(["*kept: 0*"])


def test_each_schedule_has_its_own(app):
    """What a schedule notes is not noted in the one before."""

    def noting(flow):
        notes = []

        @shared_task(name="shop.note")
        def note():
            notes.append(1)

        flow.run(note.s())
        assert notes == [1]

    assert explore(noting, app, runs=3, faults=()).ok


def test_a_task_of_an_app_that_was_there_before_is_forgotten():
    """It was defined on a user's own app."""
    app = Celery("shop", set_as_current=False)
    app.finalize()
    with local_tasks_forgotten():

        @app.task(name="shop.local")
        def local():
            return 1

        with simulate(app) as flow:
            assert flow.run(local.s()).value == 1
    assert "shop.local" not in app.tasks


MODULE = """
    from celery import shared_task
    from factories import careless, make

    @shared_task
    def plain():
        return "plain"

    made = make("made")

    @shared_task(name="careless")
    @careless
    def wrapped():
        return "careless"
"""

FACTORIES = """
    from celery import shared_task

    def make(name):
        @shared_task(name=name)
        def task():
            return name
        return task

    def careless(function):
        def wrapper():
            return function()
        return wrapper
"""


def test_what_a_module_defines_stays(pytester):
    """It is imported once, perhaps while a test runs, as `app.autodiscover_tasks` does."""
    pytester.makepyfile(
        later=MODULE,
        factories=FACTORIES,
        test_it="""
            import pytest
            import factories

            @pytest.mark.parametrize("name", ["plain", "made", "wrapped"])
            @pytest.mark.parametrize("turn", [1, 2])
            def test_it(celeryflow, name, turn):
                import later

                assert celeryflow.run(getattr(later, name).s()).value
        """,
    )
    result = pytester.runpytest_inprocess(*BLOCKED, "-W", "error")
    result.assert_outcomes(passed=6)


def test_lazy_objects_of_a_module_are_left_alone(monkeypatch):
    """Such as Django's settings, which may not be configured at all."""

    class Lazy:
        @property
        def __class__(self):
            raise RuntimeError("not configured")

    with local_tasks_forgotten():
        module = ModuleType("lately")
        module.settings = Lazy()
        monkeypatch.setitem(sys.modules, "lately", module)


def test_celery_keeps_its_own(app):
    """They are defined within functions, too, when an app is finalized."""
    with local_tasks_forgotten():
        app.finalize()
    assert "celery.chord_unlock" in app.tasks
