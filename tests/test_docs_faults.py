"""What the documentation says of faults is made of the code, and of what the simulation does.

After a change, write it anew, with the newest Celery, and read the difference:

    python -m tests.test_docs_faults
"""

import ast
import inspect
import logging
import re
import sys
import textwrap

import celery
import pytest
from celery import Celery, chain

from pytest_celeryflow import CrashPoint, simulate
from pytest_celeryflow import faults as vocabulary
from pytest_celeryflow.faults import OPERATIONS, Fault
from pytest_celeryflow.planner import BackendFaults, BrokerFaults, Faults
from tests.docs_pages import ROOT

MODES = ("eager", "worker", "process", "sim")
REFERENCE = ROOT / "docs" / "reference" / "faults.md"
CRASHES = ROOT / "docs" / "how-to" / "crashes.md"

#: As a task that succeeds comes to them.
IN_ORDER = (
    CrashPoint.RECEIVED,
    CrashPoint.BEFORE_ACK,
    CrashPoint.AFTER_ACK,
    CrashPoint.IN_BODY,
    CrashPoint.BEFORE_CALLBACKS,
    CrashPoint.AFTER_CALLBACKS,
    CrashPoint.BEFORE_RESULT,
    CrashPoint.AFTER_RESULT,
    CrashPoint.BEFORE_LATE_ACK,
)

INTRODUCTION = """\
# Faults

What can go wrong, as `flow.faults` plans it. Each method returns a `Fault`; used with `with`, it
lasts as long as the block, and otherwise as long as the flow. How to use them:
[retries](../how-to/retries.md), [time limits](../how-to/timeouts.md),
[crashes](../how-to/crashes.md), [duplicates](../how-to/duplicates.md),
[outages](../how-to/outages.md).

## Which mode can do what

"""

COMMON = """\
A fault that a mode cannot do raises `UnsupportedFault`, and names the modes that can.

## What all have in common

`task` is a task object, its full name, or a last dotted part that is unique.

| argument | meaning |
|---|---|
| `times` | how often it strikes; `None`: every time. By default once |
| `nth` | it strikes from this opportunity on, counted from 1: the second execution, the third message |
| `optional` | the test does not fail when it never strikes |

| attribute of a `Fault` | meaning |
|---|---|
| `.fired` | how often it struck |
| `.seen` | how many opportunities there were |
| `.end()` | it has lasted long enough |

A fault that never struck fails the test: what was to be tested did not happen.

## The faults

"""


def page():
    """The reference page."""
    return "\n".join([INTRODUCTION + capabilities(), COMMON + described(), points_described()])


def kinds():
    """The classes of faults, in the order of the vocabulary."""
    found = [value for value in vars(vocabulary).values() if inspect.isclass(value)]
    return [kind for kind in found if issubclass(kind, Fault) and kind is not Fault]


def capabilities():
    """Faults by modes, from the flags that the code itself obeys."""
    head = f"| fault | {' | '.join(f'`{mode}`' for mode in MODES)} | why not everywhere |"
    rows = [head, "|---" * (len(MODES) + 2) + "|"]
    for kind in kinds():
        can = ["yes" if mode in kind.modes else "no" for mode in MODES]
        why = kind.why if "no" in can else ""
        rows.append(f"| [`{kind.name}`](#{anchor(kind)}) | {' | '.join(can)} | {why} |")
    return "\n".join(rows) + "\n"


def anchor(kind):
    return re.sub(r"[^\w-]", "", kind.name)


def described():
    """Each fault: how it is planned, and what its docstring says."""
    parts = []
    for kind in kinds():
        method = planned_by(kind)
        text, arguments = docstring(method)
        own = [line for name, line in arguments if line != "As above." and name not in COMMONLY]
        parts.append(f"### {kind.name}\n\n```text\n{call(kind, method)}\n```\n\n{text}\n")
        if own:
            parts.append("\n".join(own) + "\n")
        if kind is vocabulary.BackendFail:
            parts.append(f"Operations: {', '.join(f'`{op}`' for op in OPERATIONS)}.\n")
    return "\n".join(parts)


COMMONLY = ("task", "times", "nth", "optional")


def planned_by(kind):
    where, _, name = kind.name.rpartition(".")
    return getattr({"": Faults, "broker": BrokerFaults, "backend": BackendFaults}[where], name)


def call(kind, method):
    """The signature, without annotations and without what all have in common."""
    node = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0].args
    positional, defaults = node.args[1:], node.defaults
    shown = [argument.arg for argument in positional]
    for number, default in enumerate(reversed(defaults), 1):
        shown[-number] += f"={ast.unparse(default)}"
    own = [
        f"{argument.arg}" + (f"={ast.unparse(default)}" if default is not None else "")
        for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True)
    ]
    listed = ", ".join([*shown, *(["*", *own] if own else [])]).replace("'", '"')
    return f"flow.faults.{kind.name}({listed})"


def docstring(method):
    """The text of a docstring, and its arguments as (name, line of a list)."""
    text, _, arguments = inspect.getdoc(method).partition("\nArgs:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
    lines = [(name, f"* `{name}`: {' '.join(said.split())}") for name, said in found]
    return markdown(text).strip(), [(name, markdown(line)) for name, line in lines]


def markdown(text):
    return re.sub(r"``(.+?)``", r"`\1`", text)


def points_described():
    return (
        "## Crash points\n\nIn the order in which a task that succeeds comes to them. What comes of "
        "each: [crashes](../how-to/crashes.md#where-to-crash).\n\n" + points()
    )


def points():
    """The moments, and who can be killed there."""
    source = inspect.getsource(CrashPoint)
    comments = {name: said for said, name in re.findall(r"    #: (.*)\n    (\w+) = ", source)}
    rows = ["| point | when | `kills=` |", "|---|---|---|"]
    for point in IN_ORDER:
        who = ", ".join(f'`"{victim}"`' for victim in point.victims)
        rows.append(f"| `{point.name}` | {markdown(comments[point.name])} | {who} |")
    return "\n".join(rows) + "\n"


# --- what comes of a crash ---

CASES = (
    ("one process", "plain", "process"),
    ("one process, `reject_on_worker_lost`", "rejects", "process"),
    ("the worker", "plain", "worker"),
    ("the worker, `acks_late`", "late", "worker"),
)


def outcomes():
    """What the simulation does with each crash, as a table."""
    rows = ["| point | " + " | ".join(title for title, _, _ in CASES) + " |", "|---" * 5 + "|"]
    for point in IN_ORDER:
        cells = [outcome(point, task, victim) for _, task, victim in CASES]
        rows.append(f"| `{point.name}` | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def outcome(point, name, victim):
    """What comes of one crash, in words."""
    if victim not in point.victims:
        return "–"
    app, did = Celery("shop", set_as_current=False), []

    def work():
        did.append(1)

    def nothing():
        pass

    options = {"plain": {}, "late": {"acks_late": True}}
    options["rejects"] = {"acks_late": True, "reject_on_worker_lost": True}
    first = app.task(name="first", shared=False, **options[name])(work)
    then = app.task(name="then", shared=False)(nothing)
    with simulate(app, broker="rabbitmq") as flow:
        fault = flow.faults.crash(first, at=point, kills=victim, optional=True)
        run = flow.run(chain(first.si(), then.si()))
    if not fault.fired:
        return "–"
    followed = run[then].attempts
    if run.verdict.lost:
        reported = any(e.kind == "failed" and e.task == "first" for e in run.history)
        told = "`WorkerLostError`" if reported else "no result ever"
        return f"{'what follows runs' if followed else 'lost'}; {told}"
    if len(did) == 1:
        return "runs once"
    return "runs twice" + (", so does what follows" if followed > 1 else "")


# --- the tests ---

GENERATED = {"points": points, "outcomes": outcomes}
REGION = re.compile(r"(<!-- generated: (\w+) -->\n)(.*?)(?=\n[^|\n]|\Z)", re.DOTALL)


def crashes_anew(text):
    """The page on crashes with its tables made anew."""
    return REGION.sub(lambda found: f"{found[1]}\n{GENERATED[found[2]]()}", text)


def test_the_reference_is_what_is_generated():
    """Capabilities, docstrings and crash points."""
    assert REFERENCE.read_text(encoding="utf-8") == page()


@pytest.mark.slow
def test_the_tables_of_crashes_are_what_is_generated():
    """Points, and what the simulation does at each; before Celery 5.7 one cell differs."""
    text = CRASHES.read_text(encoding="utf-8")
    anew = crashes_anew(text)
    if celery.VERSION < (5, 7):
        before = "| `AFTER_RESULT` | runs once | runs twice, so does what follows | runs once |"
        assert before in anew
        anew = anew.replace(before, "| `AFTER_RESULT` | runs once | runs once | runs once |")
    assert anew == text


def test_every_crash_point_is_in_the_order():
    """A new one has a place in it."""
    assert set(IN_ORDER) == set(CrashPoint)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    REFERENCE.write_text(page(), encoding="utf-8")
    CRASHES.write_text(crashes_anew(CRASHES.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"written anew: {REFERENCE}, {CRASHES}\n")
