"""Where rules stop: what is nearly a finding and is none, and the variants that are one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from celery import VERSION, Celery, chain, chord, group
from celery.canvas import Signature
from celery.exceptions import SoftTimeLimitExceeded
from kombu import Queue

from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.lint import lint
from pytest_celeryflow.lint.rules.delays import duration


@pytest.fixture
def shop(no_shared_tasks):
    """An app on Redis with nothing to find in it."""
    with FreshApp("shop", broker="redis://h", backend="redis://h", set_as_current=False) as app:
        app.conf.task_time_limit = 600
        yield app


@pytest.fixture
def t(shop):
    @shop.task(name="shop.take")
    def take(x):
        return x

    @shop.task(name="shop.any")
    def anything(*args, **kwargs):
        return args

    @shop.task(name="shop.nothing")
    def nothing():
        repr(shop)

    return SimpleNamespace(take=take, any=anything, nothing=nothing)


def found(subject, app=None):
    return [(each.code, each.path) for each in lint(subject, app)]


def codes(subject):
    return [each.code for each in lint(subject)]


# -- calls ---------------------------------------------------------------------------------


def test_the_first_task_may_still_be_given_arguments(t):
    assert codes(t.take.s()) == []
    assert codes(t.take.s(1, 2)) == ["CF104"]


def test_keyword_arguments_count_too(t):
    assert codes(t.any.s() | t.take.s(x=1)) == ["CF105"]
    assert codes(t.any.s() | t.take.si(y=1)) == ["CF104"]


def test_a_body_is_given_the_list(t):
    assert found(chord([t.any.s()], t.nothing.s())) == [("CF105", "chord.body")]
    assert codes(chord([t.any.s()], t.nothing.si())) == []


def test_links_are_given_the_result(t):
    canvas = t.any.s()
    canvas.link(t.nothing.s())
    assert found(canvas) == [("CF105", "task.links[0]")]


def test_items_of_maps_are_checked(t):
    assert found(t.take.starmap([(1,), (1, 2)])) == [("CF104", "starmap.items[1]")]
    assert codes(t.take.map([1, (1, 2)])) == []
    assert found(t.take.chunks([(1,), ()], 2)) == [("CF104", "chunks.items[1]")]


def test_nothing_is_fine_for_whoever_does_not_need_it(shop, t):
    @shop.task(name="shop.ignoring")
    def ignoring(_before):
        return 1

    @shop.task(name="shop.optional")
    def optional(before=None):
        return 1

    for step in (ignoring.s(), optional.s(), t.any.s(), t.take.si(1)):
        assert codes(t.nothing.s() | step) == []
    assert codes(t.nothing.s() | t.take.s()) == ["CF106"]


def test_a_bound_task_does_not_count_itself(shop):
    @shop.task(name="shop.bound", bind=True)
    def bound(self, x):
        return x

    assert codes(bound.s(1) | bound.s()) == []


def test_a_class_based_task(shop):
    class Take(shop.Task):
        name = "shop.class"

        def run(self, x):
            return x

    shop.register_task(Take())
    assert codes(shop.tasks["shop.class"].s(1) | shop.tasks["shop.class"].s(2)) == ["CF105"]


# -- arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 1, tzinfo=UTC),
        UUID(int=1),
        Decimal("1.5"),
        b"x",
        (1, 2),
        {"a": [None, True]},
        float("nan"),
    ],
    ids=repr,
)
def test_what_kombu_writes_as_json_passes(t, value):
    assert codes(t.any.s(value)) == []


def test_the_serializer_is_that_of_the_signature_then_the_task(shop, t):
    assert codes(t.any.s({1}).set(serializer="pickle")) == []

    @shop.task(name="shop.pickled", serializer="pickle")
    def pickled(x):
        return x

    assert codes(pickled.s({1})) == []
    assert codes(pickled.s({1}).set(serializer="json")) == ["CF107"]


def test_models_of_django_are_known_by_their_looks(t):
    class Order:
        _meta = SimpleNamespace(concrete_fields=())

    assert found(t.any.s([{"order": Order()}])) == [("CF110", "task.args[0]")]
    assert codes(t.any.s(Order().__class__.__name__)) == []


def test_arguments_together_are_huge(t):
    assert codes(t.any.s("x" * 40_000)) == []
    assert codes(t.any.s("x" * 40_000, y="x" * 40_000)) == ["CF109"]


# -- names and queues ----------------------------------------------------------------------


@pytest.mark.usefixtures("no_shared_tasks")
def test_an_app_that_only_sends_knows_no_tasks():
    client = Celery("client", broker="redis://h", set_as_current=False)
    assert lint(client.signature("shop.take"), client) == []


def test_the_nearest_name_is_suggested(shop, t):
    (finding,) = lint(shop.signature("shop.tale"))
    assert finding.hint == "did you mean shop.take?"


def test_tasks_of_celery_itself_are_known(shop):
    assert codes(shop.signature("celery.backend_cleanup")) == []


def test_a_queue_may_be_an_object(shop, t):
    shop.conf.task_queues = [Queue("celery")]
    assert codes(t.take.s(1).set(queue=Queue("celery"))) == []
    assert codes(t.take.s(1).set(queue=Queue("other"))) == ["CF126"]


def test_what_happens_in_a_missing_queue_depends_on_a_setting(shop, t):
    shop.conf.task_queues = [Queue("celery")]
    (finding,) = lint(t.take.s(1).set(queue="x"))
    assert "no worker consumes it" in finding.message
    shop.conf.task_create_missing_queues = False
    (finding,) = lint(t.take.s(1).set(queue="x"))
    assert "QueueNotFound" in finding.message


@pytest.mark.parametrize(
    "routes",
    [
        {"shop.*": "gone"},
        {"shop.*": {"queue": "gone"}},
        [{"shop.*": {"queue": "gone"}}],
        ([("shop.*", {"queue": "gone"})],),
    ],
)
def test_routes_in_every_notation(shop, t, routes):
    shop.conf.task_queues = [Queue("celery")]
    shop.conf.task_routes = routes
    assert found(shop) == [("CF212", "task_routes['shop.*']")]


def test_routers_that_are_functions_are_not_called(shop, t):
    def route(name, args, kwargs, options, task=None, **more):
        raise AssertionError

    shop.conf.task_queues = [Queue("images")]
    shop.conf.task_routes = [route]
    assert codes(shop) == []


def test_a_default_queue_that_no_task_needs(shop, t):
    shop.conf.task_queues = [Queue("images")]
    shop.conf.task_routes = {"shop.*": {"queue": "images"}}
    assert codes(shop) == []


# -- options and time ----------------------------------------------------------------------


def test_a_chain_may_be_delayed(t):
    assert codes(chain(t.take.s(1), t.take.s()).set(countdown=60)) == []


def test_an_option_that_every_step_has_itself(t):
    steps = [t.take.s(1).set(queue="a"), t.take.s().set(queue="a")]
    assert codes(chain(*steps).set(queue="a")) == []


def test_options_of_a_group_reach_the_first_task_of_a_chain(t):
    canvas = group(t.take.s(1) | t.take.s(), t.take.s(1)).set(priority=3)
    assert found(canvas) == [("CF116", "group[0]")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"expires": 60}, []),
        ({"expires": 0}, ["CF122"]),
        ({"expires": datetime.now(UTC) + timedelta(hours=1)}, []),
        ({"expires": "2000-01-01T00:00:00+00:00"}, ["CF122"]),
        ({"expires": datetime.now(UTC) + timedelta(seconds=60), "countdown": 120}, ["CF122"]),
        ({"expires": None, "countdown": 60}, []),
    ],
    ids=["later", "at once", "at a date", "long ago", "before its countdown", "never"],
)
def test_when_a_task_expires(t, options, expected):
    assert codes(t.take.s(1).set(**options)) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (0.5, "0.5 s"), (90, "1 min 30 s"), (7200, "2 h"), (90_061, "1 d 1 h")],
)
def test_seconds_in_words(seconds, words):
    assert duration(seconds) == words


def test_seconds_of_expiry_begin_when_the_task_is_published(t):
    canvas = t.take.s(1).set(countdown=600) | t.take.s().set(expires=60)
    assert codes(canvas) == []
    date = datetime.now(UTC) + timedelta(seconds=60)
    assert found(t.take.s(1).set(countdown=600) | t.take.s().set(expires=date)) == [
        ("CF122", "chain[1]")
    ]


def test_a_task_s_own_expiry(shop):
    @shop.task(name="shop.brief", expires=60)
    def brief():
        pass

    assert codes(brief.s().set(countdown=120)) == ["CF122"]
    assert codes(brief.s().set(countdown=120, expires=180)) == []


def test_all_retries_of_a_header_count(shop, t):
    shop.conf.result_expires = 3600

    @shop.task(
        name="shop.patient", autoretry_for=(OSError,), max_retries=8,
        retry_backoff=30, retry_backoff_max=3000,
    )  # fmt: skip
    def patient(x):
        return x

    assert found(chord([patient.s(1), patient.s(2)], t.any.s())) == [("CF124", "chord.header[0]")]
    shop.conf.result_expires = 86_400
    assert codes(chord([patient.s(1), patient.s(2)], t.any.s())) == []


# -- callbacks -----------------------------------------------------------------------------


def test_a_bound_errback_is_given_the_id(shop, t):
    @shop.task(name="shop.failed", bind=True)
    def failed(self, task_id):
        pass

    assert codes(t.take.s(1).on_error(failed.s().set(queue="alerts"))) == []


def test_an_immutable_errback_is_given_its_own_arguments(shop, t):
    @shop.task(name="shop.failed")
    def failed(what):
        pass

    assert codes(t.take.s(1).on_error(failed.si("x"))) == []
    assert codes(t.take.s(1).on_error(failed.s("x"))) == ["CF118"]


def test_arguments_that_an_errback_brings_are_counted_before_5_7(shop, t):
    @shop.task(name="shop.failed")
    def failed(task_id, what):
        pass

    canvas = t.take.s(1).on_error(failed.s("x"))
    assert codes(canvas) == ([] if VERSION[:2] >= (5, 7) else ["CF118"])


def test_an_errback_of_one_member_is_its_own(shop, t):
    assert codes(group(t.take.s(1).on_error(t.any.s()), t.take.s(2))) == []


def test_a_callback_that_every_member_has(t):
    canvas = group(t.take.s(1), t.take.s(2))
    for member in canvas.tasks:
        member.link(t.any.si())
    assert codes(canvas) == []


# -- chords --------------------------------------------------------------------------------


def test_only_the_last_of_a_member_counts(shop, t):
    shop.conf.result_backend = "cache+memory://"

    @shop.task(name="shop.silent", ignore_result=True)
    def silent(x):
        return x

    assert codes(chord([silent.s(1) | t.take.s(), t.take.s(1)], t.any.s())) == []
    assert found(chord([t.take.s(1) | silent.s(), t.take.s(1)], t.any.s())) == [
        ("CF101", "chord.header[0][1]")
    ]
    assert codes(chord([t.take.s(1), t.take.s(1)], silent.s())) == []


def test_a_chord_without_results_in_eager_mode(shop, t):
    shop.conf.result_backend = None
    canvas = group(t.take.s(1), t.take.s(2)) | t.any.s()
    assert codes(canvas) == ["CF102"]
    shop.conf.task_always_eager = True
    assert codes(canvas) == []


def test_a_group_of_json_becomes_a_header(shop, t):
    """A chain that came through JSON may hold a group with a step after it."""
    shop.conf.result_backend = None
    steps = [dict(group(t.take.s(1), t.take.s(2))), dict(t.any.s())]
    canvas = {**dict(chain(t.take.s(1), t.any.s())), "kwargs": {"tasks": steps}}
    assert found(canvas, shop) == [("CF102", "chain[0]")]
    assert isinstance(Signature.from_dict(canvas), Signature)


# -- tasks and settings --------------------------------------------------------------------


def test_settings_are_told_once(shop):
    shop.conf.update(task_acks_late=True, task_soft_time_limit=600, task_time_limit=600)

    @shop.task(name="shop.one")
    def one():
        pass

    @shop.task(name="shop.other")
    def other():
        pass

    assert found(shop) == [("CF201", "task_acks_late"), ("CF206", "task_soft_time_limit")]


def test_one_task_without_a_limit_is_enough(shop):
    shop.conf.task_time_limit = None

    @shop.task(name="shop.limited", time_limit=5)
    def limited():
        pass

    assert codes(shop) == []

    @shop.task(name="shop.unlimited")
    def unlimited():
        pass

    (finding,) = lint(shop)
    assert finding.message == "not set: unlimited may run for ever"


def test_retries_that_were_thought_about(shop):
    @shop.task(
        name="shop.spared", autoretry_for=(Exception,), retry_backoff=True, soft_time_limit=5,
        dont_autoretry_for=(SoftTimeLimitExceeded,),
    )  # fmt: skip
    def spared():
        pass

    @shop.task(name="shop.chosen", autoretry_for=(OSError,), default_retry_delay=30)
    def chosen():
        pass

    @shop.task(name="shop.endless", max_retries=None)
    def never_retries():
        pass

    assert codes(shop) == []


def test_a_backoff_that_never_gets_to_its_maximum(shop):
    @shop.task(
        name="shop.short", autoretry_for=(OSError,), retry_backoff=True, retry_backoff_max=86_400
    )
    def short():
        pass

    assert codes(shop) == []

    @shop.task(
        name="shop.far", autoretry_for=(OSError,), retry_backoff=60, retry_backoff_max=86_400,
        max_retries=10,
    )  # fmt: skip
    def far():
        pass

    assert found(shop) == [("CF208", "shop.far")]


def test_a_schedule_with_arguments_that_are_computed(shop, t):
    from celery.beat import BeatLazyFunc

    shop.conf.beat_schedule = {
        "lazy": {"task": "shop.take", "schedule": 60, "args": BeatLazyFunc(lambda: [1])},
        "own": {"task": "celery.backend_cleanup", "schedule": 60},
    }
    assert codes(shop) == []


def test_pickle_by_its_content_type(shop):
    shop.conf.accept_content = ["application/json", "application/x-python-serialize"]
    assert found(shop) == [("CF217", "accept_content")]


def test_a_serializer_of_the_settings_is_told_once(shop, t):
    shop.conf.task_serializer = "yaml"
    assert found(shop) == [("CF218", "task_serializer")]
