"""`as_sent`: what Celery really publishes for a canvas, found by Celery's own code.

The canvas is copied onto a recording app, whose `send_task` notes the message instead of
publishing it, and applied. Then each message is followed the way a worker goes on after a
task succeeded (`celery.app.trace`): the last entry of its `chain` is applied with the rest;
when as many messages of a chord are done as Celery told the backend (`set_chord_size`), its
body is applied. What was recorded is put together by `_assemble.py`. So every rewriting of a
canvas (groups made chords, chains flattened, options passed on) is that of the Celery that
is installed.

Relies on: `celery.canvas.Signature.from_dict` and `apply_async`; `Celery.send_task`,
`backend`, `conf`, `tasks`, `producer_or_acquire`, `current_worker_task`;
`Backend.apply_chord`, `set_chord_size`, `ensure_chords_allowed`; the thread's current app.
Celery 5.4 to 5.7.

Not modelled: what a task's class, `task_routes` and an `apply_async` of the user's own add or
do when the task is sent; links and errbacks are shown as written, not as sent; a task that
replaces itself. Tasks are taken to succeed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

from celery import Celery, _state
from celery.app.utils import Settings
from celery.backends.base import BaseBackend
from celery.canvas import Signature, chunks, signature, xmap, xstarmap
from kombu.utils.uuid import uuid

from pytest_celeryflow.shape._assemble import Sent, assemble
from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._read import IMMUTABLE, is_id, read

__all__ = ["sent", "sent_messages"]

#: No workflow that a person writes sends more; one that does is endless.
_MOST_MESSAGES = 200_000


def sent(canvas: Any) -> Shape:
    """Return the shape of what Celery publishes for a canvas; see `shape`."""
    return assemble(sent_messages(canvas))


def sent_messages(canvas: Any) -> list[Sent]:
    """Return the messages that Celery publishes for a canvas, if every task succeeds.

    Raises:
        TypeError: `canvas` is not a signature.
        ValueError: Celery refuses to publish it; the message says why.
    """
    if isinstance(canvas, Shape):
        raise TypeError("as_sent needs the canvas itself; a Shape is only its description")
    read(canvas)
    app = canvas.app if isinstance(canvas, Signature) else _state.get_current_app()
    recorder = _Recorder(app.conf)
    with recorder.current():
        try:
            root = _copy(canvas)
            if not isinstance(root, Signature):
                root = Signature.from_dict(root, app=recorder)
            recorder.publish(root.apply_async)
            recorder.follow()
        except Exception as error:
            raise ValueError(
                f"Celery cannot publish this canvas: {type(error).__name__}: {error}"
            ) from error
    return recorder.messages


class _NoStore(BaseBackend):
    """A result store that notes how large Celery says a chord is, and nothing else."""

    def ensure_chords_allowed(self) -> None:
        pass

    def apply_chord(self, *args: Any, **kwargs: Any) -> None:
        pass

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        self.app.sizes[group_id] = chord_size


class _Recorder(Celery):
    """An app that notes what it is told to send."""

    def __init__(self, conf: Settings) -> None:
        super().__init__("celeryflow", set_as_current=False, fixups=[])
        self.conf = Settings({"task_always_eager": False}, [conf])
        self.store = _NoStore(app=self)
        self.messages: list[Sent] = []
        self.sizes: dict[str, int] = {}
        self._waiting: deque[tuple[str, Mapping[str, Any]]] = deque()
        self._cause: dict[str, str] = {}

    # -- what Celery asks of an app -------------------------------------------------------

    @property
    def backend(self) -> BaseBackend:
        return self.store

    @property
    def current_worker_task(self) -> None:
        """None, or a group would add its result to the task that is asking."""
        return None

    @property
    def tasks(self) -> dict[str, Any]:
        """Only what `map` and `starmap` look up; any other task is sent by its name."""
        return {
            name: SimpleNamespace(
                apply_async=partial(self.send_task, name), AsyncResult=self.AsyncResult
            )
            for name in ("celery.map", "celery.starmap")
        }

    def producer_or_acquire(self, producer: Any = None) -> Any:
        return nullcontext(producer)

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        options = dict(options)
        message = {"task": name, "args": args, "kwargs": kwargs, "options": options}
        task_id = options.get("task_id") or uuid()
        self.messages.append(
            Sent(
                id=task_id,
                shape=read({**message, "immutable": options.get(IMMUTABLE)}),
                group=options.get("group_id"),
                counts=bool(options.get("chord")),
                **self._cause,
            )
        )
        if len(self.messages) > _MOST_MESSAGES:
            raise ValueError(f"more than {_MOST_MESSAGES} messages")
        self._waiting.append((task_id, options))
        return self.AsyncResult(task_id)

    # -- following ------------------------------------------------------------------------

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make this the thread's app, so that a signature without one cannot reach another."""
        before = getattr(_state._tls, "current_app", None)
        _state._tls.current_app = self
        try:
            yield
        finally:
            _state._tls.current_app = before

    def publish(self, apply_async: Callable[..., Any], options: Any = None, **cause: str) -> None:
        """Apply a signature and note why its messages were sent."""
        self._cause = cause
        apply_async((), {}, **(options or {}))

    def follow(self) -> None:
        """Go on after each message as a worker does when the task succeeded."""
        done: Counter[str] = Counter()
        while self._waiting:
            task_id, options = self._waiting.popleft()
            if chain := options.get("chain"):
                step = signature(chain[-1], app=self)
                self.publish(step.apply_async, {"chain": chain[:-1]}, after=task_id)
            if (body := options.get("chord")) and (group := options.get("group_id")):
                done[group] += 1
                if done[group] == self.sizes.get(group):
                    self.publish(signature(body, app=self).apply_async, body_of=group)


def _copy(canvas: Any) -> Any:
    """Copy a canvas as plain dicts, free of its app and of the ids of an earlier freeze."""
    if not (isinstance(canvas, Mapping) and "task" in canvas):
        return canvas
    options = {key: each for key, each in (canvas.get("options") or {}).items() if not is_id(key)}
    kwargs = dict(canvas.get("kwargs") or {})
    kind = canvas.get("subtask_type")
    if kind in ("chain", "group"):
        kwargs["tasks"] = _copies(kwargs["tasks"])
    elif kind == "chord":
        kwargs["header"] = _copies(kwargs["header"])
        kwargs["body"] = _copy(kwargs.get("body"))
    elif isinstance(canvas, xmap | xstarmap | chunks):
        # They have no subtask_type; a dict of one, or a clone, is a plain task for Celery.
        kwargs["it"] = list(kwargs["it"])
        kwargs["task"] = _copy(kwargs["task"])
        return type(canvas)(**kwargs, **options)
    elif canvas.get("immutable"):
        options[IMMUTABLE] = True
    return {
        "task": canvas["task"],
        "args": tuple(canvas.get("args") or ()),
        "kwargs": kwargs,
        "options": options,
        "subtask_type": kind,
        "immutable": bool(canvas.get("immutable")),
    }


def _copies(tasks: Any) -> list[Any]:
    if isinstance(tasks, Mapping):
        tasks = tasks["kwargs"]["tasks"] if tasks.get("subtask_type") == "group" else [tasks]
    return [_copy(each) for each in tasks]
