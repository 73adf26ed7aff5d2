"""Beside pytest-celery, Celery's official plugin: nothing of the one gets in the way of the other.

Its fixtures start containers when a test asks for them; loading it needs no Docker. It brings Celery's
own fixtures, a marker, and tasks that it shares with every app.
"""

from __future__ import annotations

import re

import pytest
from celery import Celery

from pytest_celeryflow import lint, simulate

pytest.importorskip("pytest_celery", reason="pytest-celery is not installed")

pytestmark = pytest.mark.slow

BOTH = ("-p", "no:randomly", "-p", "no:asyncio")

#: The README's first test, with the time that its task takes.
ORDERS = """
    from celery import chain, shared_task

    @shared_task(bind=True, max_retries=3)
    def charge(self, order):
        if self.request.retries < 2:
            raise self.retry(exc=ConnectionError("bank is down"), countdown=3600)
        return f"{order} paid"

    @shared_task
    def ship(receipt):
        return f"{receipt}, shipped"

    def test_an_order_is_shipped(celeryflow):
        run = celeryflow.run(chain(charge.s("A-1"), ship.s()))
        assert run.value == "A-1 paid, shipped"
        assert run.elapsed == 7200
"""


def test_both_are_loaded(pytester) -> None:
    """The README's test, in each mode that takes no hours, with both plugins registered."""
    pytester.makepyfile(
        ORDERS
        + """
    def test_both_are_there(request):
        plugins = request.config.pluginmanager
        assert plugins.hasplugin("celery") and plugins.hasplugin("celeryflow")
"""
    )
    pytester.runpytest_subprocess(*BOTH, "--strict-markers").assert_outcomes(passed=2)


def test_no_fixture_is_defined_twice(pytester) -> None:
    """Where each comes from, as pytest lists them."""
    told = pytester.runpytest_subprocess(*BOTH, "--fixtures", "-v")
    listed = re.findall(r"^(\w+)(?: \[\w+ scope\])? -- (\S+):\d+$", str(told.stdout), re.MULTILINE)
    from_ours = {name for name, place in listed if "/pytest_celeryflow/" in place}
    from_theirs = {
        name for name, place in listed if "/pytest_celery/" in place or "/celery/contrib/" in place
    }
    assert "celeryflow" in from_ours
    assert {"celery_setup", "celery_app"} <= from_theirs
    assert not from_ours & from_theirs


def test_no_marker_is_announced_twice(pytester) -> None:
    """Nor is one of theirs one of ours."""
    told = pytester.runpytest_subprocess(*BOTH, "--markers")
    names = re.findall(r"^@pytest\.mark\.(celery\w*)", str(told.stdout), re.MULTILINE)
    assert {"celery", "celeryflow", "celeryflow_explore"} <= set(names)
    assert len(names) == len(set(names))


def test_fixtures_of_both_in_one_test(pytester) -> None:
    """Celery's marker and app, and a flow in the simulation. Its worker is a container."""
    pytester.makepyfile(
        """
    import pytest
    from celery import shared_task

    @shared_task
    def inc(x):
        return x + 1

    @pytest.mark.celery(broker_url="memory://", result_backend="cache+memory://")
    def test_it(celery_app, celeryflow):
        assert celery_app is not celeryflow.app
        assert celeryflow.run(inc.s(1)).value == 2
        assert celery_app.conf.broker_url == "memory://"
"""
    )
    pytester.runpytest_subprocess(*BOTH).assert_outcomes(passed=1)


@pytest.fixture
def app() -> Celery:
    """An app that has that plugin's shared tasks, with one of its own that is called like one of them."""
    import pytest_celery.vendors.worker.tasks  # noqa: F401

    app = Celery("shop", set_as_current=False)

    @app.task(name="shop.ping")
    def ping() -> str:
        return "shop"

    assert "pytest_celery.vendors.worker.tasks.ping" in app.tasks
    return app


def test_the_last_part_of_a_name_means_the_apps_own_task(app) -> None:
    """Although the plugin has one of the same."""
    with simulate(app) as flow:
        flow.run(app.tasks["shop.ping"].s())
        flow.assert_ran("ping", times=1)


def test_its_tasks_are_not_suggested(app) -> None:
    """What is listed are the app's own."""
    with simulate(app) as flow, pytest.raises(ValueError, match=r"registered are: shop\.ping$"):
        flow.assert_ran("charge")


def test_its_tasks_are_not_linted(app) -> None:
    """They may run for ever: that is not the app's affair."""
    said = [finding.message for finding in lint(app)]
    assert said
    assert not any("add_replaced" in message or "noop" in message for message in said)
