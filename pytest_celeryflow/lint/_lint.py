"""`lint`: run the rules on a canvas or an app, and leave out what its tasks silence.

A task silences a rule by an attribute, `@app.task(celeryflow_ignore=("CF203",))`: Celery makes
every option of the decorator an attribute of the task's class (`Celery._task_from_fun`), and
sends none of those that it does not know.

A signature has no such attribute. Its options and stamps are sent, so marking it there would
change the message; an attribute of the Python object is lost as soon as a chain or a group
clones it (`Signature.clone`), which `|` does. So a place is silenced where it is asked about:
by the path or the task behind the code, `ignore=("CF104@chain[1]",)`; see `_assert.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import VERSION, Celery
from celery._state import get_current_app
from celery.canvas import Signature

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._canvas import Canvas
from pytest_celeryflow.lint._finding import Finding
from pytest_celeryflow.lint.rules import RULES, check_codes
from pytest_celeryflow.shape._read import read

__all__ = ["lint"]


def lint(canvas_or_app: Any, app: Celery | None = None) -> list[Finding]:
    """Look for known traps in a workflow, or in an app with its tasks and settings.

    Nothing is published, run or connected. What a worker would import is imported.

    Args:
        canvas_or_app: A signature, chain, group, chord or map, the dict of one, a `Shape`;
            or a Celery app.
        app: For a canvas, the app that would publish it; by default its own, else the
            current one.

    Returns:
        What was found, in the order of the codes and then of the canvas.

    Raises:
        TypeError: `canvas_or_app` is neither, or `app` is not an app.
        ValueError: A task's `celeryflow_ignore` names a rule that does not exist.

    Example:
        >>> from celery import Celery, group
        >>> from pytest_celeryflow.lint import lint
        >>> [str(finding) for finding in lint(group(), Celery(set_as_current=False))]
        ['CF103 group: the group is empty: no task runs']
    """
    if app is not None and not isinstance(app, Celery):
        raise TypeError(f"app is {type(app).__name__}, not a Celery app")
    if isinstance(canvas_or_app, Celery):
        if app is not None:
            raise TypeError("app is for a canvas; the first argument is an app already")
        view = AppView(canvas_or_app)
        return _told("app", view, view)
    canvas = read(canvas_or_app, "canvas_or_app")
    if app is None:
        app = canvas_or_app.app if isinstance(canvas_or_app, Signature) else get_current_app()
    view = AppView(app)
    return _told("canvas", Canvas(canvas, view), view)


def _told(about: str, subject: Any, app: AppView) -> list[Finding]:
    """Run the rules of one kind and drop what the tasks themselves silence."""
    found: list[Finding] = []
    for rule in RULES:
        if rule.about == about and (rule.fixed_in is None or VERSION[:2] < rule.fixed_in):
            found += [
                each
                for each in rule.findings(subject)
                if each.code not in _silenced_by_task(app, each.task)
            ]
    return found


def _silenced_by_task(app: AppView, name: str) -> Iterable[str]:
    task = app.task(name) if name else None
    codes = getattr(task, "celeryflow_ignore", ())
    return check_codes(codes, f"celeryflow_ignore of task {name}") if codes else ()
