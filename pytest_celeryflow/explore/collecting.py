"""When the garbage collector runs during an exploration: between schedules.

Each schedule leaves behind a world of cycles: greenlets, a worker, requests that know their
consumer. By itself CPython would look for them dozens of times a schedule, and each time it
may look through all that Celery and the test session have loaded: a quarter of the whole cost.
And where a collection happens to strike, finalizers and weak references act in the
middle of a schedule, in places that differ from process to process.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["collecting_between"]

#: Objects made and not freed since the last collection: after a schedule that leaves more, the
#: collector runs. Fewer at a time are still in the processor's cache.
_SOME = 10_000

#: Within one schedule it runs all the same when there are so many, so that memory is bounded.
_MANY = 2_000_000


@contextmanager
def collecting_between() -> Iterator[Callable[[], None]]:
    """Collect garbage between schedules only; yields what to call there.

    The collector is left as it was found, and nothing is done where it is switched off.
    """
    if not gc.isenabled():
        yield _nothing
        return
    kept = gc.get_threshold()
    mine = not gc.get_freeze_count()
    if mine:  # what is there by now stays: it need not be looked through
        gc.freeze()
    gc.set_threshold(_MANY, *kept[1:])
    try:
        yield _collect_if_worth_it
    finally:
        gc.set_threshold(*kept)
        if mine:
            gc.unfreeze()


def _collect_if_worth_it() -> None:
    if gc.get_count()[0] > _SOME:
        gc.collect()


def _nothing() -> None:
    """The collector is switched off, and stays so."""
