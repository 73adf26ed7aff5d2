"""Where a worker finds the app: a path that another process can import."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from celery import Celery
from celery.app.utils import find_app

__all__ = ["found"]

_WAY_OUT = (
    "Name it: run_process('proj.celery:app'), or the ini option celeryflow_app = proj.celery:app. "
    "An app that a test makes, or that fixture celeryflow_app makes without that option, cannot "
    "be found by another process: test it in mode 'worker' or 'sim'"
)


def found(app_path: Any) -> tuple[str, Celery]:
    """The path of an app, and the app as this process has it.

    Args:
        app_path: ``"module:attribute"``, a module as for ``celery -A``, or an app that is an
            attribute of a module which can be imported.

    Raises:
        TypeError: It is neither.
        ValueError: There is no app, or none that another process can find.
    """
    if isinstance(app_path, Celery):
        return _path_of(app_path), app_path
    if not isinstance(app_path, str):
        raise TypeError(
            f"app_path={app_path!r} is neither a path such as 'proj.celery:app' nor a Celery app"
        )
    try:
        app = find_app(app_path)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ValueError(
            f"app_path={app_path!r} leads to no app: {_why(app_path, exc)}. It is "
            "'module:attribute', or a module, as for celery -A"
        ) from exc
    if not isinstance(app, Celery):
        raise ValueError(
            f"app_path={app_path!r} leads to {app!r}, which is not a Celery app. It is "
            "'module:attribute', or a module, as for celery -A"
        )
    return app_path, app


def _why(path: str, exc: Exception) -> str:
    """Celery tries the whole path as a module where it has no such attribute."""
    name, _, attribute = path.partition(":")
    module = sys.modules.get(name)
    if module is None or not attribute:
        return f"{type(exc).__name__}: {exc}"
    apps = [key for key, value in vars(module).items() if isinstance(value, Celery)]
    return f"{name} has no {attribute!r}; apps in it are: {', '.join(sorted(apps)) or 'none'}"


def _path_of(app: Celery) -> str:
    homes = []
    for name, module in list(sys.modules.items()):
        # Not `getattr`: a lazy module could import anything.
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is app:
                homes.append((name, attribute, module))
    for name, attribute, module in sorted(homes, key=lambda home: _rank(app, *home[:2])):
        if _importable(name, module):
            return f"{name}:{attribute}"
    where = ", ".join(sorted({name for name, _, _ in homes})) or "no module"
    raise ValueError(
        f"app_path={app!r}: a worker is another process, and cannot import this app. It is an "
        f"attribute of {where}. {_WAY_OUT}"
    )


def _rank(app: Celery, name: str, attribute: str) -> tuple[bool, bool, int, str]:
    """Its own module first, then shorter names."""
    return name != app.main, attribute not in ("app", "celery"), len(name), attribute


def _importable(name: str, module: ModuleType) -> bool:
    """Whether another process would find the same file under this name."""
    origin = getattr(module, "__file__", None)
    if name == "__main__" or origin is None:
        return False
    path: Any = None
    parts = name.split(".")
    for number in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:number]), path)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return spec is not None and spec.origin == origin
