"""Where Celery and kombu bound a function before the clock could replace it.

freezegun replaces names in modules; a default argument keeps the real function. These are
the ones that the simulation depends on, on kombu 5.3 to 5.7 and Celery 5.4 to 5.7:

* ``kombu.asynchronous.timer.to_timestamp(time=monotonic)``: an ETA would be converted to the
  machine's real monotonic time. Older kombu used wall time (``time=_time``) there.
* ``kombu.utils.uuid.uuid(_uuid=uuid4)``: every id that Celery makes.
* ``celery.app.trace.build_tracer(monotonic=time.monotonic)``: the runtime of a task.

And `kombu.common.get_node_id` draws its identifier when it is first asked and keeps it for
the life of the process; it is asked here, so that none of a seed's identifiers is spent on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from billiard import einfo
from celery.app import trace
from kombu.asynchronous import timer
from kombu.common import get_node_id
from kombu.utils.uuid import uuid

from pytest_celeryflow.replacing import real_functions

__all__ = ["code_copied_once", "default_arguments"]

_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    timer.to_timestamp,
    uuid,
    trace.build_tracer,
)

get_node_id()


@contextmanager
def default_arguments(uuid4: Callable[[], Any]) -> Iterator[None]:
    """Give these functions the virtual clock and seeded identifiers as defaults."""
    real = real_functions()
    stand_ins = {id(real["monotonic"]): time.monotonic, id(real["uuid4"]): uuid4}
    kept = [(function, function.__defaults__ or ()) for function in _FUNCTIONS]
    for function, defaults in kept:
        function.__defaults__ = tuple(stand_ins.get(id(d), d) for d in defaults)
    try:
        yield
    finally:
        for function, defaults in kept:
            function.__defaults__ = defaults


@contextmanager
def code_copied_once() -> Iterator[None]:
    """Let an `ExceptionInfo` share its copies of code objects with the next one.

    Celery makes one for every retry and every failure, and each copies the code of all
    frames with the positions of all instructions (`billiard/einfo.py`, 4.2): thousands of
    tuples, a third of the time of a retry. The copies are never changed.
    """
    frame = getattr(einfo, "_Frame", None)
    if frame is None:  # another billiard: merely slower
        yield
        return
    copy = frame.Code
    copies: dict[int, tuple[Any, Any]] = {}

    def copied(code: Any) -> Any:
        known = copies.get(id(code))
        if known is None:
            known = copies[id(code)] = (code, copy(code))  # the code lives as long as its id
        return known[1]

    frame.Code = staticmethod(copied)
    try:
        yield
    finally:
        frame.Code = copy
