"""Functions replaced wherever they were imported by name, and put back.

freezegun does this for the functions that read a clock; it does not for ``time.sleep``,
which must drive the simulation, and ``uuid.uuid4``, which must be seeded. A module is looked
through once and again only when its size has changed.

Not reached: a function that was bound as a default argument, stored in an object, or taken
by C code.
"""

from __future__ import annotations

import random
import sys
import time as _time
import uuid as _uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from freezegun import api as _freezegun

__all__ = [
    "SeededUuids",
    "cheap_module_cache",
    "real_functions",
    "real_monotonic",
    "real_sleep",
    "replaced",
]

# The real functions, held before anything can replace them. freezegun replaces module
# attributes by identity, so that these must not sit under a module-level name of their own.
_REAL: dict[str, Any] = {"sleep": _time.sleep, "monotonic": _time.monotonic, "uuid4": _uuid.uuid4}

#: Module name -> (what it looked like, names in it that hold one of our functions).
_sites: dict[str, tuple[tuple[int, int], list[tuple[str, Any]]]] = {}
_freezegun_sites: dict[str, Any] = {}


@contextmanager
def replaced(replacements: Mapping[Any, Any]) -> Iterator[None]:
    """Replace functions in every loaded module, and put them back."""
    if not replacements:
        yield
        return
    by_id = {id(real): stand_in for real, stand_in in replacements.items()}
    undo: list[tuple[dict[str, Any], str, Any]] = []
    for name, module in list(sys.modules.items()):
        if name == __name__ or name.startswith("_pytest"):
            _sites.setdefault(name, ((0, 0), []))  # it is not a late import
            continue
        for attribute, real in _holders(name, module):
            stand_in = by_id.get(id(real))
            if stand_in is not None and module.__dict__.get(attribute) is real:
                undo.append((module.__dict__, attribute, real))
                module.__dict__[attribute] = stand_in
    try:
        yield
    finally:
        for namespace, attribute, real in reversed(undo):
            namespace[attribute] = real
        _forget_late_imports(replacements)


def _holders(name: str, module: ModuleType) -> list[tuple[str, Any]]:
    namespace = getattr(module, "__dict__", None)
    if namespace is None:
        return []
    look = (id(namespace), len(namespace))
    known = _sites.get(name)
    if known is not None and known[0] == look:
        return known[1]
    wanted = {id(function) for function in _REAL.values()}
    found = [(k, v) for k, v in list(namespace.items()) if id(v) in wanted]
    _sites[name] = (look, found)
    return found


def _forget_late_imports(replacements: Mapping[Any, Any]) -> None:
    """A module first imported while time was virtual holds a stand-in: give it the real one."""
    real_of = {id(stand_in): real for real, stand_in in replacements.items()}
    for name, module in list(sys.modules.items()):
        if name not in _sites and isinstance(module, ModuleType):
            for attribute, value in list(module.__dict__.items()):
                real = real_of.get(id(value))
                if real is not None:
                    module.__dict__[attribute] = real


@contextmanager
def cheap_module_cache() -> Iterator[None]:
    """Let freezegun recognise an unchanged module by its size instead of its every name.

    Starting a freeze asks `dir()` of every loaded module, 9 ms with Celery loaded; a key of
    identity and length takes 2 ms. Only our own start uses it, with a cache of its own. It is
    a private function of freezegun (1.5): where it is missing, starting is merely slower.
    """
    names = ("_get_module_attributes_hash", "_GLOBAL_MODULES_CACHE")
    if not all(hasattr(_freezegun, name) for name in names):
        yield
        return
    kept = {name: getattr(_freezegun, name) for name in names}

    def look(module: ModuleType) -> str:
        namespace = getattr(module, "__dict__", {})
        return f"{id(namespace)}-{len(namespace)}"

    _freezegun._get_module_attributes_hash = look
    _freezegun._GLOBAL_MODULES_CACHE = _freezegun_sites
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(_freezegun, name, value)


def real_sleep(seconds_: float) -> None:
    """`time.sleep` itself, whatever the clock."""
    _REAL["sleep"](seconds_)


def real_monotonic() -> float:
    """`time.monotonic` itself, whatever the clock."""
    return float(_REAL["monotonic"]())


def real_functions() -> dict[str, Any]:
    """The real ``sleep``, ``monotonic`` and ``uuid4``, by name."""
    return dict(_REAL)


class SeededUuids:
    """A stand-in for `uuid.uuid4`: version-4 identifiers from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random()  # noqa: S311 - not for secrets
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begin anew."""
        self._random.seed(f"celeryflow-uuid-{seed}")

    def __call__(self) -> _uuid.UUID:
        """The next one."""
        return _uuid.UUID(int=self._random.getrandbits(128), version=4)
