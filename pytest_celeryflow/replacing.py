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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from operator import eq, is_
from types import ModuleType
from typing import Any

from freezegun import api as _freezegun

__all__ = [
    "SeededUuids",
    "real_functions",
    "real_monotonic",
    "real_sleep",
    "time_frozen",
]

# The real functions, held before anything can replace them. freezegun replaces module
# attributes by identity, so that these must not sit under a module-level name of their own.
_REAL: dict[str, Any] = {"sleep": _time.sleep, "monotonic": _time.monotonic, "uuid4": _uuid.uuid4}

#: What `_look_through` found out about each module, by its name.
_known: dict[str, _Findings] = {}


@dataclass(slots=True)
class _Findings:
    """What a module held when it was last looked through."""

    look: tuple[int, int]
    #: Name -> one of our functions.
    ours: list[tuple[str, Any]]
    #: Whether it holds something that freezegun replaces.
    clocks: bool


@cache
def _clocks() -> frozenset[int]:
    """What freezegun replaces and what it replaces it with: a module may be seen frozen first."""
    stand_ins = {id(v) for k, v in vars(_freezegun).items() if k.lower().startswith("fake")}
    real = getattr(_freezegun, "_real_time_object_ids", None)
    return frozenset(real | stand_ins) if real else frozenset()


def _look_through() -> list[tuple[str, ModuleType, _Findings]]:
    """Each loaded module that holds a function to replace; one that is unchanged costs nothing."""
    modules = list(sys.modules.values())
    if _last.still_true_of(modules):
        return _last.holders
    wanted = {id(function) for function in _REAL.values()}
    clocks = _clocks()
    holders = []
    for name, module in list(sys.modules.items()):
        namespace = getattr(module, "__dict__", None)
        if namespace is None or name == __name__:
            continue
        look = (id(namespace), len(namespace))
        found = _known.get(name)
        if found is None or found.look != look:
            values = list(namespace.items())
            found = _known[name] = _Findings(
                look,
                [(k, v) for k, v in values if id(v) in wanted],
                not clocks or any(id(v) in clocks for _, v in values),
            )
        if found.ours or found.clocks:
            holders.append((name, module, found))
    _last.note(modules, holders)
    return holders


class _LastLook:
    """What the last look through all modules found, for as long as none was added or has grown."""

    def __init__(self) -> None:
        self.holders: list[tuple[str, ModuleType, _Findings]] = []
        self._modules: list[ModuleType] = []
        self._namespaces: list[dict[str, Any]] = []
        self._sizes: list[int] = []

    def note(
        self, modules: list[ModuleType], holders: list[tuple[str, ModuleType, _Findings]]
    ) -> None:
        self._modules, self.holders = modules, holders
        self._namespaces = [getattr(module, "__dict__", _NONE) for module in modules]
        self._sizes = list(map(len, self._namespaces))

    def still_true_of(self, modules: list[ModuleType]) -> bool:
        """Two passes in C over a thousand modules: every simulated test begins with them."""
        return (
            len(modules) == len(self._modules)
            and all(map(is_, modules, self._modules))
            and all(map(eq, map(len, self._namespaces), self._sizes))
        )


_NONE: dict[str, Any] = {}
_last = _LastLook()


@contextmanager
def time_frozen(frozen: Any, replacements: Mapping[Any, Any]) -> Iterator[None]:
    """Start a freeze of freezegun's, replace functions in every loaded module, and undo both.

    Args:
        frozen: What ``freeze_time`` returned, or ``None`` when one is active already.
        replacements: Real function -> its stand-in.
    """
    holders = _look_through()
    before = set(sys.modules)
    undo: list[tuple[dict[str, Any], str, Any]] = []
    with ExitStack() as stack:
        if frozen is not None:
            with _freezegun_sees({name: module for name, module, found in holders if found.clocks}):
                frozen.start()
            stack.callback(_stop, frozen, before)
        stack.callback(_forget_late_imports, replacements, before)
        by_id = {id(real): stand_in for real, stand_in in replacements.items()}
        for name, module, found in holders:
            if name.startswith("_pytest"):
                continue
            for attribute, real in found.ours:
                stand_in = by_id.get(id(real))
                if stand_in is not None and module.__dict__.get(attribute) is real:
                    undo.append((module.__dict__, attribute, real))
                    module.__dict__[attribute] = stand_in
        try:
            yield
        finally:
            for namespace, attribute, real in reversed(undo):
                namespace[attribute] = real


def _stop(frozen: Any, before: set[str]) -> None:
    with _freezegun_sees(_late_imports(before)):
        frozen.stop()


def _late_imports(before: set[str]) -> dict[str, ModuleType]:
    return {name: sys.modules[name] for name in sys.modules.keys() - before}


def _forget_late_imports(replacements: Mapping[Any, Any], before: set[str]) -> None:
    """A module first imported while time was virtual holds a stand-in: give it the real one."""
    real_of = {id(stand_in): real for real, stand_in in replacements.items()}
    for module in _late_imports(before).values():
        if isinstance(module, ModuleType):
            for attribute, value in list(module.__dict__.items()):
                real = real_of.get(id(value))
                if real is not None:
                    module.__dict__[attribute] = real


class _Sys:
    """`sys` with other modules."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self.modules = modules

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


@contextmanager
def _freezegun_sees(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Let freezegun look at these modules alone while it starts or stops.

    It asks `dir()` of every loaded module, 9 ms with Celery loaded, and looks each up again.
    Its ``sys`` and its cache are private (freezegun 1.5): where they are missing, starting is
    merely slower.
    """
    ours = {
        "sys": _Sys(modules),
        "_get_module_attributes_hash": _look,
        "_GLOBAL_MODULES_CACHE": _freezegun_cache,
    }
    if not all(hasattr(_freezegun, name) for name in ours):
        yield
        return
    kept = {name: getattr(_freezegun, name) for name in ours}
    vars(_freezegun).update(ours)
    try:
        yield
    finally:
        vars(_freezegun).update(kept)


def _look(module: ModuleType) -> str:
    namespace = getattr(module, "__dict__", {})
    return f"{id(namespace)}-{len(namespace)}"


_freezegun_cache: dict[str, Any] = {}


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
