"""An app that was lent out is put back exactly as it was."""

import os
from types import SimpleNamespace

import pytest
from celery import Celery, _state, current_app
from kombu import pools

from pytest_celeryflow import CeleryflowError, run_eager, run_worker, simulate
from pytest_celeryflow.borrow import FreshApp

CONTEXTS = [run_eager, run_worker, simulate]


@pytest.fixture
def used_app():
    """An app that was in use: its task is bound, its pools are open, its backend is cached."""
    url = "memory://"
    with FreshApp("used", broker=url, backend="cache+memory://", set_as_current=False) as app:

        @app.task(name="used.add")
        def add(x, y):
            return x + y

        app.finalize()
        with app.producer_or_acquire() as producer:
            assert producer.channel
        assert app.backend
        assert app.control
        yield app


def _state_of(app):
    lazily = {"tasks", "Task", "AsyncResult", "GroupResult", "WorkController", "annotations"}
    kept = {k: v for k, v in app.__dict__.items() if k not in lazily}
    return {
        "attributes": kept,
        "configuration": dict(app.conf.changes),
        "backend": app.backend,
        "producer pool": app.amqp._producer_pool,
        "task": {k: v for k, v in app.tasks["used.add"].__dict__.items() if k != "request_stack"},
        "current": _state._tls.current_app,
        "default": _state.default_app,
        "pools": (set(pools.connections), set(pools.producers), pools.get_limit()),
        "joining": _state._task_join_will_block,
    }


@pytest.mark.parametrize("context", CONTEXTS)
def test_everything_is_put_back(used_app, context):
    """Configuration, pools, backends, tasks, current and default app."""
    before = _state_of(used_app)
    with context(used_app) as flow:
        assert flow.run(used_app.tasks["used.add"].s(1, 2)).value == 3
        assert _state_of(used_app) != before
    assert _state_of(used_app) == before


@pytest.mark.parametrize("context", CONTEXTS)
def test_everything_is_put_back_after_an_exception(used_app, context):
    """Also when the test fails."""
    before = _state_of(used_app)
    with pytest.raises(ZeroDivisionError), context(used_app):
        raise ZeroDivisionError
    assert _state_of(used_app) == before


def test_the_real_broker_is_never_contacted(redis_app):
    """An app configured for Redis works where no Redis listens."""

    @redis_app.task
    def add(x, y):
        return x + y

    for context in CONTEXTS:
        with context(redis_app) as flow:
            assert flow.run(add.s(1, 2)).value == 3


def test_the_app_is_current_meanwhile(app):
    """`shared_task` and `signature` find it."""
    with simulate(app):
        assert current_app._get_current_object() is app
    assert current_app._get_current_object() is not app


def test_environment_does_not_outrank_the_test(app, add, monkeypatch):
    """`CELERY_BROKER_URL` is hidden from Celery meanwhile, and there again afterwards."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://localhost:1/0")
    with simulate(app, broker="memory", backend="memory") as flow:
        assert flow.run(add.s(1, 2)).value == 3
    assert os.environ["CELERY_BROKER_URL"] == "redis://localhost:1/0"


def test_settings_reach_tasks_that_are_bound_already(app):
    """A task copies settings when it is bound; `config=` is followed all the same."""

    @app.task
    def first():
        return None

    @app.task(acks_late=True)
    def second():
        return None

    app.finalize()
    with simulate(app, config={"task_acks_late": True}):
        assert first.acks_late is True
    assert first.acks_late is False
    assert second.acks_late is True


def test_an_app_is_lent_once(app):
    """A second context on the same app is refused by name."""
    with simulate(app), pytest.raises(CeleryflowError) as refused, run_worker(app):
        pass
    assert str(refused.value) == """\
app 'shop' is in use by mode 'sim' already

Expected: it is free when mode 'worker' borrows it
Instead:  the context of mode 'sim' is still open
Next:     close that first, or use another app. One test in several modes is
          @pytest.mark.celeryflow(modes=[…]), with the fixture celeryflow alone."""


@pytest.mark.parametrize("open_other", [simulate, run_worker, run_eager])
def test_the_pools_of_one_app_outlive_a_context_of_another(app, add, open_other):
    """Kombu has one group of pools for all; an app closes its own alone."""
    with simulate(app) as flow:
        with open_other(Celery("other", set_as_current=False)):
            assert flow.run(add.s(1, 1)).value == 2
        assert flow.run(add.s(1, 1)).value == 2


def test_what_is_no_app_is_refused():
    """The error names the argument."""
    with pytest.raises(TypeError, match="app='proj' is not a Celery app"), run_eager("proj"):
        pass


def test_tasks_of_a_fresh_app_stay_its_own():
    """A task defined in one test is not in the app of the next."""
    with FreshApp("one", set_as_current=False) as one:

        @one.task(name="only.here")
        def here():
            return None

        one.finalize()
    with Celery("two", set_as_current=False) as two:
        assert "only.here" not in two.tasks


def test_custom_call_that_calls_super_runs_once(app):
    """A worker protects such classes from pushing a second request (`trace.py`)."""
    from celery import Task

    class Loud(Task):
        abstract = True

        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    @app.task(base=Loud, bind=True)
    def me(self):
        return self.request.id is not None

    with simulate(app) as flow:
        assert flow.run(me.s()).value is True


def test_settings_under_a_prefix_are_laid_over():
    """As a Django project has them; up to Celery 5.6, `conf.update` alone does not outrank them."""
    ours = SimpleNamespace(
        CELERY_BROKER_URL="redis://localhost:1", CELERY_RESULT_BACKEND="rpc://",
        CELERY_TASK_ALWAYS_EAGER=True, CELERY_TASK_TIME_LIMIT=60,
    )  # fmt: skip
    with Celery("prefixed", set_as_current=False) as app:
        app.config_from_object(ours, namespace="CELERY")
        with simulate(app, config={"task_time_limit": 5}):
            assert app.conf.broker_url.startswith("celeryflow")
            assert (app.conf.task_always_eager, app.conf.task_time_limit) == (False, 5)
        assert (app.conf.broker_url, app.conf.task_time_limit) == ("redis://localhost:1", 60)
        assert app.conf.task_always_eager is True


def test_the_broker_of_an_app_whose_settings_nobody_has_read():
    """What was given to `Celery(broker=…)` decides, used before or not."""
    with FreshApp("unread", broker="redis://localhost:1/0", set_as_current=False) as app:

        @app.task(name="unread.late")
        def late():
            return 1

        with simulate(app, backend="memory") as flow:
            run = flow.run(late.s().set(countdown=7200))
            assert len(run[late]) == 2  # the visibility timeout of Redis
