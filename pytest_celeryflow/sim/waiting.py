"""Notices who waits for a result, so that a wait that can never end is an error at once.

Celery's backends wait in different ways: some sleep and look again, some drain events. All
of them pass through ``wait_for_pending`` or ``iter_native`` (`celery/result.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pytest_celeryflow.injection.outages import laid_around
from pytest_celeryflow.recorder import Recorder
from pytest_celeryflow.sim.world import World

__all__ = ["watch_waits"]


@contextmanager
def watch_waits(
    backend: Any, world: World, recorder: Recorder, explain: Callable[..., str]
) -> Iterator[None]:
    """Mark every wait for a result through this backend."""
    wait_for_pending, iter_native = backend.wait_for_pending, backend.iter_native

    @contextmanager
    def waiting(result: Any, timeout: float | None) -> Iterator[None]:
        fiber = world.fiber
        if timeout is not None:
            # Time does pass until then, whatever the backend's way to look at the clock.
            world.call_after(timeout, _nothing, name="result timeout")
        if fiber is not None:
            fiber.polls += 1
            fiber.fresh = True
            try:
                with recorder.awaiting(result.id):
                    yield
            finally:
                fiber.polls -= 1
            return
        outer, patient = world.hopeless, world.patient
        world.hopeless = lambda: explain(result=result.id) if timeout is None else None
        world.waits += 1
        world.patient = timeout is None
        try:
            yield
        finally:
            world.waits -= 1
            world.hopeless, world.patient = outer, patient

    def marked_wait(result: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with waiting(result, kwargs.get("timeout")):
            return wait_for_pending(result, *args, **kwargs)

    def marked_iter(result: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        timeout = kwargs.get("timeout", args[0] if args else None)
        inner = iter_native(result, *args, **kwargs)
        while True:
            with waiting(result, timeout):
                try:
                    item = next(inner)
                except StopIteration:
                    return
            yield item

    def connecting(call: Any, *args: Any, **kwargs: Any) -> Any:
        """Each attempt to connect again counts, where a look for a result that is not there does not."""
        outer, world.patient = world.patient, False
        try:
            return call(*args, **kwargs)
        finally:
            world.patient = outer

    consumer = getattr(backend, "result_consumer", None)
    with ExitStack() as stack:
        if hasattr(consumer, "_ensure"):  # Redis's
            stack.enter_context(laid_around(consumer, "_ensure", connecting))
        backend.wait_for_pending, backend.iter_native = marked_wait, marked_iter
        try:
            yield
        finally:
            del backend.wait_for_pending, backend.iter_native


def _nothing() -> None:
    """A moment that only has to come."""
