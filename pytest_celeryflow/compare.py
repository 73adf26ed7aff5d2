"""`compare_modes`: one workflow in several modes, and a table of what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.canvas import Signature

from pytest_celeryflow.contexts import run_eager, run_process, run_worker, simulate
from pytest_celeryflow.databases import rolled_back
from pytest_celeryflow.run import Run
from pytest_celeryflow.seen import (
    Difference,
    Seen,
    accepted,
    check_ignore,
    check_tasks,
    differences,
)

__all__ = ["Comparison", "Difference", "compare_modes", "compared", "observed"]

_MODES: dict[str, Callable[..., Any]] = {
    "eager": run_eager,
    "worker": run_worker,
    "process": run_process,
    "sim": simulate,
}


@dataclass(frozen=True)
class Comparison:
    """What one workflow did in several modes.

    Attributes:
        modes: Their names.
        differences: What differs, the outcome first.
        runs: Mode -> its `Run`, or the exception that publishing raised.
        accepted: What differs and was to be ignored.
    """

    modes: tuple[str, ...]
    differences: tuple[Difference, ...]
    runs: Mapping[str, Run | BaseException]
    accepted: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        """Nothing differs but what was to be ignored."""
        return not self.differences

    def __str__(self) -> str:
        if self.same:
            but = ", ".join(each.what for each in self.accepted)
            return f"the same in {', '.join(self.modes)}" + (f", but for {but}" if but else "")
        rows = [("", *self.modes)]
        rows += [(d.what, *(d.seen[mode] for mode in self.modes)) for d in self.differences]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def compare_modes(
    app: Celery,
    workflow: Any,
    modes: Sequence[str] = ("eager", "worker", "sim"),
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    ignore: Sequence[str] = (),
) -> Comparison:
    """Run one workflow in several modes and tell what differs.

    Compared are its value and state; the class of its exception, and where that was raised, by
    which call and in which task; how often each task was executed and retried, and each errback
    called; the types of the arguments that tasks were given; the order of tasks where one mode
    has two of them one after the other and another the other way round; the seconds it took.

    Args:
        app: The app.
        workflow: A canvas, or a function without arguments that makes one.
        modes: Some of ``"eager"``, ``"worker"``, ``"process"``, ``"sim"``, at least two.
        options: Mode -> further arguments of its context manager.
        ignore: What may differ: ``"value"``, ``"state"``, ``"exception"``, ``"raised"``,
            ``"executions"``, ``"retries"``, ``"errbacks"``, ``"arguments"``, ``"order"``,
            ``"elapsed"``, or ``"executions of charge"`` for one task.

    Returns:
        What differs. ``str()`` of it is a table.

    Raises:
        ValueError: An argument is not valid; the message lists what is.

    Example:
        >>> from celery import Celery
        >>> app = Celery("shop")
        >>> @app.task(name="shop.pair")
        ... def pair():
        ...     return (1, 2)
        >>> @app.task(name="shop.kind")
        ... def kind(value):
        ...     return type(value).__name__
        >>> print(compare_modes(app, pair.s() | kind.s()))
                           eager         worker       sim
        ---------------------------------------------------------
        value              'tuple'       'list'       'list'
        arguments of kind  (tuple[int])  (list[int])  (list[int])
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
    checked = check_ignore(ignore)
    seen = {}
    for mode in modes:
        seen[mode] = observed(app, mode, workflow, (options or {}).get(mode, {}))
    check_tasks(checked, seen.values())
    return compared(seen, checked)


def compared(seen: Mapping[str, Seen], ignore: Sequence[str]) -> Comparison:
    """Compare what was seen in several modes.

    Args:
        seen: Mode -> what it did.
        ignore: What may differ, checked.
    """
    told = differences(seen)
    runs = {mode: each.run if each.run is not None else each.raised for mode, each in seen.items()}
    return Comparison(
        tuple(seen),
        tuple(d for d in told if not accepted(d, ignore)),
        runs,  # type: ignore[arg-type] # one of the two is there
        tuple(d for d in told if accepted(d, ignore)),
    )


def observed(app: Celery, mode: str, workflow: Any, options: Mapping[str, Any]) -> Seen:
    """Run a workflow in one mode.

    Args:
        app: The app.
        mode: ``"eager"``, ``"worker"`` or ``"sim"``.
        workflow: A canvas, or a function without arguments that makes one.
        options: Further arguments of the mode's context manager.
    """
    with rolled_back(), _MODES[mode](app, **options) as flow:
        canvas = workflow.clone() if isinstance(workflow, Signature) else workflow()
        try:
            return Seen(canvas, run=flow.run(canvas))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - where it is raised is compared
            return Seen(canvas, raised=exc)
