"""Time: the virtual clock of ``sim``, laid over freezegun, and the real one of other modes.

freezegun already solves the hard part, replacing ``time.time``, ``datetime.now`` and the
rest wherever they were imported by name. What it leaves alone, ``time.sleep`` first of all,
is replaced in the same way by `replacing`.

The clock never moves by itself. Whoever owns it (the simulated world) sets a *driver*, and
every request to let time pass goes through that driver, so that nothing is skipped.

Not modelled: functions that bound ``time.monotonic`` or ``time.sleep`` as a default argument
before the clock was installed (Celery's own are known to `sim/quirks.py`), C code that asks
the operating system, and modules on freezegun's ignore list, such as ``threading``.
"""

from __future__ import annotations

import datetime as _datetime
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from freezegun import api as _freezegun
from freezegun import freeze_time

from pytest_celeryflow.durations import seconds
from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.replacing import real_monotonic, time_frozen
from pytest_celeryflow.ticking import ticks_driving

__all__ = ["Clock", "RealClock", "VirtualClock"]

_UTC = _datetime.UTC
_EPOCH = _freezegun.real_datetime(1970, 1, 1)
_MICROSECOND = _datetime.timedelta(microseconds=1)
_SECOND = 1_000_000

class Clock(Protocol):
    """What a flow offers as ``flow.clock``."""

    @property
    def now(self) -> _datetime.datetime:
        """The present moment, aware, in UTC."""

    @property
    def elapsed(self) -> float:
        """Seconds since the flow began."""

    def advance(self, duration: float | str | _datetime.timedelta) -> None:
        """Let time pass."""

    def advance_to(self, moment: _datetime.datetime | str) -> None:
        """Let time pass until a moment."""

    def at(
        self, when: float | str | _datetime.timedelta | _datetime.datetime, fn: Callable[[], Any]
    ) -> None:
        """Call a function at a later moment."""


class RealClock:
    """The clock of the modes that run in real time: it can be read and cannot be moved."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._start = real_monotonic()

    @property
    def now(self) -> _datetime.datetime:
        """The present moment, aware, in UTC."""
        return _datetime.datetime.now(_UTC)

    @property
    def elapsed(self) -> float:
        """Seconds since the flow began."""
        return float(real_monotonic() - self._start)

    def advance(self, duration: float | str | _datetime.timedelta) -> None:
        """Refused: only virtual time can be moved."""
        self._refuse("advance")

    def advance_to(self, moment: _datetime.datetime | str) -> None:
        """Refused: only virtual time can be moved."""
        self._refuse("advance_to")

    def at(
        self, when: float | str | _datetime.timedelta | _datetime.datetime, fn: Callable[[], Any]
    ) -> None:
        """Refused: only virtual time can be moved."""
        self._refuse("at")

    def _refuse(self, what: str) -> None:
        raise CeleryflowError(
            f"clock.{what}() needs virtual time, and mode {self._mode!r} runs in real time\n\n"
            "Next: use mode 'sim'."
        )


class VirtualClock:
    """Virtual time with microsecond resolution.

    The moment itself is kept by freezegun's topmost freeze, so that ``freeze_time`` of a
    user, before or during the simulation, and its ``tick`` and ``move_to``, are this clock.

    Args:
        start: The first moment, when no ``freeze_time`` is active.
    """

    def __init__(self, start: str | _datetime.datetime) -> None:
        self._start = moment(start, argument="start")
        self._pass: Callable[[int], None] | None = None
        self._call_at: Callable[[int, Callable[[], Any]], None] | None = None
        self._factory: Any = None
        self._seen: Any = None
        self._us = 0
        self._origin = 0
        #: The owner moves time just now; what freezegun does is done for it.
        self._jumping = False
        #: Whether time was real when this clock was installed, and no ``freeze_time`` active.
        self.replaces_real_time = False

    @contextmanager
    def installed(self, replacements: Mapping[Any, Any]) -> Iterator[None]:
        """Make this clock the time of the whole process, and replace further functions.

        Args:
            replacements: Real function -> its stand-in, in every module that holds it.
        """
        frozen = None
        self.replaces_real_time = not _freezegun.freeze_factories
        if self.replaces_real_time:
            # pytest measures the durations it reports with names of its own module.
            frozen = freeze_time(self._start.replace(tzinfo=None), ignore=["_pytest.timing"])
        with time_frozen(frozen, replacements), ticks_driving(self._ticked):
            self._factory = _freezegun.freeze_factories[-1]
            self._origin = self._read()
            try:
                yield
            finally:
                self._factory = None

    def driven_by(
        self,
        pass_until: Callable[[int], None],
        call_at: Callable[[int, Callable[[], Any]], None],
    ) -> None:
        """Let the owner carry out every wish to let time pass."""
        self._pass, self._call_at = pass_until, call_at

    @property
    def now(self) -> _datetime.datetime:
        """The present virtual moment, aware, in UTC."""
        return _from_us(self.us)

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the simulation began.

        Entering or leaving a ``freeze_time`` changes the date, not the time elapsed.
        """
        return (self.us - self._origin) / _SECOND

    @property
    def us(self) -> int:
        """The present moment in microseconds since 1970, UTC."""
        if self._factory is None:  # the simulation has ended: time stands still
            return self._us
        top = _freezegun.freeze_factories[-1]
        if top is not self._factory:
            before = self._us
            self._factory = top
            self._origin += self._read() - before
            return self._us
        return self._read()

    def _read(self) -> int:
        seen = self._factory()
        if seen is not self._seen:
            self._seen = seen
            self._us = (seen - _EPOCH) // _MICROSECOND
        return self._us

    def set_us(self, us: int) -> None:
        """Jump, running nothing. For the owner alone."""
        current = self.us
        if us == current:
            return
        target = _EPOCH + _datetime.timedelta(microseconds=us)
        self._jumping = True
        try:
            self._move(target)
        finally:
            self._jumping = False
        self._read()

    def _move(self, target: _datetime.datetime) -> None:
        if isinstance(self._factory, _freezegun.FrozenDateTimeFactory):
            self._factory.time_to_freeze = target
        else:
            self._factory.move_to(target)

    def _ticked(self, factory: Any, to: _datetime.datetime | float) -> bool:
        """A user's ``tick`` or ``move_to``: let that time pass, if it is this clock's to pass."""
        __tracebackhide__ = True
        mine = self._factory is not None and factory is _freezegun.freeze_factories[-1]
        if not mine or self._jumping or self._pass is None:
            return False
        now = self.us
        target = now + round(to * _SECOND) if isinstance(to, float) else (to - _EPOCH) // _MICROSECOND
        if target <= now:
            return False
        self._pass(target)
        return True

    def advance(self, duration: float | str | _datetime.timedelta) -> None:
        """Let virtual time pass: everything due meanwhile runs, at its own moment.

        Args:
            duration: Seconds, a ``timedelta``, or text such as ``"2h"``.

        Raises:
            ValueError: It is not a length of time.
        """
        self._until(self.us + round(seconds(duration) * _SECOND))

    def advance_to(self, moment_: _datetime.datetime | str) -> None:
        """Let virtual time pass until a moment (a naive one is read as UTC).

        Raises:
            ValueError: The moment lies in the past, or is not a moment.
        """
        target = moment(moment_, argument="moment")
        if target < self.now:
            raise ValueError(
                f"moment={target.isoformat()} lies before the present, {self.now.isoformat()}: "
                "virtual time only moves forward"
            )
        self._until(_to_us(target))

    def at(
        self, when: float | str | _datetime.timedelta | _datetime.datetime, fn: Callable[[], Any]
    ) -> None:
        """Call ``fn()`` at a later virtual moment, between two steps of the simulation.

        Args:
            when: A moment, or a length of time from now.
            fn: Called without arguments; what it raises reaches the test.

        Raises:
            ValueError: The moment lies in the past, or is none; ``fn`` cannot be called.
        """
        if not callable(fn):
            raise ValueError(f"fn={fn!r} cannot be called")
        if isinstance(when, _datetime.datetime):
            target = moment(when, argument="when")
            due = _to_us(target)
            if due < self.us:
                raise ValueError(
                    f"when={target.isoformat()} lies before the present, {self.now.isoformat()}"
                )
        else:
            due = self.us + round(seconds(when, argument="when") * _SECOND)
        if self._call_at is None or self._factory is None:
            raise CeleryflowError("this clock's simulation has ended")
        self._call_at(due, fn)

    def _until(self, us: int) -> None:
        if self._pass is None or self._factory is None:
            raise CeleryflowError("this clock's simulation has ended")
        self._pass(us)


def moment(value: str | _datetime.datetime, *, argument: str) -> _datetime.datetime:
    """A moment, aware, in UTC; naive ones are read as UTC.

    Raises:
        ValueError: It is neither a ``datetime`` nor text in ISO 8601.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            value = _freezegun.real_datetime.fromisoformat(value)
    if not isinstance(value, _datetime.datetime):
        raise ValueError(
            f"{argument}={value!r} is not a moment: give a datetime or ISO 8601 text "
            "such as '2026-01-01T00:00:00Z'"
        )
    return value.replace(tzinfo=_UTC) if value.tzinfo is None else value.astimezone(_UTC)


def _to_us(value: _datetime.datetime) -> int:
    return (value.astimezone(_UTC).replace(tzinfo=None) - _EPOCH) // _MICROSECOND


def _from_us(us: int) -> _datetime.datetime:
    return (_EPOCH + _datetime.timedelta(microseconds=us)).replace(tzinfo=_UTC)
