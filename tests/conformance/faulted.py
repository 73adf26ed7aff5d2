"""Workflows in which something goes wrong from outside: more for the list."""

from __future__ import annotations

from typing import Any

from celery import chain, chord, group

from pytest_celeryflow import CrashPoint, Flow
from pytest_celeryflow.faults import (
    BackendFail,
    Crash,
    Delay,
    Drop,
    Duplicate,
    Fail,
    Hang,
    InjectedError,
    Redeliver,
)

from . import tasks as t
from .workflow import Hangs, Raises, Workflow, header, w, with_errback, with_link

LOST = Raises("WorkerLostError")


def failing(name: str, canvas: Any, end: Any, *planned: Any, **more: Any) -> Workflow:
    """A body that raises: ``(task, options of faults.fail)``."""

    def faults(flow: Flow) -> None:
        for task, options in planned:
            flow.faults.fail(task, **options)

    return w(name, canvas, end, faults=faults, needs=(Fail,), **more)


def one(kind: type, method: str, name: str, canvas: Any, end: Any, *args: Any, **more: Any) -> Workflow:
    """One fault of a kind: its task, and arguments of its method."""
    options = more.pop("options", {})

    def faults(flow: Flow) -> None:
        plan: Any = flow.faults
        for part in method.split("."):
            plan = getattr(plan, part)
        plan(*args, **options)

    return w(name, canvas, end, faults=faults, needs=(kind,), **more)


BODIES = [
    failing("a body that is made to fail", lambda: t.add.s(1, 2), Raises(InjectedError), ("add", {})),
    failing("with an exception of one's own", lambda: t.add.s(1, 2), Raises(t.Refused), ("add", {"exc": t.Refused(3, "told")})),
    failing("after the body", lambda: t.launches.s(1), Raises(InjectedError), ("launches", {"when": "after"}), ran={"add": 2}),
    failing("autoretry after an injected failure", lambda: t.stubborn.s(5), [1, 5], ("stubborn", {}), ran={"stubborn": 2}),
    failing("autoretry after three", lambda: t.stubborn.s(5), [3, 5], ("stubborn", {"times": 3}), ran={"stubborn": 4}),
    failing("autoretry without end", lambda: t.stubborn.s(5), Raises(InjectedError), ("stubborn", {"times": None}), ran={"stubborn": 4}),
    failing("the second of three", lambda: group(header(1, 2, 3)), Raises(InjectedError), ("ident", {"nth": 2}), ran={"ident": 3}),
    failing("the first step fails", lambda: chain(t.ident.s(1), t.note.s()), Raises(InjectedError), ("ident", {}), ran={"note": 0}),
    failing("a later step fails", lambda: chain(t.ident.s(1), t.add.s(1), t.note.s()), Raises(InjectedError), ("add", {}), ran={"note": 0}),
    failing("one of a header fails", lambda: chord(header(1, 2), t.total.s()), Raises(InjectedError), ("ident", {"nth": 2}), ran={"total": 0}),
    failing("the body of a chord fails", lambda: chord(header(1, 2), t.total.s()) | t.note.s(), Raises(InjectedError), ("total", {}), ran={"note": 0}),
    failing("a retry of a header after a failure", lambda: chord([t.stubborn.s(1), t.ident.s(1)], t.collect.s()), [[[1, 1], 1]], ("stubborn", {})),
    failing("an errback after an injected failure", lambda: with_errback(t.add.s(1, 2), t.on_error.s()), Raises(InjectedError), ("add", {}), ran={"noted": 1}),
    failing("a link that fails", lambda: with_link(t.ident.s(1), t.note.s()), 1, ("note", {})),
    failing("a replacement that fails", lambda: t.replaced_by_chain.s(3), Raises(InjectedError), ("mul", {})),
    one(Delay, "delay", "a slow body", lambda: t.ident.s(1) | t.add.s(1), 2, "ident", 0.02),
    one(Delay, "delay", "a slow part of a header", lambda: chord(header(1, 2, 3), t.total.s()), 6, "ident", 0.02, concurrency=3),
    one(Hang, "hang", "a body that hangs, with a limit", lambda: t.limited.s(1), Raises("SoftTimeLimitExceeded"), "limited"),
    one(Hang, "hang", "one of a header hangs, with a limit", lambda: chord([t.limited.s(1), t.ident.s(1)], t.total.s()), Raises("SoftTimeLimitExceeded"), "limited", ran={"total": 0}),
]

MESSAGES = [
    one(Duplicate, "duplicate", "a duplicate", lambda: t.ident.s(1), 1, "ident", ran={"ident": 2}),
    one(Duplicate, "duplicate", "a duplicate in a chain", lambda: t.ident.s(1) | t.note.s(), "noted", "ident", ran={"ident": 2, "note": 2}),
    one(Duplicate, "duplicate", "a duplicate of a last step", lambda: t.ident.s(1) | t.note.s(), "noted", "note", ran={"note": 2}),
    one(Drop, "drop", "a dropped message", lambda: t.ident.s(1), Hangs(), "ident", ran={"ident": 0}),
    one(Drop, "drop", "a dropped step", lambda: t.ident.s(1) | t.note.s(), Hangs(), "note", ran={"ident": 1, "note": 0}),
    one(Drop, "drop", "a dropped part of a header", lambda: chord([t.ident.s(1), t.add.s(1, 1)], t.total.s()), Hangs(), "add", ran={"ident": 1, "total": 0}),
    one(Drop, "drop", "a dropped body", lambda: chord(header(1, 2), t.total.s()), Hangs(), "total", ran={"ident": 2, "total": 0}),
    one(Drop, "drop", "a dropped link", lambda: with_link(t.ident.s(1), t.note.s()), 1, "note", ran={"note": 0}),
    one(Redeliver, "redeliver", "a lost acknowledgement", lambda: t.late.s(1), 1, "late", ran={"late": 2}),
    one(Redeliver, "redeliver", "a lost acknowledgement in a chain", lambda: t.late.s(1) | t.note.s(), "noted", "late", ran={"late": 2, "note": 2}),
    one(Redeliver, "redeliver", "a lost early acknowledgement", lambda: t.ident.s(1), 1, "ident", ran={"ident": 2}),
]

STORE = [
    one(BackendFail, "backend.fail", "a result that cannot be stored", lambda: t.ident.s(1), Raises("ConnectionError"), options={"op": "store_result"}),
    one(BackendFail, "backend.fail", "a result that cannot be stored, in a chain", lambda: t.ident.s(1) | t.note.s(), Raises("ConnectionError"), options={"op": "store_result"}, ran={"note": 1}),
]


def crash(name: str, canvas: Any, end: Any, task: str, at: CrashPoint, **more: Any) -> Workflow:
    return one(Crash, "crash", name, canvas, end, task, options={"at": at, **more.pop("options", {})}, **more)


CRASHES = [
    crash("killed in the body", lambda: t.ident.s(1), LOST, "ident", CrashPoint.IN_BODY, ran={"ident": 1}),
    crash("killed in the body, acks_late", lambda: t.late.s(1), LOST, "late", CrashPoint.IN_BODY, ran={"late": 1}),
    crash("killed in the body, to be run again", lambda: t.late_again.s(1), 1, "late_again", CrashPoint.IN_BODY, ran={"late_again": 2}),
    crash("killed in a chain", lambda: t.ident.s(1) | t.note.s(), LOST, "ident", CrashPoint.IN_BODY, ran={"note": 0}),
    crash("killed in a chain, to be run again", lambda: t.late_again.s(1) | t.note.s(), "noted", "late_again", CrashPoint.IN_BODY, ran={"note": 1}),
    crash("killed in a header", lambda: chord([t.ident.s(1), t.add.s(1, 1)], t.total.s()), LOST, "add", CrashPoint.IN_BODY, ran={"total": 0}),
    crash("killed in a header, to be run again", lambda: chord([t.ident.s(1), t.late_again.s(2)], t.total.s()), 3, "late_again", CrashPoint.IN_BODY),
    crash("killed in the body of a chord", lambda: chord(header(1, 2), t.total.s()), LOST, "total", CrashPoint.IN_BODY),
    crash("killed before the result", lambda: t.late_again.s(1), 1, "late_again", CrashPoint.BEFORE_RESULT, ran={"late_again": 2}),
    crash("killed before the callbacks", lambda: t.late_again.s(1) | t.note.s(), "noted", "late_again", CrashPoint.BEFORE_CALLBACKS, ran={"note": 1}),
    crash("killed after the callbacks", lambda: t.late_again.s(1) | t.note.s(), "noted", "late_again", CrashPoint.AFTER_CALLBACKS, ran={"note": 2}),
    crash("killed with an errback", lambda: with_errback(t.ident.s(1), t.on_error.s()), LOST, "ident", CrashPoint.IN_BODY, ran={"noted": 1}),
]

FAULTED = [*BODIES, *MESSAGES, *STORE, *CRASHES]
