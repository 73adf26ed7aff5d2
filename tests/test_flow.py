"""The handle that a test holds: doing, asking, asserting."""

import pytest
from celery import chain, chord, group
from celery.result import AsyncResult
from kombu.exceptions import EncodeError

from pytest_celeryflow import (
    CeleryflowAssertionError,
    CeleryflowError,
    WorkflowStalled,
    run_eager,
    run_worker,
    simulate,
)

EVERY = pytest.mark.parametrize("context", [run_eager, run_worker, simulate])
PUBLISHING = pytest.mark.parametrize("context", [run_worker, simulate])


@pytest.fixture
def fail(app):
    """A task that fails."""

    @app.task(name="shop.fail")
    def fail(*_):
        raise ValueError("no stock")

    return fail


@EVERY
def test_run_tells_the_value(app, add, context):
    """The same workflow, the same value, in every mode."""
    with context(app) as flow:
        run = flow.run(chain(add.s(1, 2), add.s(3)))
    assert (run.value, run.state, run.error) == (6, "SUCCESS", None)
    assert len(run.executions) == 2


@EVERY
def test_run_of_a_task_takes_its_arguments(app, add, context):
    """A task may be given with its arguments."""
    with context(app) as flow:
        assert flow.run(add, 1, y=2).value == 3


@EVERY
def test_errback_that_is_called_in_place(app, fail, context):
    """Celery publishes nothing for it and sends no signal; it is in the history all the same."""
    seen = []

    @app.task(name="shop.alert")
    def alert(request, exc, traceback):
        seen.append((request.id, str(exc)))
        return "told"

    with context(app) as flow:
        run = flow.run(fail.s().on_error(alert.s()))
        flow.assert_ran(alert, times=1, state="SUCCESS")
    assert seen == [(run.result.id, "no stock")]
    assert run[alert].results == ("told",)
    assert "<request of fail#1>, ValueError('no stock'), <traceback>" in run.timeline()


@EVERY
def test_errback_that_is_published(app, fail, context):
    """One that takes the id alone is a task like any other."""

    @app.task(name="shop.alert")
    def alert(failed):
        return failed

    with context(app) as flow:
        run = flow.run(fail.s().on_error(alert.s()))
    assert run[alert].results == (run.result.id,)


@EVERY
def test_message_protocol_1(app, add, context):
    """Its messages have the task's name and id in the body; the books are right all the same."""
    with context(app, config={"task_protocol": 1}) as flow:
        assert flow.run(add.s(1, 2)).value == 3
        assert flow.drain() == 0
        assert not flow.pending()


@EVERY
def test_run_of_a_canvas_that_came_through_json(app, add, context):
    """As a dict."""
    import json

    with context(app) as flow:
        assert flow.run(json.loads(json.dumps(chain(add.s(1, 2), add.s(3))))).value == 6


@EVERY
def test_value_raises_what_the_workflow_raised(app, add, fail, context):
    """`run` itself does not."""
    with context(app) as flow:
        run = flow.run(chain(add.s(1, 2), fail.s(), add.s(1)))
        assert run.state in ("FAILURE", "PENDING")
        with pytest.raises(ValueError, match="no stock"):
            run.value  # noqa: B018 - reading it raises
        assert run.untouched(fail) is False
        assert len(run[add]) == 1


@EVERY
def test_value_of_a_group_is_a_list(app, add, context):
    """In the order of the group."""
    with context(app) as flow:
        assert flow.run(group(add.s(i, i) for i in range(3))).value == [0, 2, 4]


@PUBLISHING
def test_results_that_are_ignored(app, add, context):
    """The workflow has finished, and there is nothing to wait for."""

    @app.task(name="shop.log", ignore_result=True)
    def log(*_):
        return "nobody keeps this"

    with context(app) as flow:
        for canvas in (log.s(), chain(add.s(1, 2), log.s())):
            run = flow.run(canvas)
            assert run.value is None
            assert run.verdict.ok
        assert flow.run(group(log.s(), add.s(1, 2))).value == [None, 3]


@EVERY
def test_what_is_no_canvas_is_refused(app, context):
    """With a word on what is one."""
    with context(app) as flow, pytest.raises(ValueError, match="canvas=3 cannot be published"):
        flow.run(3)


@EVERY
def test_a_chain_of_nothing_is_refused(app, context):
    """Celery publishes nothing for it, and returns no result."""
    with context(app) as flow, pytest.raises(ValueError, match="has no task: there is nothing to"):
        flow.run(chain(app=app))


@EVERY
def test_what_the_serializer_refuses_is_named(app, add, context):
    """Whose argument it is, wherever it is in the canvas."""
    odd = object()
    with context(app) as flow:
        for publish, said in (
            (lambda: flow.run(add, 1, y=odd), "kwargs['y']"),
            (lambda: flow.run(add.s(1, odd)), "args[1]"),
            (lambda: flow.perform(add, odd, 1), "args[0]"),
        ):
            with pytest.raises(EncodeError) as refused:
                publish()
            assert refused.value.__notes__ == [
                f"the serializer 'json' refuses {said}={odd!r} of shop.add"
            ]


@PUBLISHING
def test_what_the_serializer_refuses_is_found_in_a_canvas(app, add, context):
    """Wherever it is, callbacks included."""
    odd = object()
    for canvas, said in (
        (group(add.s(1, 2), add.s(3, y=odd)), "kwargs['y']"),
        (chain(add.s(1, 2), add.s(odd)), "args[0]"),
        (add.s(1, 2).on_error(add.s(1, odd)), "args[1]"),
    ):
        with context(app) as flow, pytest.raises(EncodeError) as refused:
            flow.run(canvas)
        assert refused.value.__notes__[0].startswith(f"the serializer 'json' refuses {said}=<obj")


@EVERY
def test_a_result_that_nothing_will_produce(app, add, context):
    """At once, in words, in every mode."""
    with context(app) as flow:
        assert flow.run(add.s(1, 2)).value == 3
        with pytest.raises(WorkflowStalled, match="nothing will ever produce"):
            AsyncResult("nobody", app=app).get()


@EVERY
def test_perform_runs_one_task(app, add, context):
    """With a worker's request and serialised arguments."""

    @app.task(bind=True, name="shop.look")
    def look(self, pair):
        return [pair, self.request.retries, self.request.called_directly]

    with context(app) as flow:
        execution = flow.perform(look, (1, 2), retries=4)
    assert execution.result == [[1, 2], 4, False]
    assert execution.retries == 4


@EVERY
def test_perform_is_one_attempt(app, context):
    """A task that wants a retry: that attempt, and why; what it publishes waits."""

    @app.task(name="shop.again", bind=True, max_retries=3)
    def again(self):
        raise self.retry(exc=ConnectionError("down"), countdown=60)

    with context(app) as flow:
        told = flow.perform(again, retries=2)
    assert (told.state, told.retries, str(told.error)) == ("RETRY", 2, "down")


@EVERY
def test_perform_tells_of_a_failure(app, fail, context):
    """Nothing is raised."""
    with context(app) as flow:
        execution = flow.perform(fail)
    assert execution.state == "FAILURE"
    assert str(execution.error) == "no stock"


def test_perform_leaves_what_is_published_in_the_queue(app, add):
    """The queue is not worked, not even while the task sleeps."""
    import time

    @app.task
    def outer():
        add.delay(1, 2)
        time.sleep(60)

    with simulate(app) as flow:
        assert flow.perform(outer).state == "SUCCESS"
        assert [m.label for m in flow.pending(add)] == ["add#1"]
        assert flow.drain() == 1


def test_drain_counts_executions(app, add):
    """And stops at a limit, or at a queue's end."""
    with simulate(app) as flow:
        for n in range(4):
            add.delay(n, n)
        add.apply_async((9, 9), queue="other")
        assert flow.drain(limit=2) == 2
        assert flow.drain(queue="other") == 1
        assert flow.drain() == 2
        assert flow.drain() == 0


def test_drain_of_what_cannot_run_raises(app, add):
    """A message that nobody consumes is not passed over in silence."""
    with simulate(app, queues=["celery"]) as flow:
        add.apply_async((1, 2), queue="emails")
        with pytest.raises(WorkflowStalled, match="'emails', which no worker consumes"):
            flow.drain()


def test_pending_tells_where_a_task_waits(app, add):
    """In its queue, or in a worker for its ETA."""
    with simulate(app) as flow:
        add.apply_async((1, 2), countdown=60)
        assert [(m.where, m.eta) for m in flow.pending()] == [("queue", "2026-01-01T00:01:00+00:00")]
        flow.clock.advance(1)
        assert [m.where for m in flow.pending("shop.add")] == ["worker"]


@EVERY
def test_stub_stands_in_for_a_body(app, add, context):
    """Step by step; the last one repeats."""

    @app.task(autoretry_for=(OSError,), default_retry_delay=0, retry_backoff=False)
    def fetch(url):
        raise AssertionError("the real body must not run")

    with context(app) as flow:
        stub = flow.stub(fetch).raises(OSError("down")).then.returns(7)
        assert flow.run(chain(fetch.s("u"), add.s(1))).value == 8
        assert stub.calls == [(("u",), {}), (("u",), {})]


def test_stub_takes_time(app, add):
    """`after` is virtual time."""
    with simulate(app) as flow:
        flow.stub(add).after("5s").returns(1)
        assert flow.run(add.s(1, 2)).elapsed == 5


@pytest.mark.parametrize(
    "tell",
    [
        lambda stub: stub.after("5s").returns(1).then.returns(2),
        lambda stub: stub.returns(1).after("5s").then.returns(2),
        lambda stub: stub.returns(1).after("5s").then.after("0s").returns(2),
    ],
)
def test_stub_takes_time_however_it_is_said(app, add, tell):
    """Before the outcome, or after it and before `then`."""
    with simulate(app) as flow:
        tell(flow.stub(add))
        runs = [flow.run(add.s(1, 2)) for _ in range(2)]
    assert [(run.value, run.elapsed) for run in runs] == [(1, 5), (2, 0)]


def test_stub_takes_time_in_the_end(app, add):
    """Nothing follows: it is the last outcome that takes it."""
    with simulate(app) as flow:
        flow.stub(add).raises(OSError("down")).then.returns(1).after("5s")
        runs = [flow.run(add.s(1, 2)) for _ in range(2)]
    assert [run.elapsed for run in runs] == [0, 5]


def test_stub_that_was_never_called_fails(app, add):
    """At the end of the context."""
    with (
        pytest.raises(CeleryflowAssertionError, match=r"the stub of shop\.add was never called"),
        simulate(app) as flow,
    ):
        flow.stub(add).returns(1)


def test_stub_is_removed(app, add):
    """The task has its own body again."""
    with simulate(app) as flow:
        flow.stub(add).returns("stubbed")
        assert flow.run(add.s(1, 2)).value == "stubbed"
    with simulate(app) as flow:
        assert flow.run(add.s(1, 2)).value == 3


@PUBLISHING
def test_assert_enqueued_matches_what_is_named(app, add, context):
    """Only that."""
    from unittest.mock import ANY

    with context(app) as flow:
        add.apply_async((1,), {"y": 2}, queue="slow", priority=3, headers={"tenant": "a"})
        (event,) = flow.assert_enqueued(add)
        assert event.label == "add#1"
        flow.assert_enqueued("shop.add", args=(1,), kwargs={"y": ANY}, queue="slow", priority=3)
        flow.assert_enqueued("shop.add", headers={"tenant": "a"}, times=1)
        flow.assert_not_enqueued(add, queue="fast")
        flow.drain()


@PUBLISHING
def test_assert_enqueued_knows_the_countdown(app, add, context):
    """Although the message carries an ETA."""
    with context(app) as flow:
        add.apply_async((1, 2), countdown=600)
        flow.assert_enqueued(add, countdown=600)
        with pytest.raises(CeleryflowAssertionError):
            flow.assert_enqueued(add, countdown=60)
        for message in flow.pending():
            app.control.revoke(message.id)
        app.control.purge()


def test_expect_enqueued_looks_at_the_block_alone(app, add):
    """What was published before does not count."""
    with simulate(app) as flow:
        add.delay(1, 2)
        with pytest.raises(CeleryflowAssertionError), flow.expect_enqueued(add):
            pass
        with flow.expect_enqueued(add, args=(3, 4)) as found:
            add.delay(3, 4)
        assert found[0].details["args"] == (3, 4)


def test_unknown_keywords_of_assert_enqueued(app, add):
    """They are named, with the valid ones."""
    with simulate(app) as flow, pytest.raises(ValueError, match="unknown keyword 'arg'; valid are"):
        flow.assert_enqueued(add, arg=1)


def test_eager_cannot_tell_what_was_enqueued(app, add):
    """It publishes nothing, and says so instead of passing."""
    with run_eager(app) as flow, pytest.raises(CeleryflowError, match="publishes nothing"):
        flow.assert_not_enqueued(add)


@EVERY
def test_assert_ran_counts(app, add, fail, context):
    """By state where asked."""
    with context(app) as flow:
        flow.run(group(add.s(1, 1), add.s(2, 2)))
        flow.run(fail.s())
        flow.assert_ran(add, times=2, state="SUCCESS")
        flow.assert_ran(fail, state="FAILURE")
        with pytest.raises(CeleryflowAssertionError, match="add ran twice, and should not have"):
            flow.assert_not_ran(add)


def test_unknown_tasks_are_refused_with_the_nearest(app, add):
    """A misspelt name is not "did not run"."""
    with simulate(app) as flow, pytest.raises(ValueError, match=r"did you mean: .*shop\.add"):
        flow.assert_not_ran("ad")


def test_always_checks_after_every_event(app, add):
    """The first break is told, with what happened before it."""
    balance = [0]

    @app.task
    def overdraw():
        balance[0] = -5

    with simulate(app) as flow:
        flow.always(lambda: balance[0] >= 0, "the balance is never negative")
        with pytest.raises(CeleryflowAssertionError, match="the balance is never negative is no"):
            flow.run(chain(add.si(1, 2), overdraw.si()))


@pytest.mark.parametrize("predicate", [None, True, lambda flow: True])
def test_always_takes_what_can_be_called(app, predicate):
    """Refused at once, not after the first event."""
    with simulate(app) as flow, pytest.raises(ValueError, match="without arguments"):
        flow.always(predicate)


def test_runs_answer_questions(app, add):
    """Order, overlap, attempts, results, by task."""
    import time

    @app.task(name="shop.nap")
    def nap(n):
        time.sleep(n)
        return n

    @app.task(name="shop.total")
    def total(numbers):
        return sum(numbers)

    with simulate(app) as flow:
        run = flow.run(chord([nap.s(5), nap.s(3)], total.s()) | add.s(1))
    assert run.value == 9
    assert run.happened_before(nap, total)
    assert not run.happened_before(total, nap)
    assert run.overlapped(nap, nap)
    assert not run.overlapped(nap, total)
    assert run["shop.nap"].results == (5, 3)
    assert run["nap"].args == ((5,), (3,))
    assert run[total].attempts_at == (5,)
    assert len(run[nap].ids) == 2
    assert run.verdict.ok
    with pytest.raises(ValueError, match="no task 'refund' is registered"):
        run["refund"]


def test_columns_equal_lists(app, add):
    """What is told of all executions compares as a test writes it, with either bracket."""
    with simulate(app) as flow:
        run = flow.run(chain(add.s(1, 2), add.s(3)))
    results = run[add].results
    assert results == [3, 6]
    assert results == (3, 6)
    assert results != [3, 7]
    assert run.verdict.lost == []
    assert {results: "hashable"} == {(3, 6): "hashable"}


def test_timeline_reads_well(app, add):
    """Times once, marks, values, retries and their delay."""

    @app.task(bind=True, name="shop.fetch", max_retries=1)
    def fetch(self, url):
        if not self.request.retries:
            raise self.retry(exc=OSError("down"), countdown=7200)
        return url

    with simulate(app) as flow:
        run = flow.run(chain(fetch.s("u"), add.s("!")))
    assert run.timeline() == (
        "0s  fetch#1  ▸ started with ('u')\n"
        "    fetch#1  ↻ to be retried in 2h: OSError: down\n"
        "2h  fetch#1  ▸ started with ('u'), retry 1\n"
        "    fetch#1  ✓ returned 'u'\n"
        "    add#1    ▸ started with ('u', '!')\n"
        "    add#1    ✓ returned 'u!'"
    )


@pytest.mark.parametrize("context", [run_worker, simulate])
def test_parents_in_a_chain(context, app, add):
    """Each execution knows the one whose end published it, and the first of all."""
    with context(app) as flow:
        first, second = flow.run(add.s(1, 2) | add.s(3)).executions
    assert (first.parent, second.parent) == (None, first.id)
    assert (first.root, second.root) == (first.id, first.id)


def test_parents_in_a_chain_are_not_known_eagerly(app, add):
    """A row of the limitations: each is the first, as far as Celery tells."""
    with run_eager(app) as flow:
        first, second = flow.run(add.s(1, 2) | add.s(3)).executions
    assert (first.parent, second.parent) == (None, None)
    assert second.root != first.id  # its own id; none before Celery 5.6


@pytest.mark.parametrize("context", [simulate, run_worker, run_eager])
@pytest.mark.parametrize(
    "use",
    [
        lambda flow, add: flow.run(add.s(1, 2)),
        lambda flow, add: flow.drain(),
        lambda flow, add: flow.perform(add, 1, 2),
        lambda flow, add: flow.stub(add),
        lambda flow, add: flow.faults.fail(add),
        lambda flow, add: flow.always(lambda: True),
    ],
)
def test_a_closed_flow_is_of_the_past(app, add, context, use):
    """The app is its user's again: nothing goes to their broker, nothing is put around their task."""
    with context(app) as flow:
        run = flow.run(add.s(1, 2))
    with pytest.raises(CeleryflowError, match="needs an open flow, and this one is closed"):
        use(flow, add)
    assert run.value == 3
    flow.assert_ran(add, times=1)


def test_the_clock_of_a_closed_flow_stands_still(app):
    """Nothing would move with it."""
    with simulate(app) as flow:
        flow.clock.advance("1h")
    assert flow.clock.elapsed == 3600
    with pytest.raises(CeleryflowError, match="this clock's simulation has ended"):
        flow.clock.advance(1)
    with pytest.raises(CeleryflowError, match="this clock's simulation has ended"):
        flow.clock.at("1s", print)
