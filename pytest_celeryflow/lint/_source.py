"""What the source of a task says, read as a syntax tree. A task without source says nothing.

Relies on `Task.run`, on `Task._orig_run`, where `celery/app/autoretry.py` keeps the user's function,
and on `functools.wraps` (`__wrapped__`), by which decorators tell what they wrap.

Not modelled: what the function calls. Only its own body is read.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from celery.app.task import Task

__all__ = [
    "body_nodes",
    "called",
    "calls",
    "definition",
    "ends_with_nothing",
    "function_of",
    "own_retries",
    "retries_itself",
]

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def function_of(task: Any) -> Callable[..., Any]:
    """The user's function behind a task, without Celery's and other decorators."""
    run = getattr(task, "_orig_run", None) or task.run
    return inspect.unwrap(getattr(run, "__func__", run))


def definition(task: Any) -> Definition | None:
    """The syntax tree of a task's function, or None if there is no source."""
    return _definition(function_of(task))


@lru_cache(maxsize=4096)
def _definition(function: Callable[..., Any]) -> Definition | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    first = tree.body[0] if tree.body else None
    return first if isinstance(first, Definition) else None


def body_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below one, but for functions within, which run some other time."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        yield child
        yield from body_nodes(child)


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """Every call below a node."""
    return (each for each in body_nodes(node) if isinstance(each, ast.Call))


def called(call: ast.AST) -> str:
    """Last part of the name of what is called: `delay` of `send.delay(1)`."""
    function = call.func if isinstance(call, ast.Call) else call
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def ends_with_nothing(task: Any) -> bool:
    """Whether a task can only return None: it says so itself and nothing wraps it.

    A body of `pass` or `...` alone stands for one that is not written yet.
    """
    run = getattr(task, "_orig_run", None) or task.run
    if hasattr(run, "__wrapped__") or task.__class__.__call__ is not Task.__call__:
        return False
    tree = definition(task)
    if tree is None or isinstance(tree.body[-1], ast.Raise) or all(map(_is_blank, tree.body)):
        return False
    for node in body_nodes(tree):
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return False
        if isinstance(node, ast.Return) and not _is_none(node.value):
            return False
        if isinstance(node, ast.Call) and called(node) in ("replace", "update_state"):
            return False
    return True


def _is_blank(statement: ast.stmt) -> bool:
    """Whether it is `pass`, `...` or a docstring."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def retries_itself(task: Any) -> bool:
    """Whether the body of a task calls `self.retry`, or `retry` of the task by its name."""
    return any(True for _ in own_retries(task))


def own_retries(task: Any) -> Iterator[ast.Call]:
    """The calls of a task's own `retry` in its body."""
    tree = definition(task)
    if tree is None:
        return
    itself = {tree.name, "current_task", *(each.arg for each in tree.args.args[:1])}
    for call in calls(tree):
        function = call.func
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "retry"
            and isinstance(function.value, ast.Name)
            and function.value.id in itself
        ):
            yield call
