"""The page of the documentation that shows the reference workflows, made of their declarations.

``python -m pytest_celeryflow.reference._page`` prints it; a test compares it with the committed page.
Each workflow is run in ``sim`` for it: drawing and timeline are what came of that.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_celeryflow import shape
from pytest_celeryflow.reference.catalogue import WORKFLOWS, modules
from pytest_celeryflow.reference.declaration import SAME, Differs, Raises, Surroundings, Workflow
from pytest_celeryflow.reference.limits import NEEDS, known
from pytest_celeryflow.reference.running import opened, seen
from pytest_celeryflow.report.timeline import timeline

__all__ = ["page"]

#: The most lines of a timeline.
_LINES = 24

_INTRODUCTION = """\
# Reference workflows

{number} small workflows: one for each building block of Celery's canvas, and one for each technique
that people build of them. Copy the code; each is run, in each mode, by this project's own tests,
and can be run by yours:

```console
$ pytest --pyargs pytest_celeryflow.reference
$ pytest --pyargs pytest_celeryflow.reference -k saga --celeryflow-modes eager,sim
```

The first line runs each in `eager`, `worker` and `sim`, and those that are marked for it on a real
Redis, a real RabbitMQ and a real worker process, if there is one. In the code, `outside` is the
world outside of the workflow, kept in files of one directory, and `app` a Celery app.

## On your own broker and result backend

```console
$ pytest --pyargs pytest_celeryflow.reference --celeryflow-redis-url redis://localhost:6379/0
$ pytest --pyargs pytest_celeryflow.reference --celeryflow-rabbitmq-url amqp://localhost// \\
      --celeryflow-backend-url db+postgresql://localhost/results
$ pytest --pyargs pytest_celeryflow.reference --celeryflow-own-services
```

Each workflow runs on a real worker in the test process, with messages and results on your
services; the session ends with a table of what works there, what does not, and why. What
Celery's backend is known not to do is an expected failure (`xfail`), so that the exit code tells of
surprises alone. `--celeryflow-own-services` takes broker, result backend and settings from the app
that the ini option `celeryflow_app` names; its tasks are not run.

The tests keep to a name space of their own in Redis and RabbitMQ, and remove it. In another result
backend they remove the results that they made.

Known of Celery's result backends:

{limits}

## The workflows

{table}
"""


def page() -> str:
    """Return the reference page, in Markdown."""
    introduction = _INTRODUCTION.format(
        number=len(WORKFLOWS), limits="\n".join(_limits()), table="\n".join(_table())
    )
    parts = [introduction]
    for module in modules():
        parts += _described(module)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _limits() -> Iterator[str]:
    yield "| result backend | what | why not |"
    yield "|---|---|---|"
    refused = "Celery refuses it (`celery/backends/rpc.py:RPCBackend.ensure_chords_allowed`)"
    yield f"| `rpc://` | a chord, and a group that a task follows | {refused} |"
    for name, url in (("`rpc://`", "rpc://"), ("all but Redis", "db+sqlite://")):
        for need, what in NEEDS.items():
            if known(url, [need]) and not (url == "rpc://" and need == "add_to_chord"):
                yield f"| {name} | {what} | {_code(known(url, [need]))} |"


def _code(text: str) -> str:
    """Set places in Celery's source, which are in brackets, as code."""
    return re.sub(r"\((celery/[\w/]+\.py[^) ]*)", r"(`\1`", text)


def _table() -> Iterator[str]:
    yield "| workflow | what it is for | where it runs | differs in |"
    yield "|---|---|---|---|"
    for each in WORKFLOWS:
        differs = ", ".join(each.differs) or "–"
        yield f"| [{each}](#{each}) | {each.about} | {', '.join(each.places)} | {differs} |"


def _described(module: ModuleType) -> Iterator[str]:
    title, _, watch_for = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    yield f"## {' '.join(title.split()).rstrip('.')}"
    yield watch_for
    yield f"```py\n{_code_of(module)}\n```"
    for workflow in module.WORKFLOWS:
        yield from _shown(workflow)


def _code_of(module: ModuleType) -> str:
    """The tasks and the functions that make canvases: the module without its declaration."""
    source = inspect.getsource(module)
    tree = ast.parse(source)
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    lines = source.splitlines()[: public[-1].end_lineno]
    for node in reversed(tree.body):
        unwanted = isinstance(node, ast.ImportFrom) and (
            node.module == "__future__" or (node.module or "").endswith(".declaration")
        )
        if unwanted or node is tree.body[0]:
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip("\n")


def _shown(workflow: Workflow) -> Iterator[str]:
    yield f"### {workflow}"
    yield workflow.about
    if not workflow.beat:
        drawing = shape(workflow.canvas(Surroundings()), as_sent=True).mermaid()
        yield f"```mermaid\n{drawing.strip()}\n```"
    yield f"```text\n{_happened(workflow)}\n```"
    yield "\n".join(_facts(workflow))
    if workflow.differs or workflow.elsewhere:
        yield "\n".join(_differences(workflow))


def _happened(workflow: Workflow) -> str:
    """The timeline of a run in ``sim``."""
    with tempfile.TemporaryDirectory() as directory, chdir(directory):
        os.mkdir("world")  # noqa: PTH102 - a path in arguments is text, and short on the page
        with opened(workflow, "sim") as flow:
            found = seen(workflow, flow, Path("world"))
            history = found.run.history if found.run is not None else flow.history
            return timeline(history, limit=_LINES)


def _facts(workflow: Workflow) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    if not workflow.beat:
        yield f"| ends with | {_end(workflow.end)} |"
    yield f"| executions | {_counted(workflow.executions)} |"
    if workflow.takes:
        yield f"| takes | {workflow.takes:g} s of virtual time |"
    for claim in workflow.claims:
        yield f"| holds | {claim} |"
    for code in workflow.lint:
        yield f"| lint | {code}, which it is there to show |"


def _differences(workflow: Workflow) -> Iterator[str]:
    yield "| mode | there | because |"
    yield "|---|---|---|"
    same: dict[tuple[str, str], list[str]] = {}
    for place, told in workflow.differs.items():
        same.setdefault((_instead(told, workflow), told.because), []).append(place)
    for (said, why), places in same.items():
        yield f"| {', '.join(places)} | {said} | {_code(why.rstrip('.'))} |"
    left = [mode for mode in ("eager", "worker", "sim") if mode not in workflow.places]
    if workflow.elsewhere:
        yield f"| {', '.join(left) or 'rabbitmq'} | not run | {_code(workflow.elsewhere)} |"


def _instead(told: Differs, workflow: Workflow) -> str:
    parts = []
    if told.end is not SAME:
        parts.append(f"ends with {_end(told.end)}")
    parts += [
        f"executions of `{task}`: {number} instead of {workflow.executions[task]}"
        for task, number in told.executions.items()
    ]
    parts += [f"it is not so that {claim}" for claim in told.broken]
    return "; ".join(parts)


def _end(end: Any) -> str:
    if isinstance(end, Raises):
        return f"`{end.kind}`" + (f": {end.text}" if end.text else "")
    return f"`{end!r}`"


def _counted(executions: Any) -> str:
    return ", ".join(f"`{task}` {number}" for task, number in executions.items())


if __name__ == "__main__":
    sys.stdout.write(page())
