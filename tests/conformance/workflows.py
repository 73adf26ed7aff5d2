"""The list of workflows that every mode must agree on, each with what must come of it.

A workflow is a function, because a canvas remembers the ids that it was published with.
"""

from __future__ import annotations

from celery import chain, chord, group
from celery.exceptions import MaxRetriesExceededError
from kombu.exceptions import EncodeError

from . import tasks as t
from .workflow import (
    BEFORE_57,
    PAST,
    REJECTED,
    Anything,
    Hangs,
    Raises,
    header,
    on_a_database,
    stamped,
    w,
    with_errback,
    with_link,
)

SINGLE = [
    w("task", lambda: t.add.s(1, 2), 3),
    w("keyword arguments", lambda: t.collect.s(1, b=2), [[1], {"b": 2}]),
    w("partial", lambda: t.add.s(2).clone((1,)), 3),
    w("none", lambda: t.ident.s(None), None),
    w("a task by its name", t.named.s, "named"),
    w("shared_task", lambda: t.shared.s(1), ["shared", 1]),
    w("bind", lambda: t.bound_method.s(1), ["bound_method", 1]),
    w("a class with __call__", lambda: t.counted.s(1), ["called", 1]),
    w("state on the class", t.remembers.s, True),
    w("update_state", t.progress.s, "PROGRESS"),
    w(
        "ignore_result",
        lambda: t.silent.s(1),
        None,
        ran={"silent": 1},
    ),
    w("ignore_result as an option", lambda: t.add.s(1, 2).set(ignore_result=True), None),
    w("acks_late", lambda: t.late.s(1), 1),
    w("tuples become lists", lambda: t.ident.s((1, (2,))), [1, [2]]),
    w(
        "pickle",
        lambda: t.pickled.s({1, 2}).set(serializer="pickle"),
        [1, 2],
        config={"accept_content": ["json", "pickle"], "result_serializer": "pickle"},
    ),
    w(
        "request of a single task",
        lambda: t.told.s(1, a=2).set(headers={"trace": "x"}, queue="elsewhere", priority=4),
        {
            "args": [1],
            "kwargs": {"a": 2},
            "retries": 0,
            "eager": False,
            "called_directly": False,
            "redelivered": False,
            "queue": "elsewhere",
            "hostname": "celery@w1",
            "parent": True,
            "root": True,
            "group": True,
            "chord": None,
            "ignore_result": False,
            "headers": "x",
            "correlation": True,
            "expires": None,
            "eta": None,
            "timelimit": [None, None],
            "delivery": 4,
        },
    ),
    w("chain that is still to come", lambda: t.chained_on.s(1) | t.note.s() | t.note.s(), "noted"),
    w("too many arguments", lambda: t.untyped.s(1, 2), Raises(TypeError)),
    w(
        "a result that JSON cannot carry",
        t.returns_unserialisable.s,
        Raises(EncodeError),
        instead=on_a_database(Anything(), "a database has it pickled"),
    ),
    w("a task that publishes", lambda: t.launches.s(1), 1, ran={"add": 2, "mul": 1}),
]

FAILURES = [
    w("exception", t.fail.s, Raises(ValueError, "no")),
    w("exception of one's own", t.refuse.s, Raises(t.Refused)),
    w("exception with odd arguments", t.odd_error.s, Raises("UnpickleableExceptionWrapper")),
    w(
        "SystemExit",
        t.system_exit.s,
        # billiard 4.3 reports it as the task's exception, which JSON cannot carry; Celery
        # 5.7 turns it into a lost worker first (`celery/worker/request.py:on_failure`).
        Hangs() if BEFORE_57 else Raises("WorkerLostError", "Worker exited prematurely: exitcode 1."),
        instead={
            "worker": (Hangs(), "a thread cannot exit as a process does: nobody is told"),
            **on_a_database(Raises("SystemExit"), "a database has it pickled"),
        },
    ),
    w("Reject", t.reject.s, REJECTED, ran={"reject": 1}),
    w("Reject with acks_late", t.reject_late.s, REJECTED, ran={"reject_late": 1}),
    w("Reject and requeue", t.reject_once.s, "second", ran={"reject_once": 2}),
    w("Ignore", t.ignore.s, Hangs(), ran={"ignore": 1}),
    w("Ignore with a state", t.ignore_with_state.s, Hangs()),
    w("acks_late and failing", t.late_failing.s, Raises(ValueError)),
    w("expired", lambda: t.add.s(1, 2).set(expires=PAST), Raises("TaskRevokedError", "expired")),
    w("SoftTimeLimitExceeded raised", t.soft_limit.s, Raises("SoftTimeLimitExceeded")),
    w(
        "a hook that fails",
        lambda: t.broken_hook.s(1),
        1,
        instead=on_a_database(Raises(RuntimeError), "a failure takes the place of a success"),
    ),
]

RETRIES = [
    w("retry until it works", lambda: t.flaky.s(2), 2, ran={"flaky": 3}),
    w("retry without end", t.hopeless.s, Raises(t.Refused), ran={"hopeless": 3}),
    w(
        "retry without a cause",
        t.hopeless_without_cause.s,
        Raises(MaxRetriesExceededError),
        ran={"hopeless_without_cause": 3},
    ),
    w("retry within except", t.retry_within_except.s, Raises(MaxRetriesExceededError)),
    w("retry with other arguments", lambda: t.retry_with_other_args.s(0), 2),
    w(
        "retry with throw=False",
        t.retry_without_raising.s,
        "first",
        instead=on_a_database("second", "a later success takes the place of an earlier one"),
    ),
    w("Retry raised by hand", t.raise_retry.s, Hangs(), ran={"raise_retry": 1}),
    w("autoretry_for with backoff", lambda: t.auto.s(2), 2, ran={"auto": 3}),
    w("autoretry_for, in vain", lambda: t.auto.s(9), Raises(t.Refused), ran={"auto": 4}),
    w("dont_autoretry_for", t.auto_but.s, Raises(KeyError), ran={"auto_but": 1}),
    w("retry in a chain", lambda: t.flaky.si(1) | t.add.s(10), 11),
    w("retry in a chord", lambda: chord([t.flaky.s(2), t.ident.s(1)], t.total.s()), 3),
    w("retry in a body", lambda: chord([t.ident.s(1)], t.flaky.si(1)), 1),
    w(
        "max_retries in a chord",
        lambda: chord([t.hopeless.s(), t.ident.s(1)], t.total.s()),
        Raises(t.Refused),
    ),
]

CHAINS = [
    w("chain", lambda: chain(t.add.s(1, 2), t.mul.s(3), t.add.s(4)), 13),
    w("pipe", lambda: t.add.s(1, 2) | t.mul.s(3), 9),
    w("chain of chains", lambda: chain(chain(t.add.s(1, 2), t.mul.s(3)), chain(t.add.s(1))), 10),
    w("immutable", lambda: t.add.s(1, 2) | t.add.si(10, 20), 30),
    w("failing chain", lambda: t.fail.s() | t.note.s(), Raises(ValueError), ran={"note": 0}),
    w("failing in the middle", lambda: t.ident.s(1) | t.refuse.s() | t.note.s(), Raises(t.Refused)),
    w("chain of one", lambda: chain(t.add.s(1, 2)), 3),
    w("family in a chain", lambda: t.note.s() | t.family.s(), [False, False, True]),
    w("Ignore in a chain", lambda: t.ignore.s() | t.note.s(), Hangs(), ran={"note": 0}),
    w("Reject in a chain", lambda: t.reject.s() | t.note.s(), REJECTED, ran={"note": 0}),
    w("ignore_result in a chain", lambda: t.silent.s(1) | t.add.s(2), 3),
    w(
        "expired in a chain",
        lambda: t.ident.s(1) | t.ident.s().set(expires=PAST),
        Raises("TaskRevokedError"),
    ),
]

GROUPS = [
    w("group", lambda: group(t.add.s(i, i) for i in range(4)), [0, 2, 4, 6]),
    w("group of one", lambda: group(t.add.s(1, 1)), [2]),
    w("empty group", group, []),
    w("group with a partial", lambda: t.ident.s(1) | group(t.add.s(1), t.add.s(2)), [2, 3]),
    w(
        "group of chains",
        lambda: group(t.ident.s(1) | t.add.s(1), t.ident.s(2) | t.add.s(1)),
        [2, 3],
    ),
    w("group of groups", lambda: group(group(t.ident.s(1), t.ident.s(2)), t.ident.s(3)), [1, 2, 3]),
    w("failing member", lambda: group(t.ident.s(1), t.fail.s()), Raises(ValueError)),
    w("group, then task", lambda: group(t.ident.s(1), t.ident.s(2)) | t.total.s(), 3),
    w(
        "two groups",
        lambda: group(t.ident.s(1), t.ident.s(2)) | group(t.total.s(), t.total.s()),
        [3, 3],
    ),
    w("map", lambda: t.ident.map([1, 2, 3]), [1, 2, 3]),
    w("starmap", lambda: t.add.starmap([(1, 2), (3, 4)]), [3, 7]),
    w("chunks", lambda: t.add.chunks([(i, i) for i in range(5)], 2).group(), [[0, 2], [4, 6], [8]]),
    w(
        "chunks, then task",
        lambda: t.add.chunks([(i, i) for i in range(4)], 2).group() | t.note.s(),
        "noted",
    ),
]


CHORDS = [
    w("chord", lambda: chord(header(1, 2, 3), t.total.s()), 6, ran={"ident": 3, "total": 1}),
    w("chord of one", lambda: chord(header(5), t.total.s()), 5),
    w("empty chord", lambda: chord([], t.total.s()), 0),
    w("chord, then task", lambda: chord(header(1, 2), t.total.s()) | t.add.s(10), 13),
    w("task, then chord", lambda: t.ident.s(1) | chord([t.add.s(1), t.add.s(2)], t.total.s()), 5),
    w("chord of chains", lambda: chord([t.ident.s(1) | t.add.s(1), t.ident.s(5)], t.total.s()), 7),
    w(
        "chord of chords",
        lambda: chord([chord(header(1, 2), t.total.s()), t.ident.s(3)], t.total.s()),
        6,
    ),
    w("chord with a chain as body", lambda: chord(header(1, 2), t.total.s() | t.add.s(1)), 4),
    w(
        "chord with a group as body",
        lambda: chord(header(1, 2), group(t.total.s(), t.total.s())),
        [3, 3],
    ),
    w(
        "chord with a chord as body",
        lambda: chord(header(1, 2), chord([t.total.s(), t.total.s()], t.total.s())),
        6,
    ),
    w(
        "chord after chord",
        lambda: chord(header(1, 2), t.total.s()) | chord([t.add.s(1), t.add.s(2)], t.total.s()),
        9,
    ),
    w("group in a header", lambda: chord([group(header(1, 2)), t.ident.s(3)], t.note.s()), "noted"),
    w(
        "group of chords",
        lambda: group(chord(header(1), t.total.s()), chord(header(2), t.total.s())),
        [1, 2],
    ),
    w(
        "chain that ends in a group, in a header",
        lambda: chord([t.ident.s(1) | group(t.add.s(1), t.add.s(2))], t.note.s()),
        "noted",
        concurrency=4,
    ),
    w("immutable body", lambda: chord(header(1, 2), t.note.si()), "noted"),
    w(
        "failing header",
        lambda: chord([t.ident.s(1), t.fail.s()], t.total.s()),
        Raises(ValueError),
        ran={"total": 0},
    ),
    w(
        "all of the header fails",
        lambda: chord([t.fail.s(), t.refuse.s()], t.total.s()),
        Raises(ValueError),
        ran={"total": 0},
    ),
    w("failing body", lambda: chord(header(1), t.fail.s()), Raises(ValueError)),
    w(
        "failing header in a chain",
        lambda: t.ident.s(1) | chord([t.add.s(1), t.refuse.s()], t.total.s()) | t.note.s(),
        Raises(t.Refused),
        ran={"note": 0},
    ),
    w(
        "failing inner chord",
        lambda: chord([chord([t.fail.s(), t.ident.s(1)], t.total.s()), t.ident.s(2)], t.total.s()),
        Raises("ChordError"),
    ),
    w(
        "Ignore in a header",
        lambda: chord([t.ignore.s(), t.ident.s(1)], t.total.s()),
        Hangs(),
        ran={"total": 0},
    ),
    w(
        "Reject in a header",
        lambda: chord([t.reject.s(), t.ident.s(1)], t.total.s()),
        REJECTED,
        ran={"total": 0},
    ),
    w(
        "expired in a header",
        lambda: chord([t.ident.s(1).set(expires=PAST), t.ident.s(2)], t.total.s()),
        Raises("TaskRevokedError"),
    ),
    w(
        "ignore_result in a header",
        lambda: chord([t.silent.s(1), t.ident.s(2)], t.note.s()),
        Raises("ChordError"),
        config={"result_chord_join_timeout": 0.05},
        instead={
            "redis": ("noted", "Redis counts what a part returned, stored or not"),
            "polling": (Hangs(), "chord_unlock asks for a result that is never stored"),
        },
    ),
    w(
        "family in a chord",
        lambda: chord([t.family.s(), t.family.s()], t.ident.s()),
        [[True, True, False]] * 2,
    ),
    w(
        "add_to_chord",
        lambda: chord([t.grows.s(1), t.ident.s(2)], t.total.s()),
        Raises(NotImplementedError),
        instead={"redis": (103, "the one backend that supports add_to_chord")},
        # What is added has the index of the part that adds it, and Redis orders them by id.
        loose=frozenset({"total"}),
    ),
]

CALLBACKS = [
    w("link", lambda: with_link(t.add.s(1, 2), t.note.s()), 3, ran={"note": 1}),
    w(
        "two links",
        lambda: with_link(t.add.s(1, 2), t.note.s(), t.mul.s(5)),
        3,
        ran={"note": 1, "mul": 1},
    ),
    w(
        "link of a failing task",
        lambda: with_link(t.fail.s(), t.note.s()),
        Raises(ValueError),
        ran={"note": 0},
    ),
    w(
        "link on a chain",
        lambda: with_link(t.ident.s(1) | t.add.s(1), t.note.s()),
        2,
        ran={"note": 1},
    ),
    w(
        "link on a group",
        lambda: with_link(group(header(1, 2)), t.note.s()),
        [1, 2],
        ran={"note": 1},
    ),
    w(
        "link on a chord",
        lambda: with_link(chord(header(1, 2), t.total.s()), t.note.s()),
        3,
        ran={"note": 1},
    ),
    w(
        "link that is a chain",
        lambda: with_link(t.ident.s(1), t.add.s(1) | t.note.s()),
        1,
        ran={"add": 1, "note": 1},
    ),
    w(
        "link that is a group",
        lambda: with_link(t.ident.s(1), group(t.add.s(1), t.add.s(2))),
        1,
        ran={"add": 2},
    ),
    w(
        "link that is a chord",
        lambda: with_link(t.ident.s(1), chord([t.add.s(1), t.add.s(2)], t.total.s())),
        1,
        ran={"total": 1},
    ),
    w(
        "errback",
        lambda: with_errback(t.fail.s(), t.on_error.s()),
        Raises(ValueError),
        ran={"noted": 1},
    ),
    w(
        "errback with the id",
        lambda: with_errback(t.fail.s(), t.on_error_id.s()),
        Raises(ValueError),
        ran={"on_error_id": 1},
    ),
    w(
        "two errbacks",
        lambda: with_errback(t.fail.s(), t.on_error.s(), t.on_error_id.s()),
        Raises(ValueError),
    ),
    w(
        "errback on a chain",
        lambda: with_errback(t.ident.s(1) | t.fail.s() | t.note.s(), t.on_error.s()),
        Raises(ValueError),
        ran={"noted": 1},
    ),
    w(
        "errback on a group",
        lambda: with_errback(group(t.fail.s(), t.ident.s(1)), t.on_error.s()),
        Raises(ValueError),
        ran={"noted": 1},
    ),
    w(
        "errback on a chord whose header fails",
        lambda: with_errback(chord([t.fail.s(), t.ident.s(1)], t.total.s()), t.on_error.s()),
        Raises(ValueError),
    ),
    w(
        "errback on a chord whose body fails",
        lambda: with_errback(chord(header(1), t.fail.s()), t.on_error.s()),
        Raises(ValueError),
        ran={"noted": 1},
    ),
    w(
        "errback on a body alone",
        lambda: chord([t.fail.s(), t.ident.s(1)], with_errback(t.total.s(), t.on_error.s())),
        Raises(ValueError),
        ran={"noted": 1},
    ),
    w(
        "errbacks of a header allowed",
        lambda: with_errback(chord([t.fail.s(), t.ident.s(1)], t.total.s()), t.on_error.s()),
        Raises(ValueError),
        ran={"noted": 2},
        config={"task_allow_error_cb_on_chord_header": True},
    ),
    w(
        "immutable errback",
        lambda: with_errback(t.fail.s(), t.on_error_in_place.si("x")),
        Raises(ValueError),
        ran={"noted": 1},
    ),
    w(
        "errback that fails",
        lambda: with_errback(t.fail.s(), t.refuse.s()),
        Raises(t.Refused if BEFORE_57 else ValueError),
        # Before 5.7: it escapes from the tracer, and a pool of processes then fails the task, and
        # calls the errback, once more (`billiard/pool.py:ApplyResult._set`); threads do not.
        instead={"worker": (Raises(t.Refused), "one call of the errback less")} if BEFORE_57 else {},
    ),
    w(
        "errback after retries",
        lambda: with_errback(t.hopeless.s(), t.on_error.s()),
        Raises(t.Refused),
        ran={"noted": 1},
    ),
    w(
        "errback of an expired task",
        lambda: with_errback(t.ident.s(1).set(expires=PAST), t.on_error.s()),
        Raises("TaskRevokedError"),
        ran={"noted": 0},
    ),
    w("hooks of a task that succeeds", lambda: t.hooked.s(1), 1, ran={"note": 3}),
    w("hooks of a task that fails", t.hooked_failing.s, Raises(ValueError), ran={"note": 3}),
    w("hooks of a task that retries", t.hooked_retrying.s, "done", ran={"note": 5}),
]

DYNAMIC = [
    w("replace", lambda: t.replaced_by.s(dict(t.add.s(1, 2))), 3, ran={"replaced_by": 1, "add": 1}),
    w("replace, again and again", lambda: t.countdown_by_replacing.s(3), "zero"),
    w("replace by a group", lambda: t.replaced_by_group.s(3), [1, 2, 3]),
    w("replace by a chain", lambda: t.replaced_by_chain.s(3), 8),
    w("replace by a chord", lambda: t.replaced_by_chord.s(3), 3),
    w("replace in a chain", lambda: t.replaced_by_chain.s(3) | t.add.s(1), 9),
    w("replace by a group in a chain", lambda: t.replaced_by_group.s(2) | t.total.s(), 3),
    w(
        "replace in a chord",
        lambda: chord([t.replaced_by_chain.s(1), t.ident.s(1)], t.total.s()),
        5,
    ),
    w(
        "replace by a group in a chord",
        lambda: chord([t.replaced_by_group.s(2), t.ident.s(1)], t.note.s()),
        "noted",
        # The parts of the group have one index, that of their place: Redis orders them by id.
        loose=frozenset({"accumulate", "note"}),
    ),
    w(
        "replace with a link",
        lambda: with_link(t.replaced_by_chain.s(1), t.note.s()),
        4,
        ran={"note": 2 if BEFORE_57 else 1},
    ),
    w(
        "replace by what fails",
        lambda: with_errback(t.replaced_by.s(dict(t.fail.s())), t.on_error.s()),
        Raises(ValueError),
        ran={"noted": 1},
    ),
    w("replace a body", lambda: chord(header(1, 2), t.replaced_by.si(dict(t.note.si()))), "noted"),
    w("get within a task", lambda: t.waits.s(1), Raises(RuntimeError)),
    w("get within a task, allowed", lambda: t.waits_anyway.s(1), 2, ran={"add": 1}, concurrency=2),
    w(
        "get of a result that is there",
        lambda: t.waits_twice.s(1),
        2,
        ran={"add": 1},
        concurrency=2,
    ),
    w("stamps", lambda: stamped(t.stamps.s(), batch="b1"), [["batch"], {"batch": "b1"}]),
    w(
        "stamps of a chain",
        lambda: stamped(t.note.s() | t.stamps.si(), batch="b1"),
        [["batch"], {"batch": "b1"}],
    ),
    w(
        "stamps of a chord",
        lambda: stamped(chord([t.note.s()], t.stamps.si()), batch="b1"),
        [[], {}],
    ),
]

WORKFLOWS = [*SINGLE, *FAILURES, *RETRIES, *CHAINS, *GROUPS, *CHORDS, *CALLBACKS, *DYNAMIC]
