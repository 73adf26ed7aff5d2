"""Rules about what tasks do, read from their source.

Only the body of the task itself is read: neither what it calls, nor views and commands that
publish. A task without source is not judged.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from pytest_celeryflow.lint._app import AppView
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import app_rule
from pytest_celeryflow.lint._source import body_nodes, called, calls, definition, function_of

__all__ = ["publishes_in_a_transaction", "waits_in_a_task"]

_PUBLISH = frozenset(["delay", "apply_async", "send_task"])
_RESULTS = _PUBLISH | {"AsyncResult", "GroupResult"}
_CANVAS = frozenset(["group", "chain", "chord"])
_WAIT = frozenset(["get", "wait", "join", "join_native", "collect"])


@app_rule("CF210", "waits-in-a-task")
def waits_in_a_task(app: AppView) -> Iterator[Trouble]:
    """A task waits for the result of another.

    Sees: `.get()`, `.wait()`, `.join()` and their kind, in the body of a task, on what `delay`,
    `apply_async`, a call of a canvas, `AsyncResult` or `GroupResult` gave.

    Why: Celery refuses it with a RuntimeError. Where that is switched off, by
    `disable_sync_subtasks=False` or `allow_join_result`, the task keeps a process of the pool while
    it waits for another task that needs one: when all of them wait, it is a deadlock.

    Celery: `result.py:assert_will_not_block`.

    Repair: make it a chain or a chord, in which the result is an argument; or `self.replace(…)`.

    Bad:
        @app.task
        def thumbnail(url):
            image = fetch.delay(url)
            return image.get()

        app

    Good:
        @app.task(bind=True)
        def thumbnail(self, url):
            raise self.replace(fetch.s(url) | resize.s(100))

        app
    """
    for task in app.tasks.values():
        tree = definition(task)
        if tree is None:
            continue
        results = {
            target.id
            for node in body_nodes(tree)
            if isinstance(node, ast.Assign) and _is_result(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in calls(tree):
            if not isinstance(call.func, ast.Attribute) or call.func.attr not in _WAIT:
                continue
            waited = call.func.value
            if _is_result(waited) or (isinstance(waited, ast.Name) and waited.id in results):
                yield Trouble(
                    task.name,
                    f"line {_line(task, call)} waits for a result within the task: "
                    f"{ast.unparse(call)}",
                    "a chain or a chord, in which the result is an argument",
                    task=task.name,
                )


@app_rule("CF211", "publishes-in-a-transaction")
def publishes_in_a_transaction(app: AppView) -> Iterator[Trouble]:
    """A task publishes while a transaction of the database is open.

    Sees: `delay`, `apply_async` or `send_task` in the body of a task, within
    `with transaction.atomic():` or `with session.begin():`, or in a function with the decorator
    `atomic`. A call within a function or lambda that is given to `on_commit` is no finding.

    Why: a worker may have the message before the transaction is committed, and does not find
    the row; and if it is rolled back, the message is out all the same. In tests
    with everything in one transaction it never shows.

    Celery: `app/base.py:Celery.send_task` publishes at once; `contrib/django/task.py:DjangoTask`
    has `delay_on_commit` and `apply_async_on_commit`.

    Repair: with Django, `delay_on_commit(…)`; else publish after the `with`.

    Bad:
        from django.db import transaction

        @app.task
        def order(number):
            with transaction.atomic():
                fetch.delay(number)
            return number

        app

    Good:
        from django.db import transaction

        @app.task
        def order(number):
            with transaction.atomic():
                transaction.on_commit(lambda: fetch.delay(number))
            return number

        app
    """
    for task in app.tasks.values():
        tree = definition(task)
        if tree is None:
            continue
        atomic: list[ast.AST] = [tree] if any(map(_opens, tree.decorator_list)) else []
        atomic += [
            node
            for node in body_nodes(tree)
            if isinstance(node, ast.With | ast.AsyncWith)
            and any(_opens(item.context_expr) for item in node.items)
        ]
        published = {id(call): call for node in atomic for call in calls(node) if _publishes(call)}
        for call in published.values():
            yield Trouble(
                task.name,
                f"line {_line(task, call)} publishes before the transaction is committed: "
                f"{ast.unparse(call)}",
                "delay_on_commit(…) with Django; else publish after the transaction",
                task=task.name,
            )


def _is_result(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Call):
        return called(node.func) in _CANVAS
    return called(node) in _RESULTS


def _opens(node: ast.AST) -> bool:
    name = called(node)
    return name == "atomic" or (name == "begin" and isinstance(node, ast.Call))


def _publishes(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in _PUBLISH


def _line(task: Any, node: ast.expr) -> int:
    return int(function_of(task).__code__.co_firstlineno + node.lineno - 1)
