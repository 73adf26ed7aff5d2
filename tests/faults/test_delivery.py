"""Messages that come twice, again, late or never, and messages that no worker can use."""

import json

import pytest
from celery.exceptions import NotRegistered

from pytest_celeryflow import run_worker, simulate

BOTH = pytest.mark.parametrize("mode", [run_worker, simulate])


@BOTH
def test_a_duplicate_has_the_same_id_and_no_flag(shop, mode):
    """Two messages, two executions, one task."""
    with mode(shop.app) as flow:
        flow.faults.duplicate(shop.charge)
        run = flow.run(shop.charge.s(1))
        flow.drain()
        both = [e for e in flow.history.executions() if e.id == run.executions[0].id]
    assert [e.redelivered for e in both] == [False, False]
    assert len({e.id for e in both}) == 1
    assert shop.ran == ["charge", "charge"]


def test_a_duplicate_is_in_the_verdict(shop):
    """In the simulation a workflow is at rest when both are done."""
    with simulate(shop.app) as flow:
        flow.faults.duplicate(shop.charge)
        run = flow.run(shop.charge.s(1))
    assert run.verdict.duplicated == ("charge#1",)
    assert run.value == 1


@BOTH
def test_a_dropped_message_leaves_no_trace_at_the_publisher(shop, mode):
    """The call succeeds, and the task never runs."""
    with mode(shop.app) as flow:
        flow.faults.drop(shop.charge)
        run = flow.run(shop.charge.s(1))
    assert run.state == "PENDING"
    assert run.verdict.lost == ("charge#1",)
    assert "charge#1 will never come: it was dropped on its way" in run.verdict.hung


@BOTH
def test_a_lost_acknowledgement_brings_the_message_back(shop, mode):
    """With the flag, and after the work of a task that acknowledges late."""
    with mode(shop.app) as flow:
        flow.faults.redeliver(shop.late)
        run = flow.run(shop.late.s(1))
        flow.drain()
        done = [e for e in flow.history.executions() if e.id == run.executions[0].id]
    assert [e.redelivered for e in done] == [False, True]
    assert shop.ran == ["late", "late"]


def test_a_redelivered_task_that_succeeded_is_not_run_again(shop):
    """`worker_deduplicate_successful_tasks`: the second delivery finds the stored result."""
    with simulate(shop.app, config={"worker_deduplicate_successful_tasks": True}) as flow:
        flow.faults.redeliver(shop.late)
        run = flow.run(shop.late.s(1))
    assert shop.ran == ["late"]
    assert run.verdict.ok


def test_an_eta_beyond_the_visibility_timeout_runs_twice_on_redis(shop):
    """The worker holds it unacknowledged until its ETA; Redis takes that for a loss."""
    options = {"broker_transport_options": {"visibility_timeout": 600}}
    with simulate(shop.app, broker="redis", config=options) as flow:
        run = flow.run(shop.charge.s(1).set(countdown=900))
    assert len(shop.ran) > 1
    assert run.verdict.duplicated == ("charge#1",)


def test_the_nth_message(shop):
    """A retry is a message too."""
    with simulate(shop.app) as flow:
        flow.faults.fail(shop.fetch, ConnectionError("down"), times=None, optional=True)
        flow.faults.drop(shop.charge, nth=2)
        results = [shop.charge.delay(n) for n in range(3)]
        flow.drain()
    assert [r.id for r in results if r.state == "PENDING"] == [results[1].id]


def test_a_task_that_no_worker_knows(shop):
    """The worker stores NotRegistered for whoever waits."""
    with simulate(shop.app) as flow:
        run = flow.run(shop.app.signature("shop.nowhere", args=(1,)))
        assert isinstance(run.error, NotRegistered)
        assert flow.run(shop.charge.s(1)).value == 1


@pytest.mark.parametrize(
    "body", [json.dumps([1, 2]), json.dumps("text"), "{broken"], ids=["list", "text", "broken"]
)
def test_a_message_that_is_no_task(shop, body):
    """Wrong protocol or no JSON at all: the worker throws it away and goes on."""
    with simulate(shop.app) as flow:
        with shop.app.producer_or_acquire() as producer:
            producer.publish(
                body,
                routing_key="celery",
                content_type="application/json",
                content_encoding="utf-8",
            )
        flow.drain()
        assert flow.run(shop.charge.s(1)).value == 1
        assert not flow.pending()
