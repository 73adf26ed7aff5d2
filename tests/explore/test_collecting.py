"""The garbage collector during an exploration."""

import gc

import pytest

from pytest_celeryflow import explore
from pytest_celeryflow.explore.collecting import collecting_between


@pytest.fixture
def collections():
    """The generation of each collection, as it begins."""
    begun = []

    def note(phase, info):
        if phase == "start":
            begun.append(info["generation"])

    gc.callbacks.append(note)
    yield begun
    gc.callbacks.remove(note)


def test_no_collection_within_a_schedule(shop, collections):
    """It could run finalizers anywhere, and costs most of all."""
    within = []

    def body(flow):
        before = len(collections)
        shop.fine(flow)
        within.append(len(collections) - before)

    explore(body, app=shop.app, faults=(), runs=20)
    assert within == [0] * 20


def test_garbage_is_collected_between_schedules(collections):
    """Or a long exploration would use up the memory."""
    with collecting_between() as collect:
        collections.clear()  # of those before, as the session's own pace had it
        collect()
        assert not collections
        kept = [[] for _ in range(150_000)]
        collect()
        assert collections == [2]
    del kept


def test_the_collector_is_left_as_it_was():
    """Thresholds, and what a session has frozen."""
    before = gc.get_threshold(), gc.get_freeze_count()
    with collecting_between():
        assert gc.get_freeze_count() > 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_a_collector_that_is_switched_off_stays_so(collections):
    """Whoever did it had a reason."""
    gc.disable()
    collections.clear()
    try:
        with collecting_between() as collect:
            kept = [[] for _ in range(150_000)]
            collect()
            assert not collections
            assert not gc.isenabled()
    finally:
        gc.enable()
    del kept
