"""What lint says of the result backend `django-db` is so."""

import pytest
from celery import Celery, chain, chord, group

from pytest_celeryflow import lint, simulate

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def shop():
    with Celery("shop", broker="redis://localhost:1", backend="django-db", set_as_current=False) as app:
        yield app


@pytest.fixture
def echo(shop):
    @shop.task(name="shop.echo", shared=False)
    def echo(x):
        return x

    return echo


def test_a_header_that_ignores_a_result(shop, echo):
    """CF101"""

    @shop.task(name="shop.quiet", shared=False, ignore_result=True)
    def quiet(x):
        return x

    canvas = chord([echo.s(1), quiet.s(2)], echo.s())
    assert [finding.code for finding in lint(canvas)] == ["CF101"]
    with simulate(shop) as flow:
        assert "2 of 2 tasks have counted" in flow.run(canvas).verdict.hung


def test_a_member_of_a_header_that_ends_in_a_group(shop, echo):
    """CF112"""
    canvas = chord([echo.s(1), chain(echo.s(2), group(echo.s(), echo.s()))], echo.s())
    (finding,) = lint(canvas)
    assert finding.code == "CF112"
    assert "never calls the body" in finding.message
    with simulate(shop) as flow:
        assert flow.run(canvas).verdict.hung
