"""`ANY` and `ANY_ARGS`: the matchers that stand for arguments.

`ANY` compares equal to everything, like `unittest.mock.ANY` (which works as well).
`ANY_ARGS` stands for the remaining arguments of a call, positional and by keyword. Both pass
unharmed through Celery's clone, freeze and deepcopy, so they may be written into a canvas.

Relies on no Celery symbol. The matchers that stand for tasks are signatures and live in
`_canvas.py`.
"""

from __future__ import annotations

from typing import Any, Final, Self

__all__ = ["ANY", "ANY_ARGS"]


class _Singleton:
    """A value that is itself after every kind of copying."""

    _name = ""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return self._name


class _Any(_Singleton):
    _name = "ANY"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class _AnyArgs(_Singleton):
    _name = "ANY_ARGS"


#: Equal to any one value: `resize.s(ANY, width=100)`.
ANY: Final[Any] = _Any()

#: The rest of the arguments, whatever they are: `resize.s("in.png", ANY_ARGS)`.
ANY_ARGS: Final[Any] = _AnyArgs()
