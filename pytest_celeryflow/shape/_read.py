"""Read a canvas into a `Shape`, without changing it and without a broker.

A signature is a dict; this module reads its keys (`task`, `args`, `kwargs`, `options`,
`subtask_type`, `immutable`), so a canvas that came through JSON is read alike, and nothing is
looked up in an app: a task need not be registered. Relies on the layouts that
`celery.canvas` gives `chain`, `group`, `chord`, `xmap`, `xstarmap` and `chunks`, which are
the same from Celery 5.4 to 5.7.

A `group(generator)` is read through Celery's own `regen`, which runs the generator once and
keeps what it yielded, as `group.apply_async` does afterwards from the same list.

Not modelled: ids and what freezing adds (`task_id`, `group_id`, `reply_to`, …); options
whose value is None, which Celery drops as well; options of a `group` that became a header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_celeryflow.shape._matchers import ANY, ANY_ARGS
from pytest_celeryflow.shape._model import Kind, Shape
from pytest_celeryflow.shape._unrolled import spliced, unrolled

__all__ = [
    "ANY_ORDER",
    "ANY_TASK_NAME",
    "IMMUTABLE",
    "MATCHER_NAMES",
    "NOTHING_NAME",
    "REPEATED_NAME",
    "is_id",
    "options_of",
    "read",
]

#: How the matchers of `_canvas.py` are recognised.
ANY_TASK_NAME = "celeryflow.ANY_TASK"
REPEATED_NAME = "celeryflow.repeated"
#: A member that is none: it keeps Celery from unrolling a group of one `repeated`.
NOTHING_NAME = "celeryflow.nothing"
MATCHER_NAMES = frozenset([ANY_TASK_NAME, REPEATED_NAME])
ANY_ORDER = "celeryflow_any_order"
#: How `_sent.py` lets a message remember that its signature was immutable.
IMMUTABLE = "celeryflow_immutable"

#: Options that a freeze gives to one workflow, to be wired by.
_IDS = frozenset(
    ["chain", "chord", "group_id", "group_index", "parent_id", "reply_to", "root_id", "task_id"]
)
#: `sig.clone(immutable=True)`, which Celery's own `link_error` uses, sets an option of that
#: name and leaves the signature as mutable as it was.
_NO_EFFECT = frozenset(["immutable"])
#: Options that identify or wire a message and so are no part of a shape.
_WIRING = _IDS | _NO_EFFECT | {
    "add_to_parent", "link", "link_error", "producer", "publisher", "route_name",
    "stamped_headers", "task_type", ANY_ORDER, IMMUTABLE,
}  # fmt: skip

_MAPS: dict[str, Kind] = {"xmap": "map", "xstarmap": "starmap", "chunks": "chunks"}


def read(canvas: Any, path: str = "canvas") -> Shape:
    """Read a signature or the dict of one.

    Args:
        canvas: What to read; `ANY` stands for any subtree.
        path: What to call it in an error.

    Raises:
        TypeError: Something in it is not a signature.
    """
    if isinstance(canvas, Shape):
        return canvas
    if canvas is ANY:
        return Shape(kind="any")
    if not isinstance(canvas, Mapping) or "task" not in canvas:
        raise TypeError(_not_a_signature(canvas, path))
    kind = canvas.get("subtask_type")
    if kind == "chain":
        return _composed("chain", canvas, canvas["kwargs"]["tasks"], path)
    if kind == "group":
        return _composed("group", canvas, canvas["kwargs"]["tasks"], path)
    if kind == "chord":
        return _chord(canvas, path)
    if kind in _MAPS or canvas["task"] in ("celery.map", "celery.starmap", "celery.chunks"):
        return _map(_MAPS.get(kind or "", canvas["task"].rpartition(".")[2]), canvas, path)
    if canvas["task"] == REPEATED_NAME:
        return Shape(kind="repeated", children=(read(canvas["kwargs"]["sig"], path),))
    own = _own(canvas, path)
    if canvas["task"] == ANY_TASK_NAME:
        return Shape(kind="any_task", **own)
    return Shape(
        kind="task",
        name=_name(canvas["task"]),
        args=tuple(canvas.get("args") or ()),
        kwargs=canvas.get("kwargs") or {},
        immutable=bool(canvas.get("immutable")),
        **own,
    )


def is_id(option: str) -> bool:
    """Tell whether an option only wires one particular workflow together."""
    return option in _IDS


def options_of(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split execution options into those that are part of a shape, and stamps."""
    stamped = set(options.get("stamped_headers") or ())
    plain: dict[str, Any] = {}
    stamps: dict[str, Any] = {}
    for key, value in options.items():
        if key in stamped:
            stamps[key] = value
        elif key not in _WIRING and value is not None:
            plain[key] = value
    return plain, stamps


def _own(canvas: Mapping[str, Any], path: str) -> dict[str, Any]:
    options, stamps = options_of(canvas.get("options") or {})
    return {
        "options": options,
        "stamps": stamps,
        "links": _callbacks(canvas, "link", path),
        "errbacks": _callbacks(canvas, "link_error", path),
    }


def _callbacks(canvas: Mapping[str, Any], option: str, path: str) -> tuple[Shape, ...]:
    found = (canvas.get("options") or {}).get(option)
    if not found:
        return ()
    several = [found] if isinstance(found, Mapping) or not isinstance(found, Iterable) else found
    return tuple(read(each, f"{path}.{option}[{index}]") for index, each in enumerate(several))


def _composed(kind: Kind, canvas: Mapping[str, Any], tasks: Any, path: str) -> Shape:
    members = _members(tasks)
    children = _read_all(members, path)
    if kind == "chain":
        chords = [isinstance(m, Mapping) and m.get("subtask_type") == "chord" for m in members]
        children = spliced(zip(chords, children, strict=True))
    return Shape(
        kind=kind,
        children=children,
        args=tuple(canvas.get("args") or ()),
        immutable=bool(canvas.get("immutable")),
        any_order=kind == "group" and _any_order(members),
        **_own(canvas, path),
    )


def _chord(canvas: Mapping[str, Any], path: str) -> Shape:
    members = _members(canvas["kwargs"]["header"])
    body = canvas["kwargs"].get("body")
    chord = Shape(
        kind="chord",
        children=_read_all(members, f"{path}.header"),
        body=None if body is None else read(body, f"{path}.body"),
        args=tuple(canvas.get("args") or ()),
        kwargs=canvas["kwargs"].get("kwargs") or {},
        immutable=bool(canvas.get("immutable")),
        any_order=_any_order(members),
        **_own(canvas, path),
    )
    return unrolled(chord)


def _members(tasks: Any) -> list[Any]:
    """List what a group holds; a header that was frozen or stamped is itself a group."""
    if isinstance(tasks, Mapping) and tasks.get("subtask_type") == "group":
        tasks = tasks["kwargs"]["tasks"]
    out: list[Any] = []
    for task in [tasks] if isinstance(tasks, Mapping) else tasks:
        if isinstance(task, Mapping) and task.get("task") == REPEATED_NAME:
            times = task["kwargs"]["n"]
            out.extend([task] if times is ANY else [task["kwargs"]["sig"]] * times)
        elif not isinstance(task, Mapping) or task.get("task") != NOTHING_NAME:
            out.append(task)
    return out


def _read_all(members: list[Any], path: str) -> tuple[Shape, ...]:
    return tuple(read(each, f"{path}[{index}]") for index, each in enumerate(members))


def _any_order(members: list[Any]) -> bool:
    return any(
        isinstance(each, Mapping) and ANY_ORDER in (each.get("options") or {}) for each in members
    )


def _map(kind: str, canvas: Mapping[str, Any], path: str) -> Shape:
    mapped = canvas["kwargs"]["task"]
    if isinstance(mapped, Mapping):
        inner = read(mapped, f"{path}.task")
    else:
        inner = Shape(kind="task", name=_name(mapped))
    return Shape(
        kind=kind,  # type: ignore[arg-type]
        name=inner.name,
        children=(inner,),
        items=_items(canvas["kwargs"]["it"]),
        size=canvas["kwargs"].get("n"),
        **_own(canvas, path),
    )


def _items(it: Any) -> tuple[Any, ...]:
    """What a map goes over; `ANY` for it is `ANY_ARGS` in it."""
    if getattr(it, "_regen__it", None) is ANY:  # `celery.utils.functional.regen` asks for no item
        return (ANY_ARGS,)
    return tuple(it)


def _name(task: Any) -> str:
    return str(getattr(task, "name", task))


def _not_a_signature(found: Any, path: str) -> str:
    if hasattr(found, "apply_async") and hasattr(found, "name"):
        return f"{path} is the task {found.name}; write {found.name.rpartition('.')[2]}.s(…)"
    if isinstance(found, list | tuple):
        return f"{path} is a {type(found).__name__}; write group(…) or chain(…) around it"
    return f"{path} is {type(found).__name__}, not a signature, chain, group or chord"
