"""Rules about time limits.

Relies on `celery/concurrency/asynpool.py:AsynPool`, the pool of processes; pools of threads and
greenlets know no hard limit.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import app_rule

__all__ = ["no_time_limit", "soft_limit_not_below_hard"]


@app_rule("CF206", "soft-limit-not-below-hard")
def soft_limit_not_below_hard(app: AppView) -> Iterator[Trouble]:
    """A soft time limit leaves the task no time before the hard one.

    Sees: a task, or the settings, whose soft limit is not below the hard limit.

    Why: the soft limit is for cleaning up, and there is no time to. A soft limit above the hard one
    also puts the hard one off: the task may run for as long as the soft limit says. Since 5.5, such a
    task cannot be published any more: ValueError.

    Celery: `concurrency/asynpool.py:AsynPool._on_soft_timeout` starts the time from soft to hard
    limit when the soft one has passed; `app/task.py:Task.apply_async` refuses, from 5.5 on.

    Repair: leave some seconds between them.

    Bad:
        @app.task(soft_time_limit=60, time_limit=60)
        def export(name):
            return name

        app

    Good:
        @app.task(soft_time_limit=60, time_limit=75)
        def export(name):
            return name

        app
    """
    soft, hard = app.conf.task_soft_time_limit, app.conf.task_time_limit
    if soft and hard and soft >= hard:
        yield Trouble(
            "task_soft_time_limit",
            f"{soft:g} s leave no time before the hard limit of {hard:g} s",
            f"task_time_limit = {soft + 15:g}",
        )
    for task in app.tasks.values():
        own_soft, own_hard = app.limits(task)
        if own_soft and own_hard and own_soft >= own_hard and (own_soft, own_hard) != (soft, hard):
            yield Trouble(
                task.name,
                f"a soft limit of {own_soft:g} s leaves no time before the hard limit of "
                f"{own_hard:g} s",
                f"time_limit={own_soft + 15:g}",
                task=task.name,
            )


@app_rule("CF207", "no-time-limit")
def no_time_limit(app: AppView) -> Iterator[Trouble]:
    """Tasks may run for ever.

    Sees: tasks without a soft and without a hard time limit, their own or the settings'. A limit
    given to the worker's command line (`--time-limit`) is not seen.

    Why: one call without a timeout of its own, to a server that has stopped answering, keeps a process
    of the pool for good. When all are kept, the worker does nothing, and says nothing.

    Celery: `app/defaults.py`: `task_time_limit` has no default.

    Repair: set `task_time_limit` for all tasks, and more for those that need it.

    Bad:
        app.conf.task_time_limit = None

        app

    Good:
        app.conf.task_time_limit = 600

        app
    """
    unlimited = [task.name for task in app.tasks.values() if not any(app.limits(task))]
    if unlimited:
        names = ", ".join(name.rpartition(".")[2] for name in unlimited[:3])
        more = f" and {len(unlimited) - 3} more" if len(unlimited) > 3 else ""  # noqa: PLR2004
        yield Trouble(
            "task_time_limit",
            f"not set: {names}{more} may run for ever",
            "task_time_limit = 600, and more for the tasks that need it",
        )
