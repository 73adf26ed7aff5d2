"""Rules about what arguments are: what a message can carry, and what it should.

Relies on `kombu.serialization`; the serializer is the one that Celery would use
(`celery/app/amqp.py:AMQP._create_task_sender`): the option, the task's, the setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kombu.exceptions import EncodeError, SerializerNotInstalled
from kombu.serialization import dumps

from pytest_celeryflow.lint._canvas import Canvas, Place
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import canvas_rule

__all__ = [
    "HUGE",
    "huge_arguments",
    "keys_become_text",
    "model_instance",
    "serializer_refuses",
]

#: Bytes of one task's arguments, as they are sent, from which on they are called huge.
HUGE = 64 * 1024


@canvas_rule("CF107", "serializer-refuses")
def serializer_refuses(canvas: Canvas) -> Iterator[Trouble]:
    """An argument is something that the serializer refuses.

    Sees: an argument, or an item of a map, that the task's serializer cannot encode. Instances of
    models have a rule of their own.

    Why: publishing raises EncodeError, also if the argument is that of a later step, which
    travels in the first message; for a canvas that a task publishes, that is in the worker.

    Celery: `kombu/serialization.py:dumps`; JSON takes what `kombu/utils/json.py:JSONEncoder` does:
    also dates, UUIDs, decimals and bytes, but no sets.

    Repair: send plain data, or an id by which the task finds the object.

    Bad:
        group(fetch.s(url) for url in [{"a", "b"}])

    Good:
        group(fetch.s(url) for url in ["a", "b"])
    """
    for place, where, value in _arguments(canvas):
        if _holds_model(value) or _dumps_itself(canvas, place):
            continue
        serializer = _serializer(canvas, place)
        try:
            dumps(value, serializer)
        except EncodeError as error:
            yield Trouble(
                f"{place.path}{where}",
                f"{serializer} refuses it: {error}",
                "send plain data, or an id",
                task=place.shape.name,
            )
        except SerializerNotInstalled:
            continue


@canvas_rule("CF108", "keys-become-text")
def keys_become_text(canvas: Canvas) -> Iterator[Trouble]:
    """A dict with keys that are not text is sent as JSON.

    Sees: an argument that holds a dict with keys such as numbers, and that is sent as JSON.

    Why: no error tells. The task is given `{"1": …}` for `{1: …}`, and its look-ups fail; called as
    a function, it has never shown that.

    Celery: `kombu/utils/json.py:dumps` is Python's `json.dumps`, which writes such keys as text.

    Repair: send a list of pairs, or turn the keys back in the task.

    Bad:
        fetch.s({1: "a", 2: "b"})

    Good:
        fetch.s([(1, "a"), (2, "b")])
    """
    for place, where, value in _arguments(canvas):
        key = _key_that_is_no_text(value)
        if key is not None and _serializer(canvas, place) == "json":
            yield Trouble(
                f"{place.path}{where}",
                f"JSON makes text of keys: the task is given {str(key[0])!r} for {key[0]!r}",
                "send a list of pairs",
                task=place.shape.name,
            )


@canvas_rule("CF109", "huge-arguments")
def huge_arguments(canvas: Canvas) -> Iterator[Trouble]:
    """The arguments of one task take more than 64 KiB.

    Sees: a task whose arguments, or a map whose items, need more than 64 KiB as they are sent.

    Why: the broker keeps them in memory for as long as the task waits, and moves them several
    times: the arguments of all later steps travel in the message of the first, and those of a
    chord's body in that of each task of its header. Amazon SQS has a limit for a message.

    Celery: `canvas.py:_chain.run` puts the rest of a chain into the message of its first task
    (`chain`), and `_chord.run` the body into every message of the header (`chord`).

    Repair: put the data into a file, a database or a cache, and send where it is.

    Bad:
        fetch.s("x" * 100_000)

    Good:
        fetch.s("/uploads/x")
    """
    for place in canvas.places:
        values = [value for each, _, value in _arguments_of(place) if each is place]
        if not values:
            continue
        try:
            size = len(dumps(values, _serializer(canvas, place))[2])
        except (EncodeError, SerializerNotInstalled):
            continue
        if size > HUGE:
            yield Trouble(
                place.path,
                f"the arguments of {place.short_name} take {size // 1024} KiB in the message",
                "store the data and send where it is",
                task=place.shape.name,
            )


@canvas_rule("CF110", "model-instance")
def model_instance(canvas: Canvas) -> Iterator[Trouble]:
    """An argument is an instance of a model.

    Sees: an instance of a Django model or of a mapped class of SQLAlchemy among the arguments. They
    are recognised by their attributes; neither is imported.

    Why: JSON refuses it. A serializer that takes it, such as pickle, sends the row as it was
    when the task was published: the task works on old data, and saving it undoes what
    was changed meanwhile.

    Celery: `kombu/serialization.py:dumps` encodes when the message is published; nothing reads the
    row again before the task runs.

    Repair: send the primary key, and load the row in the task. Publish after the transaction that
    writes the row has been committed.

    Bad:
        class Order:  # a mapped class of SQLAlchemy
            _sa_instance_state = object()
            id = 1

        fetch.s(Order())

    Good:
        class Order:  # a mapped class of SQLAlchemy
            _sa_instance_state = object()
            id = 1

        fetch.s(Order().id)
    """
    for place, where, value in _arguments(canvas):
        if _holds_model(value):
            yield Trouble(
                f"{place.path}{where}",
                f"{type(value).__name__} is, or holds, an instance of a model",
                "send its primary key, and load it in the task",
                task=place.shape.name,
            )


def _arguments(canvas: Canvas) -> Iterator[tuple[Place, str, Any]]:
    """Every argument of every task, with its place and the path from there."""
    for place in canvas.places:
        yield from _arguments_of(place)


def _arguments_of(place: Place) -> Iterator[tuple[Place, str, Any]]:
    for index, value in enumerate(place.shape.args):
        yield place, f".args[{index}]", value
    for key, value in place.shape.kwargs.items():
        yield place, f".kwargs[{key!r}]", value
    for index, value in enumerate(place.shape.items):
        yield place, f".items[{index}]", value


def _serializer(canvas: Canvas, place: Place) -> str:
    task = canvas.app.task(place.shape.name) if place.is_task else None
    return str(
        place.shape.options.get("serializer")
        or getattr(task, "serializer", None)
        or canvas.app.conf.task_serializer
    )


def _dumps_itself(canvas: Canvas, place: Place) -> bool:
    """Whether Celery turns the models of pydantic among its arguments into data (5.7)."""
    task = canvas.app.task(place.shape.name) if place.is_task else None
    return getattr(task, "_dump_pydantic_arguments", None) is not None


def _holds_model(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_model, value))
    if isinstance(value, Mapping):
        return any(map(_holds_model, value.values()))
    if isinstance(value, type) or value is None or isinstance(value, str | int | float):
        return False
    is_django = hasattr(getattr(type(value), "_meta", None), "concrete_fields")
    return is_django or hasattr(value, "_sa_instance_state")


def _key_that_is_no_text(value: Any) -> tuple[Any] | None:
    """The first key that JSON writes as text without saying so, in a tuple of its own."""
    if isinstance(value, list | tuple):
        inside = iter(value)
    elif isinstance(value, Mapping):
        for key in value:
            if key is None or isinstance(key, bool | int | float):
                return (key,)
        inside = iter(value.values())
    else:
        return None
    return next((found for found in map(_key_that_is_no_text, inside) if found), None)
