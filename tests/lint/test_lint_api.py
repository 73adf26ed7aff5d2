"""`lint` and `assert_clean` as users call them: arguments, silencing, and the message."""

from __future__ import annotations

import socket

import pytest
from celery import Celery, chord, group

import pytest_celeryflow.lint as package
from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.lint import Finding, assert_clean, lint
from pytest_celeryflow.lint.rules import RULES

from .examples import linted


@pytest.fixture
def shop():
    """An app with a task that takes one argument and one that returns nothing."""
    with FreshApp("shop", set_as_current=False) as app:

        @app.task(name="shop.fetch")
        def fetch(url):
            return url

        @app.task(name="shop.notify", celeryflow_ignore=("CF106",))
        def notify(text):
            text.strip()

        yield app


def sent(app, name, *args, **options):
    return app.tasks[f"shop.{name}"].s(*args).set(**options)


def test_a_finding_says_what_where_and_how_to_repair_it(shop):
    canvas = sent(shop, "fetch", "a") | sent(shop, "notify", "done")
    assert lint(canvas) == [
        Finding(
            code="CF105",
            rule="takes-no-result",
            message="notify is given a result before its own arguments: "
            "(<result>, 'done'): too many positional arguments",
            path="chain[1]",
            hint="notify.si(…), which is not given it",
            url="docs/reference/lint.md#cf105-takes-no-result",
            task="shop.notify",
        )
    ]


def test_the_message_of_a_failure(shop):
    canvas = group(sent(shop, "fetch", {1: 2}), sent(shop, "fetch") | sent(shop, "notify", "x"))
    with pytest.raises(CeleryflowAssertionError) as failure:
        assert_clean(canvas)
    assert failure.value.actual == lint(canvas)
    assert str(failure.value) == (
        """\
lint found 2 things: CF105, CF108

CF105 takes-no-result
  group[1][1]: notify is given a result before its own arguments: (<result>, 'x'): too many
      positional arguments
    repair: notify.si(…), which is not given it
  why: the workflow fails in a worker when it gets there, after the tasks before have run; or
      the result takes the place of an argument that was meant for something else.
  silence: ignore=('CF105',), or ('CF105@group[1][1]',) for one place
           or celeryflow_ignore=('CF105',) on the task
  see: docs/reference/lint.md#cf105-takes-no-result

CF108 keys-become-text
  group[0].args[0]: JSON makes text of keys: the task is given '1' for 1
    repair: send a list of pairs
  why: no error tells. The task is given {"1": …} for {1: …}, and its look-ups fail; called as a
      function, it has never shown that.
  silence: ignore=('CF108',), or ('CF108@group[0].args[0]',) for one place
           or celeryflow_ignore=('CF108',) on the task
  see: docs/reference/lint.md#cf108-keys-become-text"""
    )


def test_many_places_are_counted(shop):
    with pytest.raises(CeleryflowAssertionError) as failure:
        assert_clean(group(sent(shop, "fetch", {1: 2}) for _ in range(12)))
    first, *lines = str(failure.value).splitlines()
    assert first == "lint found 12 things: CF108 × 12"
    assert "  … and 2 more places" in lines


def test_a_clean_canvas_passes(shop):
    assert_clean(sent(shop, "fetch", "a"))


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        (("CF105",), []),
        (("CF105@chain[1]",), ["chain[2]"]),
        (("CF105@chain",), []),
        (("CF105@notify",), []),
        (("CF105@shop.notify",), []),
        (("CF105@otify", "CF105@chain[0]", "CF104"), ["chain[1]", "chain[2]"]),
    ],
)
def test_a_rule_is_silenced_everywhere_or_in_one_place(shop, ignore, left):
    steps = [sent(shop, "notify", "x") for _ in range(2)]
    canvas = sent(shop, "fetch", "a") | steps[0] | steps[1]
    if not left:
        assert_clean(canvas, ignore)
        return
    with pytest.raises(CeleryflowAssertionError) as failure:
        assert_clean(canvas, ignore)
    assert [each.path for each in failure.value.actual] == left


def test_a_task_silences_a_rule_for_itself(shop):
    """`notify` silences CF106, whoever returns nothing before it."""
    assert lint(sent(shop, "notify", "a") | sent(shop, "notify")) == []
    found = lint(sent(shop, "notify", "a") | sent(shop, "fetch"))
    assert [each.code for each in found] == ["CF106"]


def test_what_silences_a_task_is_not_sent(shop):
    """The attribute is Celery's to keep and nobody's to publish."""
    task = shop.tasks["shop.notify"]
    assert "celeryflow_ignore" not in task._get_exec_options()


def test_unknown_codes_are_listed_with_the_valid_ones(shop):
    with pytest.raises(ValueError, match=r"ignore: no rule has the code 'CF999'; valid are CF101 "):
        assert_clean(sent(shop, "fetch", "a"), ignore=["CF999@x"])

    @shop.task(name="shop.odd", celeryflow_ignore=("CF999",), acks_late=True)
    def odd():
        pass

    with pytest.raises(ValueError, match=r"celeryflow_ignore of task shop\.odd: no rule"):
        lint(shop)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda app: lint(5), "canvas_or_app is int, not a signature"),
        (lambda app: lint([]), "canvas_or_app is a list; write group"),
        (lambda app: lint(app.tasks["shop.fetch"]), "canvas_or_app is the task shop.fetch; write "),
        (lambda app: lint(group(), app="app"), "app is str, not a Celery app"),
        (lambda app: lint(app, app), "app is for a canvas"),
        (lambda app: assert_clean(group(), ignore="CF103"), r"ignore is 'CF103'; write ignore=\("),
        (lambda app: assert_clean(group(), ignore=103), "ignore is 103; it is a list of codes, such"),
    ],
)
def test_bad_arguments_are_named(shop, call, message):
    with pytest.raises(TypeError, match=message):
        call(shop)


def test_the_package_is_the_function():
    """Importing a submodule binds the package's name to the module."""
    client = Celery(set_as_current=False)
    assert package(group(), client) == lint(group(), client) != []


@pytest.mark.parametrize(
    "rule", [each for each in RULES if each.about == "canvas"], ids=lambda r: r.code
)
def test_an_app_that_is_not_configured_will_do(rule, tmp_path):
    """A rule that needs a setting is silent; none fails."""
    canvas = linted(rule.sections["Bad"], tmp_path)
    assert isinstance(lint(canvas, Celery(set_as_current=False)), list)


@pytest.mark.usefixtures("no_shared_tasks")
def test_an_app_without_anything_is_clean():
    assert lint(Celery(set_as_current=False)) == []


@pytest.mark.parametrize("url", ["redis://nowhere.invalid", "amqp://nowhere.invalid"])
def test_nothing_is_connected(monkeypatch, url):
    """Neither broker nor result backend is made, let alone asked."""

    def refuse(*args):
        raise AssertionError("lint connects")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with FreshApp("shop", broker=url, backend="redis://nowhere.invalid") as app:

        @app.task(name="shop.late", acks_late=True)
        def late(x):
            return x

        lint(chord([late.s(1), late.s(2).set(countdown=9999)], late.s()))
        lint(app)
        assert app._backend_cache is None
        assert not hasattr(app._local, "backend")
        assert "amqp" not in vars(app)


@pytest.mark.usefixtures("no_shared_tasks")
def test_a_backend_whose_library_is_missing_is_not_judged():
    app = Celery(broker="redis://h", backend="no.such.module:Backend", set_as_current=False)
    canvas = chord([app.signature("a")], app.signature("b"))
    assert lint(canvas) == []
