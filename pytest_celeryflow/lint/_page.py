"""The page of the documentation that describes the rules, made of their docstrings.

``python -m pytest_celeryflow.lint._page`` prints it; a test compares it with the committed page.
The example on top is run for it.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from pytest_celeryflow.errors import CeleryflowAssertionError
from pytest_celeryflow.lint._rule import Rule
from pytest_celeryflow.lint.rules import RULES

__all__ = ["PRELUDE", "page"]

#: Not `python`: each example is a program of its own, so they cannot run one after the other
#: as the blocks of other pages do. `tests/lint` runs each of them.
_LANGUAGE = "py"

#: What all examples start with.
PRELUDE = """\
import datetime

from celery import Celery, chain, chord, group
from kombu import Queue

app = Celery("shop", broker="redis://localhost", backend="redis://localhost")
app.conf.task_time_limit = 600


@app.task(name="shop.tasks.fetch")
def fetch(url):
    return f"the image at {url}"


@app.task(name="shop.tasks.resize")
def resize(image, size):
    return f"{image} in {size}"


@app.task(name="shop.tasks.publish")
def publish(images):
    return len(images)


@app.task(name="shop.tasks.notify")
def notify(text):
    print(text)
"""

_EXAMPLE = """\
from celery import Celery

from pytest_celeryflow import assert_clean

app = Celery("shop", set_as_current=False)


@app.task(shared=False)
def fetch(url):
    return f"the image at {url}"


@app.task(shared=False)
def notify(text):
    return f"told: {text}"


def test_the_workflow_is_clean():
    assert_clean(fetch.s("a") | notify.s("done"))
"""

_INTRODUCTION = """\
# Lint

Known traps of Celery, found in a workflow or an app before anything is published. Nothing is run
and nothing is connected.

{example}
## `lint(canvas_or_app, app=None) -> list[Finding]`

Given a canvas, it applies the rules `CF1xx`; given a Celery app, the rules `CF2xx`, to its settings
and to the tasks that a worker would import. For a canvas, `app` is the app that would publish it;
by default its own. An app that is not configured at all can be given: a rule that needs a
setting is silent.

A `Finding` has

| attribute | meaning |
|---|---|
| `code`, `rule` | code and name of the rule: `CF104`, `arguments-do-not-fit` |
| `message` | what is wrong |
| `path` | the place in the canvas, as failures of `assert_shape` write it (`chain[1].header[3]`), or the task or setting |
| `hint` | how to repair it |
| `url` | the rule on this page, such as [lint.md#cf104-arguments-do-not-fit](lint.md#cf104-arguments-do-not-fit) |
| `task` | full name of the task that it is about, or nothing |

## `assert_clean(canvas_or_app, ignore=(), app=None)`

Raises `CeleryflowAssertionError` if anything is found. The message groups the findings by rule.

## In a test session

`--celeryflow-lint warn`, or `celeryflow_lint = warn` in the ini file, applies the rules on canvases to
each canvas that a test publishes, by `flow.run` or by `delay` and `apply_async` anywhere in the code
under test, also in tasks: with what `Task.replace` puts in a task's place, but without the steps and
callbacks by which Celery goes on with a canvas. What is found is told at the end of the session, by
rule, with the tests; `error` fails the test instead. Calls of `app.send_task` are not seen.

## Silencing a rule

| where | how |
|---|---|
| in a project, with `--celeryflow-lint` | `celeryflow_lint_ignore = CF104 CF120@notify` in the ini file |
| in a test, a class or a module, with `--celeryflow-lint` | `@pytest.mark.celeryflow_lint_ignore("CF104")` |
| on the command line | `lint shop.tasks:checkout --ignore CF104,CF120@notify` |
| in `assert_clean` | `assert_clean(…, ignore=("CF104",))` |
| one place of a canvas and all below it | `ignore=("CF104@chain[1]",)` |
| one task, by the last parts of its name | `ignore=("CF104@notify",)` |
| one task, in its own code | `@app.task(celeryflow_ignore=("CF104",))` |

The ini file, the marker and the command line take places and tasks behind the code, too. There is
no mark to put on a signature. Its options and stamps are sent, so that a mark would change
the message, and an attribute of the object is gone as soon as `|`, `chain` or `group` clones it.
"""


def page() -> str:
    """Return the reference page, in Markdown."""
    introduction = _INTRODUCTION.replace("{example}", _example())
    parts = [introduction, "## The rules\n", _table(), _what_examples_share()]
    parts += [_described(rule) for rule in RULES]
    return "\n".join(parts)


def _example() -> str:
    """The example, and what it prints when it is run."""
    names: dict[str, Any] = {"__name__": "shop"}
    exec(_EXAMPLE, names)  # noqa: S102 - our own text, so that what the page prints is true
    try:
        names["test_the_workflow_is_clean"]()
    except CeleryflowAssertionError as error:
        return f"```python\n{_EXAMPLE}```\n\n```text\n{error}\n```\n"
    raise AssertionError("the example shows what lint finds")


def _table() -> str:
    rows = [f"| [{rule.code}](#{_anchor(rule)}) | {rule.name} | {rule.summary} |" for rule in RULES]
    return "\n".join(["| code | name | what it finds |", "|---|---|---|", *rows, ""])


def _what_examples_share() -> str:
    return (
        "The examples below start with this. The last line of each is what is given to `lint`; the "
        f"first has this one finding, the second none.\n\n```{_LANGUAGE}\n{PRELUDE}```\n"
    )


def _described(rule: Rule) -> str:
    sections = rule.sections
    silence = f'`ignore=("{rule.code}",)`'
    if "task=" in _source_of(rule):
        silence += f', or `celeryflow_ignore=("{rule.code}",)` on the task'
    return "\n\n".join(
        [
            f"## {rule.code} {rule.name}",
            rule.summary,
            f"**Sees** {_sentence(sections['Sees'])}",
            f"**Why** {_sentence(sections['Why'])}",
            f"**Celery** {_sentence(sections['Celery'])}",
            f"**Repair** {_sentence(sections['Repair'])}",
            f"**Silence** {silence}.",
            "Found:",
            f"```{_LANGUAGE}\n{sections['Bad']}\n```",
            "Clean:",
            f"```{_LANGUAGE}\n{sections['Good']}\n```\n",
        ]
    )


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _anchor(rule: Rule) -> str:
    return rule.url.partition("#")[2]


def _source_of(rule: Rule) -> str:
    return inspect.getsource(rule.check)


if __name__ == "__main__":
    sys.stdout.write(page())
