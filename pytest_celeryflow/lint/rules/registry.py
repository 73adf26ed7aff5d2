"""Rules about names: of tasks that are called, scheduled or defined.

Relies on `Celery.tasks`, into which a worker imports what `include`, `imports` and
`autodiscover_tasks` name, and on the setting `beat_schedule`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._canvas import Canvas
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import app_rule, canvas_rule
from pytest_celeryflow.lint.rules.calls import misfit

__all__ = [
    "named_by_main",
    "schedule_does_not_fit",
    "schedule_of_an_unknown_task",
    "unregistered_task",
]


@canvas_rule("CF111", "unregistered-task")
def unregistered_task(canvas: Canvas) -> Iterator[Trouble]:
    """A task of the canvas is not registered in the app.

    Sees: a name that no module registers which a worker of the app would import. An app
    without any task of its own only sends, and is not judged.

    Why: the message is sent all the same. The worker that gets it does not know the task: it
    throws the message away and stores NotRegistered. In a chain, that is after the steps before
    have run.

    Celery: `canvas.py:Signature._apply_async` sends unknown tasks by name;
    `worker/consumer/consumer.py:Consumer.on_unknown_task`.

    Repair: correct the name, or add the module to `include`. If another service has the task,
    silence the rule for it.

    Bad:
        fetch.s("a") | app.signature("shop.tasks.resise")

    Good:
        fetch.s("a") | resize.s(100)
    """
    for place in canvas.places:
        name = place.shape.name
        if name and canvas.app.task(name) is None and canvas.app.tasks:
            near = difflib.get_close_matches(name, canvas.app.tasks, n=1)
            yield Trouble(
                place.path,
                f"no task {name} is registered",
                f"did you mean {near[0]}?" if near else "correct the name, or add it to include",
                task=name,
            )


@app_rule("CF214", "schedule-of-an-unknown-task")
def schedule_of_an_unknown_task(app: AppView) -> Iterator[Trouble]:
    """An entry of the schedule names a task that is not registered.

    Sees: an entry of `beat_schedule` whose `task` no module registers which a worker of the app
    would import.

    Why: beat sends it by its name, every time; the worker that gets it throws it away. Only the log
    tells.

    Celery: `beat.py:Scheduler.apply_async` sends unknown tasks by `send_task`;
    `worker/consumer/consumer.py:Consumer.on_unknown_task`.

    Repair: correct the name, or add the module to `include`.

    Bad:
        app.conf.beat_schedule = {"nightly": {"task": "shop.tasks.clean", "schedule": 86_400}}

        app

    Good:
        app.conf.beat_schedule = {
            "nightly": {"task": fetch.name, "schedule": 86_400, "args": ["a"]},
        }

        app
    """
    for entry, task_name, _ in _schedule(app):
        if app.task(task_name) is None:
            near = difflib.get_close_matches(task_name, app.tasks, n=1)
            yield Trouble(
                f"beat_schedule[{entry!r}]",
                f"no task {task_name} is registered",
                f"did you mean {near[0]}?" if near else "correct the name, or add it to include",
                task=task_name,
            )


@app_rule("CF215", "schedule-does-not-fit")
def schedule_does_not_fit(app: AppView) -> Iterator[Trouble]:
    """An entry of the schedule calls a task with arguments that it does not take.

    Sees: an entry of `beat_schedule` whose `args` and `kwargs` do not fit the task's function.

    Why: the task never runs. Beat fails to publish it, every time, and only its log tells.

    Celery: `beat.py:Scheduler.apply_async` calls `Task.apply_async`, which checks the arguments;
    `Scheduler.apply_entry` logs the error and goes on.

    Repair: give the entry the arguments that the function takes.

    Bad:
        app.conf.beat_schedule = {"hourly": {"task": fetch.name, "schedule": 3600}}

        app

    Good:
        app.conf.beat_schedule = {"hourly": {"task": fetch.name, "schedule": 3600, "args": ["a"]}}

        app
    """
    for name, task_name, entry in _schedule(app):
        task = app.task(task_name)
        args, kwargs = _part(entry, "args") or (), _part(entry, "kwargs") or {}
        # Both may be computed when beat sends it (`beat.py:BeatLazyFunc`).
        if task is None or not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
            continue
        wrong = misfit(task, tuple(args), kwargs)
        if wrong:
            yield Trouble(
                f"beat_schedule[{name!r}]",
                f"beat calls {task_name.rpartition('.')[2]}{wrong}",
                "give the entry args and kwargs that fit",
                task=task_name,
            )


@app_rule("CF216", "named-by-main")
def named_by_main(app: AppView) -> Iterator[Trouble]:
    """A task is named after `__main__`.

    Sees: a registered task whose name starts with `__main__.`.

    Why: its name depends on how the program was started. Run as a script, the module sends
    `__main__.fetch`; a worker that imports it knows `shop.fetch`, and throws the message away.

    Celery: `app/base.py:Celery.gen_task_name` and `utils/imports.py:gen_task_name` take the name of
    the module, or the app's `main` instead of `__main__`.

    Repair: define tasks in a module that is imported, or name the app: `Celery("shop")`.

    Bad:
        @app.task(name="__main__.crop")
        def crop(image):
            return image

        app

    Good:
        @app.task(name="shop.crop")
        def crop(image):
            return image

        app
    """
    for name in app.tasks:
        if name.startswith("__main__."):
            yield Trouble(
                name,
                "whether a worker knows it by this name depends on how it was started",
                "define it in a module that is imported, or name the app",
                task=name,
            )


def _schedule(app: AppView) -> Iterator[tuple[str, str, Any]]:
    for name, entry in (app.conf.beat_schedule or {}).items():
        task = _part(entry, "task")
        if task:
            yield str(name), str(task), entry


def _part(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, Mapping) else getattr(entry, name, None)
