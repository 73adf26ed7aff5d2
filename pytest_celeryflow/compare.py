"""`compare_modes`: one workflow in several modes, and a table of what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.canvas import Signature

from pytest_celeryflow.contexts import run_eager, run_process, run_worker, simulate
from pytest_celeryflow.durations import duration
from pytest_celeryflow.errors import WorkflowStalled
from pytest_celeryflow.flow import Flow
from pytest_celeryflow.run import Run, short_name

__all__ = ["Comparison", "Difference", "compare_modes"]

_MODES: dict[str, Callable[..., Any]] = {
    "eager": run_eager,
    "worker": run_worker,
    "process": run_process,
    "sim": simulate,
}

#: What took this much longer in one mode than in another, in seconds, took longer.
_LONGER = 1.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same in all modes.

    Attributes:
        what: ``"value"``, ``"state"``, ``"executions of charge"`` …
        seen: Mode -> what it was there, in words.
    """

    what: str
    seen: Mapping[str, str]

    def __str__(self) -> str:
        told = ", ".join(f"{mode}: {value}" for mode, value in self.seen.items())
        return f"{self.what} ({told})"


@dataclass(frozen=True)
class Comparison:
    """What one workflow did in several modes.

    Attributes:
        modes: Their names.
        differences: What differs, the outcome first.
        runs: Mode -> its `Run`, or the exception that publishing raised.
    """

    modes: tuple[str, ...]
    differences: tuple[Difference, ...]
    runs: Mapping[str, Run | BaseException]

    @property
    def same(self) -> bool:
        """Nothing differs."""
        return not self.differences

    def __str__(self) -> str:
        if self.same:
            return f"the same in {', '.join(self.modes)}"
        rows = [("", *self.modes)]
        rows += [(d.what, *(d.seen[mode] for mode in self.modes)) for d in self.differences]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


@dataclass(frozen=True)
class _Seen:
    """What was seen of a workflow in one mode."""

    run: Run | None
    error: BaseException | None
    where: str

    def facts(self) -> dict[str, str]:
        """Name -> what it was, in words, in the order of the table."""
        told = {
            "value": _value(self.run, self.error),
            "state": self.run.state if self.run is not None else "never published",
            "exception": type(self.error).__name__ if self.error is not None else "none",
            "raised": self.where,
        }
        if self.run is None:
            return told
        executions = self.run.executions
        counted = Counter(short_name(e.task) for e in executions)
        retried = Counter(short_name(e.task) for e in executions if e.retries)
        for name in counted:
            told[f"executions of {name}"] = str(counted[name])
            told[f"retries of {name}"] = str(retried[name])
        for execution in executions:
            kinds = ", ".join(_kind(a) for a in (*execution.args, *execution.kwargs.values()))
            told.setdefault(f"arguments of {short_name(execution.task)}", f"({kinds})")
        return told


def compare_modes(
    app: Celery,
    workflow: Any,
    modes: Sequence[str] = ("eager", "worker", "sim"),
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Comparison:
    """Run one workflow in several modes and tell what differs.

    Compared are its value and state, the exception and where it was raised, how often each
    task was executed and retried, the types of arguments that tasks were given, the order
    of tasks where one mode has them one after the other, and the time it took.

    Args:
        app: The app.
        workflow: A canvas, or a function without arguments that makes one.
        modes: Some of ``"eager"``, ``"worker"``, ``"process"``, ``"sim"``, at least two.
        options: Mode -> further arguments of its context manager.

    Raises:
        ValueError: An argument is not valid; the message lists what is.
    """
    if isinstance(modes, str) or len(modes) < 2:  # noqa: PLR2004 - one has nothing to differ from
        raise ValueError(f"modes={modes!r} must be two or more of {', '.join(_MODES)}")
    for mode in (*modes, *(options or {})):
        if mode not in _MODES:
            raise ValueError(f"{mode!r} is not one of the modes {', '.join(map(repr, _MODES))}")
    if not isinstance(workflow, Signature) and not callable(workflow):
        raise ValueError(
            f"workflow={workflow!r} is not a canvas, or a function without arguments that makes one"
        )
    seen = {}
    for mode in modes:
        with _MODES[mode](app, **(options or {}).get(mode, {})) as flow:
            seen[mode] = _observed(flow, workflow)
    differences = [*_facts_that_differ(seen), *_orders(seen), *_times(seen)]
    runs = {mode: each.run if each.run is not None else each.error for mode, each in seen.items()}
    return Comparison(tuple(modes), tuple(differences), runs)  # type: ignore[arg-type]


def _observed(flow: Flow, workflow: Any) -> _Seen:
    canvas = workflow() if _is_maker(workflow) else workflow.clone()
    try:
        run = flow.run(canvas)
    except Exception as exc:  # noqa: BLE001 - where it is raised is what is compared
        return _Seen(None, exc, "when it was published")
    try:
        _ = run.value
    except WorkflowStalled as exc:
        return _Seen(run, exc, "never: it cannot go on")
    except Exception as exc:  # noqa: BLE001 - likewise
        return _Seen(run, exc, "by its result")
    return _Seen(run, None, "nowhere")


def _is_maker(workflow: Any) -> bool:
    return callable(workflow) and not isinstance(workflow, Signature)


def _value(run: Run | None, error: BaseException | None) -> str:
    if error is not None or run is None:
        return "none"
    return _short(repr(run.value))


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004 - a column


def _kind(value: Any) -> str:
    if isinstance(value, list | tuple) and value:
        inner = " | ".join(dict.fromkeys(_kind(each) for each in value))
        return f"{type(value).__name__}[{inner}]"
    return type(value).__name__


def _facts_that_differ(seen: Mapping[str, _Seen]) -> list[Difference]:
    facts = {mode: each.facts() for mode, each in seen.items()}
    names = dict.fromkeys(name for told in facts.values() for name in told)
    found = []
    for name in names:
        values = {mode: told.get(name, _absent(name)) for mode, told in facts.items()}
        if len(set(values.values())) > 1:
            found.append(Difference(name, values))
    return found


def _absent(name: str) -> str:
    return "0" if name.startswith(("executions", "retries")) else "not executed"


def _orders(seen: Mapping[str, _Seen]) -> list[Difference]:
    """Pairs of tasks that one mode runs one after the other and another the other way round."""
    runs = {mode: each.run for mode, each in seen.items() if each.run is not None}
    names = [{e.task for e in run.executions} for run in runs.values()]
    common = sorted(set.intersection(*names)) if len(names) == len(seen) and names else []
    found = []
    for i, one in enumerate(common):
        for other in common[i + 1 :]:
            told = {mode: _order(run, one, other) for mode, run in runs.items()}
            if {1, -1} <= set(told.values()):
                words = {1: "before", 0: "at the same time", -1: "after"}
                what = f"{short_name(one)} ran … {short_name(other)}"
                found.append(Difference(what, {mode: words[o] for mode, o in told.items()}))
    return found


def _order(run: Run, one: str, other: str) -> int:
    if run.happened_before(one, other):
        return 1
    return -1 if run.happened_before(other, one) else 0


def _times(seen: Mapping[str, _Seen]) -> list[Difference]:
    took = {mode: each.run.elapsed for mode, each in seen.items() if each.run is not None}
    if len(took) < len(seen) or max(took.values()) - min(took.values()) < _LONGER:
        return []
    return [Difference("elapsed", {mode: duration(round(s, 1)) for mode, s in took.items()})]
