"""Rules about `map`, `starmap` and `chunks`, which run a task many times within another.

Relies on `celery/app/builtins.py` and on the classes of `celery/canvas.py`; the same from
Celery 5.4 to 5.7.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_celeryflow.lint._canvas import Canvas
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import canvas_rule
from pytest_celeryflow.lint._source import retries_itself

__all__ = ["chunks_in_a_workflow", "mapped_call_is_dropped", "mapped_task_never_retries"]


@canvas_rule("CF113", "chunks-in-a-workflow")
def chunks_in_a_workflow(canvas: Canvas) -> Iterator[Trouble]:
    """Chunks stand within a workflow, where nothing waits for them.

    Sees: `task.chunks(…)` anywhere but alone: a step of a chain, a member of a group or chord, a
    callback.

    Why: chunks are a group only when they are published by themselves. Within a workflow they are
    one task, `celery.chunks`, which publishes the group and is done at once; what it returns is
    the group's ids. The next step then runs before the chunks, or fails, because a
    `GroupResult` cannot be sent.

    Celery: `canvas.py:chunks` has no `subtask_type`, so `Signature.clone` makes a plain task of it,
    and `app/builtins.py:add_chunk_task` runs `chunks.apply_chunks` in the worker.

    Repair: `.chunks(…).group()` is the group itself, which workflows wait for.

    Bad:
        resize.chunks([("a", 100), ("b", 100)], 1) | publish.s()

    Good:
        resize.chunks([("a", 100), ("b", 100)], 1).group() | publish.s()
    """
    for place in canvas.places:
        if place.shape.kind == "chunks" and place.role != "root":
            yield Trouble(
                place.path,
                f"nothing waits for the chunks of {place.short_name}: a task publishes them "
                "and is done at once",
                f"{place.short_name}.chunks(…).group()",
                task=place.shape.name,
            )


@canvas_rule("CF114", "mapped-call-is-dropped")
def mapped_call_is_dropped(canvas: Canvas) -> Iterator[Trouble]:
    """A signature that is mapped has arguments, options or callbacks of its own.

    Sees: `xmap`, `xstarmap` or `chunks` of a signature with more than the task's name.

    Why: only the task is kept. Each item is called without the arguments, without the options,
    and no callback follows.

    Celery: `app/builtins.py:xmap` and `xstarmap` take `signature(task).type` and call it with
    each item alone.

    Repair: put the arguments into the items and the options on the map; or use a group.

    Bad:
        from celery.canvas import xmap

        xmap(fetch.s(timeout=5), ["a", "b"])

    Good:
        group(fetch.s(url) for url in ["a", "b"])
    """
    for place in canvas.places:
        if place.shape.kind not in ("map", "starmap", "chunks"):
            continue
        mapped = place.shape.children[0]
        lost = [
            what
            for what, has in (
                ("arguments", mapped.args or mapped.kwargs),
                ("options", mapped.options),
                ("callbacks", mapped.links or mapped.errbacks),
            )
            if has
        ]
        if lost:
            yield Trouble(
                place.path,
                f"the {' and '.join(lost)} of the mapped {place.short_name} are dropped",
                "put them into the items, or use a group",
                task=place.shape.name,
            )


@canvas_rule("CF115", "mapped-task-never-retries")
def mapped_task_never_retries(canvas: Canvas) -> Iterator[Trouble]:
    """A task that retries is mapped, and is not retried there.

    Sees: `map`, `starmap` or `chunks` of a task with `autoretry_for`, or whose body calls
    `self.retry`.

    Why: the first failure fails all items of the map, those that were done too.

    Celery: `app/builtins.py:xmap` calls the task as a function, and `app/task.py:Task.retry`
    raises the original exception when `request.called_directly`.

    Repair: a group has a message for each item, and each is retried by itself.

    Bad:
        @app.task(autoretry_for=(OSError,), retry_backoff=True)
        def download(url):
            return url

        download.map(["a", "b"])

    Good:
        @app.task(autoretry_for=(OSError,), retry_backoff=True)
        def download(url):
            return url

        group(download.s(url) for url in ["a", "b"])
    """
    for place in canvas.places:
        task = canvas.app.task(place.shape.name) if place.shape.name else None
        if place.shape.kind not in ("map", "starmap", "chunks") or task is None:
            continue
        if getattr(task, "autoretry_for", ()) or retries_itself(task):
            yield Trouble(
                place.path,
                f"{place.short_name} is called as a function there: it is not retried",
                f"group({place.short_name}.s(…) for …)",
                task=place.shape.name,
            )
