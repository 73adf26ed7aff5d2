"""Listen to what is published, wherever in the program it is: each canvas once, as a whole.

`apply_async` of a canvas publishes its parts by their own `apply_async`; only the outermost call
tells. Not told is what Celery publishes to go on with a canvas that was told already: the next
step of a chain, callbacks, the body of a chord, a retry. A canvas that `Task.replace` or
`add_to_chord` puts in the place of a task is told.

Relies on `celery/app/task.py:Task` and the classes of `celery/canvas.py`, 5.4 to 5.7. Not seen:
`app.send_task`, which is given a name and no canvas.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from celery import canvas
from celery.app.task import Task

__all__ = ["listened_to"]

#: Whether the call is within another; tasks of a simulation have each a context of their own.
_within: ContextVar[bool] = ContextVar("celeryflow_publishing", default=False)

#: Where the ways to `apply_async` are, which are no callers of their own.
_WAYS = ("celery.app.task", "celery.canvas", "celery.local", __name__)
_SHORT = ("__call__", "apply_async", "delay", "wrapper")
#: Who goes on with what was published before.
_GOES_ON = ("celery.", "django_celery_results.", "pytest_celeryflow.results")
_ANEW = ("on_replace", "add_to_chord")


@contextmanager
def listened_to(listener: Callable[[Any, Any], None]) -> Iterator[None]:
    """Call a listener with each canvas that is published, and its app, before it is.

    Args:
        listener: Given a signature, with the arguments that it is published with.
    """
    owners = [Task, *(each for each in vars(canvas).values() if _publishes(each))]
    with ExitStack() as stack:
        for owner in owners:
            original = vars(owner)["apply_async"]
            stack.callback(setattr, owner, "apply_async", original)
            owner.apply_async = _telling(original, listener)
        yield


def _publishes(value: Any) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, canvas.Signature)
        and "apply_async" in vars(value)
    )


def _telling(apply_async: Callable[..., Any], listener: Callable[[Any, Any], None]) -> Any:
    @functools.wraps(apply_async)
    def wrapper(self: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        if _within.get() or not _begins(sys._getframe(1)):
            return apply_async(self, args, kwargs, *more, **options)
        told = _told(self, args, kwargs, options)
        if told is not None:
            listener(told, self.app)
        token = _within.set(True)
        try:
            return apply_async(self, args, kwargs, *more, **options)
        finally:
            _within.reset(token)

    return wrapper


def _begins(frame: Any) -> bool:
    """Whether whoever calls publishes something of its own."""
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if not (module in _WAYS and name in _SHORT):
            return name in _ANEW or not module.startswith(_GOES_ON) or module == "celery.beat"
        frame = frame.f_back
    return True


def _told(published: Any, args: Any, kwargs: Any, options: Any) -> Any:
    """The canvas as it is published; ``None`` if its arguments are none."""
    if not isinstance(published, canvas.Signature):
        try:
            args, kwargs = tuple(args or ()), dict(kwargs or {})
        except (TypeError, ValueError):
            return None  # Celery says what is wrong
        # What `apply_async` takes besides options that are sent.
        left = {k: v for k, v in options.items() if k not in ("producer", "shadow", "connection")}
        return published.signature(args, kwargs, **left)
    plain = type(published) is canvas.Signature
    return published.clone(args, kwargs) if plain and (args or kwargs) else published
