"""`as_sent`: what Celery publishes, told by Celery's own code."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, _state, chain, chord, group, signals
from celery.canvas import _chain

from pytest_celeryflow.shape import Shape, assert_shape, shape
from pytest_celeryflow.shape._sent import sent_messages

warnings.filterwarnings("ignore", module="celery.canvas")

Build = Callable[[Any], Any]

CASES: list[tuple[str, Build, str]] = [
    ("a task", lambda t: t.fetch.s(1), "fetch(1)"),
    ("a chain", lambda t: t.fetch.s(1) | t.publish.s(), "fetch(1) | publish()"),
    ("an immutable task", lambda t: t.fetch.s() | t.notify.si(1), "fetch() | notify.si(1)"),
    (
        "a group followed by a task becomes a chord",
        lambda t: _chain(group(t.resize.s(1), t.resize.s(2)), t.publish.s()),
        "chord([resize(1), resize(2)], publish())",
    ),
    (
        "what follows the first task of a body follows the chord",
        lambda t: chord([t.resize.s(1), t.resize.s(2)], t.publish.s() | t.notify.s()),
        "chord([resize(1), resize(2)], publish()) | notify()",
    ),
    (
        "two groups in a row",
        lambda t: chain(
            group(t.fetch.s(), t.audit.s()), group(t.resize.s(1), t.resize.s(2)), t.publish.s()
        ),
        "chord([fetch(), audit()], chord([resize(1), resize(2)], publish()))",
    ),
    ("a group of one is a task", lambda t: group(t.fetch.s()), "fetch()"),
    ("a chord of one stays a chord", lambda t: chord([t.fetch.s()], t.audit.s()), "chord([fetch()], audit())"),
    (
        "a group in a group is flattened",
        lambda t: group(t.fetch.s(), group(t.resize.s(1), t.resize.s(2))),
        "group(fetch(), resize(1), resize(2))",
    ),
    (
        "a chain in a chain is flattened",
        lambda t: _chain(_chain(t.fetch.s(), t.resize.s()), t.publish.s()),
        "fetch() | resize() | publish()",
    ),
    (
        "a chord in a header",
        lambda t: chord([t.fetch.s(), chord([t.resize.s(1), t.resize.s(2)], t.audit.s())], t.publish.s()),
        "chord([fetch(), chord([resize(1), resize(2)], audit())], publish())",
    ),
    (
        "a chain that ends in a group, in a header",
        lambda t: chord([t.fetch.s(), t.audit.s() | group(t.resize.s(1), t.resize.s(2))], t.publish.s()),
        "chord([fetch(), audit() | group(resize(1), resize(2))], publish())",
    ),
    (
        "a body that is a group",
        lambda t: chord([t.fetch.s(), t.audit.s()], group(t.publish.s(), t.notify.s())),
        "chord([fetch(), audit()], group(publish(), notify()))",
    ),
    ("an empty header", lambda t: chord([], t.publish.s()), "publish([])"),
    ("an empty group", lambda t: group(), "group()"),
    ("map", lambda t: t.resize.map([1, 2]), "resize.map([1, 2])"),
    (
        "chunks are a group of starmaps",
        lambda t: t.resize.chunks([(1,), (2,), (3,)], 2),
        "group(resize.starmap([[1], [2]]), resize.starmap([[3]]))",
    ),
    (
        "options of a chain land on its first task",
        lambda t: chain(t.fetch.s(), t.publish.s()).set(queue="slow"),
        "fetch().set(queue='slow') | publish()",
    ),
    (
        "options of a chord land on header and body",
        lambda t: chord([t.fetch.s(), t.audit.s()], t.publish.s()).set(queue="slow"),
        "chord([fetch().set(queue='slow'), audit().set(queue='slow')], publish().set(queue='slow'))",
    ),
    (
        "an errback of a chain lands on every task, a link on the last",
        lambda t: _linked(chain(t.fetch.s(), t.publish.s()), t),
        "fetch().on_error(clean()) | publish().link(audit()).on_error(clean())",
    ),
]  # fmt: skip


def _linked(canvas: Any, t: Any) -> Any:
    canvas.link(t.audit.s())
    canvas.link_error(t.clean.s())
    return canvas


@pytest.mark.parametrize(("build", "text"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_what_is_sent(t: SimpleNamespace, build: Build, text: str) -> None:
    assert str(shape(build(t), as_sent=True)) == text


@pytest.mark.parametrize("build", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_the_canvas_is_not_changed(t: SimpleNamespace, build: Build) -> None:
    canvas = build(t)
    before = json.dumps(canvas)
    shape(canvas, as_sent=True)
    assert json.dumps(canvas) == before


def test_the_app_is_left_as_it_was(app: Celery, t: SimpleNamespace) -> None:
    app.finalize()
    assert app.conf.task_protocol == 2  # as publishing would, reading loads the configuration
    canvas = group(t.fetch.s(), t.audit.s()) | t.publish.s()
    before, current = dict(vars(app)), _state._tls.current_app
    shape(canvas, as_sent=True)
    changed = [name for name, value in vars(app).items() if value is not before.get(name)]
    assert changed == []
    assert _state._tls.current_app is current


@pytest.mark.parametrize("build", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_the_first_messages_are_those_of_the_real_app(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Celery(broker="memory://", backend="cache+memory://", set_as_current=False)
    names = ("fetch", "resize", "publish", "notify", "audit", "clean")

    def body(*args: object) -> None: ...

    tasks = SimpleNamespace(**{name: app.task(name=name, shared=False)(body) for name in names})
    # Celery 5.4 looks no deeper than the first step for the app of a chain.
    monkeypatch.setattr(_state._tls, "current_app", app)
    real: list[str] = []

    def note(headers: dict[str, Any], **kwargs: Any) -> None:
        real.append(headers["task"])

    signals.before_task_publish.connect(note)
    try:
        build(tasks).apply_async()
    finally:
        signals.before_task_publish.disconnect(note)
    found = [each for each in sent_messages(build(tasks)) if not (each.after or each.body_of)]
    assert [each.shape.name for each in found] == [
        "resize" if name in ("celery.map", "celery.starmap") else name for name in real
    ]


def test_an_eager_app_runs_nothing() -> None:
    app = Celery(set_as_current=False)
    app.conf.task_always_eager = True
    ran: list[int] = []

    @app.task(name="ran", shared=False)
    def task(n: int) -> None:
        ran.append(n)

    assert str(shape(task.s(1) | task.s(), as_sent=True)) == "ran(1) | ran()"
    assert ran == []


def test_a_canvas_that_was_frozen(t: SimpleNamespace) -> None:
    canvas = chain(t.fetch.s(), t.publish.s())
    canvas.freeze()
    assert str(shape(canvas, as_sent=True)) == "fetch() | publish()"


def test_a_canvas_that_came_through_json(t: SimpleNamespace) -> None:
    canvas = json.loads(json.dumps(group(t.fetch.s(), t.audit.s()) | t.publish.s()))
    assert str(shape(canvas, as_sent=True)) == "chord([fetch(), audit()], publish())"


def test_a_partial_may_be_looked_at() -> None:
    app = Celery(set_as_current=False)

    @app.task(name="needs_two", shared=False)
    def needs_two(one: int, two: int) -> None: ...

    assert str(shape(needs_two.s(), as_sent=True)) == "needs_two()"


def test_an_apply_async_of_the_users_own_is_not_called() -> None:
    app = Celery(set_as_current=False)

    class Locked(app.Task):  # type: ignore[misc, name-defined]
        def apply_async(self, *args: object, **kwargs: object) -> None:
            raise AssertionError("would have taken a lock in Redis")

    @app.task(name="locked", base=Locked, shared=False)
    def locked() -> None: ...

    assert str(shape(locked.s(), as_sent=True)) == "locked()"


def test_what_celery_refuses_is_told(t: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"^Celery cannot publish this canvas: "):
        shape(chord([t.fetch.s()], None), as_sent=True)


def test_a_shape_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="as_sent needs the canvas itself"):
        shape(Shape.parse("fetch()"), as_sent=True)


def test_wide_and_deep_canvases_stay_linear(t: SimpleNamespace) -> None:
    step = group(t.resize.s(n) for n in range(20)) | t.publish.s()
    found = shape(chain(*[step] * 6), as_sent=True)
    assert len(found.tasks()) == 6 * 21


def test_assert_shape_of_what_is_sent(t: SimpleNamespace) -> None:
    canvas = chain(t.fetch.s(), t.publish.s()).set(queue="slow")
    assert_shape(canvas, "fetch().set(queue='slow') | publish()", as_sent=True, options=True)


def test_assert_shape_takes_the_canvas_as_it_is_before_sending(t: SimpleNamespace) -> None:
    canvas = chord([t.fetch.s(), t.audit.s()], t.publish.s() | t.notify.s())
    assert_shape(canvas, canvas, as_sent=True)


def test_assert_shape_of_what_is_sent_fails(t: SimpleNamespace) -> None:
    canvas = chord([t.fetch.s(), t.audit.s()], t.publish.s() | t.notify.s())
    with pytest.raises(AssertionError, match=r"^chain\[1\]: unexpected: notify\(\)"):
        assert_shape(canvas, "chord([fetch(), audit()], publish())", as_sent=True)
