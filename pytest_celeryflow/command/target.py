"""What ``module:attribute`` names: a canvas, a task, a function that returns a canvas, an app.

Everything that can be wrong with it is said in one `Unusable`, with what would do.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Unusable", "canvas", "found"]

_MOST = 12


class Unusable(Exception):
    """A target or an option that cannot be used; its text says why, and what would do."""


def found(target: str) -> Any:
    """What a target names.

    Args:
        target: ``module:attribute``.

    Raises:
        Unusable: There is no such module or attribute, or the module cannot be imported.
    """
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise Unusable(
            f"target {target!r} is not module:attribute, such as shop.tasks:checkout"
        )
    here: Any = _module(target, module_name)
    for name in path.split("."):
        if not hasattr(here, name):
            raise Unusable(f"target {target!r}: there is no {name!r}{_near(name, here)}")
        here = getattr(here, name)
    return here


def canvas(target: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
    """The canvas that a target names, or that the function that it names returns.

    Args:
        target: ``module:attribute``.
        args: What the function or the task is called with.
        kwargs: The same by name.

    Raises:
        Unusable: It is none, or the function cannot be called so.
    """
    from celery.canvas import Signature  # noqa: PLC0415 - only what is used is loaded

    named, given = found(target), dict(kwargs or {})
    if isinstance(named, Signature):
        if args or given:
            raise Unusable(
                f"target {target!r} is a canvas, which has its arguments: --args and --kwargs are "
                "for a task or a function"
            )
        return named
    if callable(getattr(named, "apply_async", None)) and hasattr(named, "run"):
        return named.s(*args, **given)
    if not callable(named) or isinstance(named, type):
        raise Unusable(_no_canvas(target, named, "is"))
    made = _called(target, named, args, given)
    if not isinstance(made, Signature):
        raise Unusable(_no_canvas(target, made, "returns"))
    return made


def _module(target: str, name: str) -> Any:
    _set_django_up()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            near = difflib.get_close_matches(exc.name.partition(".")[0], _modules_here(), n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise Unusable(
                f"target {target!r}: there is no module {exc.name!r} in {Path.cwd()} or on "
                f"Python's path{hint}"
            ) from exc
        raise Unusable(_failed(target, name, exc)) from exc
    except Exception as exc:
        raise Unusable(_failed(target, name, exc)) from exc


def _failed(target: str, name: str, exc: Exception) -> str:
    """Importing failed: what was raised, and by which line of whose file."""
    frames = [f for f in traceback.extract_tb(exc.__traceback__) if "importlib" not in f.filename]
    frames = [frame for frame in frames if frame.filename != __file__]
    here = str(Path.cwd())
    frames = [frame for frame in frames if frame.filename.startswith(here)] or frames
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    said = f"target {target!r}: importing {name!r} fails: {type(exc).__name__}: {exc}{where}"
    if type(exc).__name__ in ("ImproperlyConfigured", "AppRegistryNotReady"):
        said += "\nA Django project: set DJANGO_SETTINGS_MODULE, such as proj.settings"
    return said


def _set_django_up() -> None:
    """As ``celery -A`` does it, whose Django fixup does so before it imports tasks."""
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        try:
            django = importlib.import_module("django")
        except ImportError:
            return
        try:
            django.setup()
        except Exception as exc:
            raise Unusable(
                f"DJANGO_SETTINGS_MODULE={os.environ['DJANGO_SETTINGS_MODULE']}: django.setup() "
                f"fails: {type(exc).__name__}: {exc}"
            ) from exc


def _modules_here() -> list[str]:
    return [
        path.stem
        for path in Path.cwd().iterdir()
        if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").exists())
    ]


def _near(name: str, there: Any) -> str:
    near = difflib.get_close_matches(name, [n for n in dir(there) if not n.startswith("_")], n=3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    usable = _usable(there)
    return f"; what could be meant: {usable}" if usable else ""


def _usable(there: Any) -> str:
    """Names of a module's canvases, tasks, apps and own functions."""
    from celery import Celery  # noqa: PLC0415 - only what is used is loaded
    from celery.canvas import Signature  # noqa: PLC0415

    module = getattr(there, "__name__", None)
    names = [
        name
        for name, value in sorted(vars(there).items())
        if not name.startswith("_")
        and (
            isinstance(value, Signature | Celery)
            or (hasattr(value, "apply_async") and not isinstance(value, type))
            or (inspect.isfunction(value) and value.__module__ == module)
        )
    ]
    return ", ".join(names[:_MOST]) + (", …" if len(names) > _MOST else "")


def _called(
    target: str, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    name, signature = getattr(function, "__name__", "it"), inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as exc:
        raise Unusable(
            f"target {target!r} cannot be called as {name}({_listed(args, kwargs)}): {exc}. It is "
            f"{name}{signature}: give --args '[…]' or --kwargs '{{…}}', as JSON"
        ) from exc
    try:
        return function(*args, **kwargs)
    except Exception as exc:
        raise Unusable(
            f"target {target!r}: {name}({_listed(args, kwargs)}) raises {type(exc).__name__}: {exc}"
        ) from exc


def _listed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    return ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])


def _no_canvas(target: str, value: Any, verb: str) -> str:
    from celery import Celery  # noqa: PLC0415 - only what is used is loaded

    what = f"{verb} {'an' if type(value).__name__[0] in 'AEIOUaeiou' else 'a'} {type(value).__name__}"
    what = f"{verb} a Celery app" if isinstance(value, Celery) else what
    said = f"target {target!r} {what}; draw and run take a canvas, a task, or a function that returns one"
    module = importlib.import_module(target.partition(":")[0])
    usable = _usable(module)
    return f"{said}. In {module.__name__} are: {usable}" if usable else said
