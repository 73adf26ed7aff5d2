"""Canvases within canvases, and what is published with options: more for the list."""

from __future__ import annotations

from typing import Any

from celery import chain, chord, group, signature
from celery.exceptions import NotRegistered

from . import tasks as t
from .workflow import PAST, Raises, header, w, with_errback, with_link

CHAINED = [
    w("chain of a chain, a group and a task", lambda: chain(t.ident.s(1), group(t.add.s(1), t.add.s(2)), t.total.s(), t.mul.s(2)), 10),
    w("group, then group, then task", lambda: chain(group(header(1, 2)), group(t.total.s(), t.total.s()), t.total.s()), 6),
    w("three groups", lambda: chain(group(header(1, 2)), group(t.total.s(), t.total.s()), group(t.total.s(), t.total.s())), Raises(TypeError)),
    w("chain that ends in a chord", lambda: chain(t.ident.s(1), t.add.s(1), chord([t.add.s(1), t.add.s(2)], t.total.s())), 7),
    w("chord in the middle", lambda: chain(t.ident.s(1), chord([t.add.s(1), t.add.s(2)], t.total.s()), t.add.s(1), t.mul.s(2)), 12),
    w("chord, then group", lambda: chain(chord(header(1, 2), t.total.s()), group(t.add.s(1), t.add.s(2))), [4, 5]),
    w("chord, then group, then task", lambda: chain(chord(header(1, 2), t.total.s()), group(t.add.s(1), t.add.s(2)), t.total.s()), 9),
    w("keyword arguments meet a result", lambda: t.ident.s(1) | t.collect.s(2, k=3), [[1, 2], {"k": 3}]),
    w("immutable in the middle", lambda: t.ident.s(1) | t.note.si() | t.collect.s(), ["noted"]),
    w("chain of ten", lambda: chain(t.ident.s(0), *[t.add.s(1) for _ in range(9)]), 9),
    w("map in a chain", lambda: t.ident.map([1, 2]) | t.total.s(), 3),
    w("map after a task", lambda: t.note.s() | t.ident.map([1, 2]), [1, 2]),
    w("failing group in a chain", lambda: chain(t.ident.s(1), group(t.add.s(1), t.refuse.s()), t.total.s()), Raises(t.Refused), ran={"total": 0}),
    w("failing after a group", lambda: chain(group(header(1, 2)), t.fail.s(), t.note.s()), Raises(ValueError), ran={"note": 0}),
    w("unknown task in a chain", lambda: t.ident.s(1) | signature("no.such.task", app=t.app) | t.note.s(), Raises(NotRegistered), ran={"note": 0}),
    w("unknown task", lambda: signature("no.such.task", app=t.app), Raises(NotRegistered)),
]

NESTED = [
    w("group of groups of groups", lambda: group(group(group(header(1)), t.ident.s(2)), t.ident.s(3)), [1, 2, 3]),
    w("group of chords, then task", lambda: group(chord(header(1, 2), t.total.s()), chord(header(3), t.total.s())) | t.total.s(), 6, concurrency=4),
    w("chain in a chain in a group", lambda: group(chain(t.ident.s(1), chain(t.add.s(1), t.add.s(1))), t.ident.s(5)), [3, 5]),
    w("chord of chords of chords", lambda: chord([chord([chord(header(1, 2), t.total.s()), t.ident.s(3)], t.total.s()), t.ident.s(4)], t.total.s()), 10),
    w("chord of two chords", lambda: chord([chord(header(1), t.total.s()), chord(header(2), t.total.s())], t.total.s()), 3),
    w("chord of chains of groups", lambda: chord([t.ident.s(1) | group(t.add.s(1), t.add.s(2)) | t.total.s(), t.ident.s(1)], t.total.s()), 6, concurrency=4),
    w("body that is a chain of groups", lambda: chord(header(1, 2), t.total.s() | group(t.add.s(1), t.add.s(2)) | t.total.s()), 9),
    w("body that is a chord in a chain", lambda: chord(header(1, 2), chain(t.total.s(), chord([t.add.s(1), t.add.s(2)], t.total.s()))), 9),
    w("chord of ten", lambda: chord(header(*range(10)), t.total.s()), 45),
    w("results of a header in order", lambda: chord(header(3, 1, 2), t.collect.s()), [[3, 1, 2]], concurrency=4),
    w("results of a group in order", lambda: group(header(3, 1, 2)), [3, 1, 2], concurrency=4),
    w("map in a header", lambda: chord([t.ident.map([1, 2]), t.ident.s(3)], t.collect.s()), [[[1, 2], 3]]),
    w("chunks in a header", lambda: chord(t.add.chunks([(1, 1), (2, 2)], 1).group(), t.collect.s()), [[[2], [4]]]),
    w("retry in a header of chains", lambda: chord([t.flaky.s(1) | t.add.s(1), t.ident.s(1)], t.total.s()), 3),
    w("get in a header, allowed", lambda: chord([t.waits_anyway.s(1), t.ident.s(1)], t.total.s()), 3, concurrency=3),
    w("failing chain in a header", lambda: chord([t.fail.s() | t.note.s(), t.ident.s(1)], t.total.s()), Raises(ValueError), ran={"note": 0, "total": 0}),
    w("failing inner body", lambda: chord([chord(header(1), t.fail.s()), t.ident.s(2)], t.total.s()), Raises(ValueError), ran={"total": 0}),
    w("body without a result", lambda: chord(header(1, 2), t.silent.s()), None, ran={"silent": 1}),
    w("a group in a task's chain of callbacks", lambda: with_link(t.ident.s(1), t.add.s(1) | group(t.add.s(1), t.add.s(2)) | t.total.s()), 1, ran={"total": 1}),
]

PUBLISHED = [
    w("a queue of its own in a chain", lambda: t.ident.s(1).set(queue="a") | t.add.s(1).set(queue="b"), 2),
    w("priorities in a group", lambda: group(t.ident.s(i).set(priority=i) for i in (1, 9, 5)), [1, 9, 5]),
    w("countdown", lambda: t.ident.s(1).set(countdown=0.02), 1),
    w("countdown in a chain", lambda: t.ident.s(1) | t.add.s(1).set(countdown=0.02), 2),
    w("eta in the past", lambda: t.ident.s(1).set(eta=PAST), 1),
    w("expires later", lambda: t.ident.s(1).set(expires=600), 1),
    w("expired in a group", lambda: group(t.ident.s(1).set(expires=PAST), t.ident.s(2)), Raises("TaskRevokedError"), ran={"ident": 1}),
    w("headers of one's own in a chain", lambda: t.note.s() | t.told.si().set(headers={"trace": "y"}, queue="q", priority=3) | t.traced.s(), "y"),
    w("a priority that nobody gave", t.priority.s, 0),
    w("a priority that nobody gave, to a queue by name", lambda: t.priority.s().set(queue="q"), 0, instead={"on rabbitmq": (None, "published with None: AMQP leaves it out, virtual channels say 0")}),
    w("a task id of one's own", lambda: t.own_id.s().set(task_id="mine"), "mine"),
    w("shadow", lambda: t.ident.s(1).set(shadow="another name"), 1),
    w("time limits that are kept", lambda: t.ident.s(1).set(time_limit=60, soft_time_limit=50), 1),
    w("compression", lambda: t.ident.s("x" * 100).set(compression="gzip"), "x" * 100),
    w("retries with a delay", lambda: t.flaky_later.s(2), 2, ran={"flaky_later": 3}),
    w("link_error with a countdown", lambda: with_errback(t.fail.s(), t.on_error_in_place.si().set(countdown=0.02)), Raises(ValueError), ran={"noted": 1}),
    w("link of a link", lambda: with_link(t.ident.s(1), with_link(t.add.s(1), t.note.s())), 1, ran={"add": 1, "note": 1}),
    w("link of each in a group", lambda: group(with_link(t.ident.s(1), t.note.s()), with_link(t.ident.s(2), t.note.s())), [1, 2], ran={"note": 2}),
    w("errback in the middle of a chain", lambda: t.ident.s(1) | with_errback(t.refuse.s(), t.on_error.s()) | t.note.s(), Raises(t.Refused), ran={"noted": 1, "note": 0}),
    w("errback of a chain in a header", lambda: chord([with_errback(t.fail.s(), t.on_error.s()), t.ident.s(1)], t.total.s()), Raises(ValueError), ran={"noted": 1}),
    w("replace with an errback in a chain", lambda: t.ident.s(1) | with_errback(t.replaced_by.si(dict(t.refuse.si())), t.on_error.s()), Raises(t.Refused), ran={"noted": 1}),
    w("a revoked id", lambda: t.revokes.s() | t.note.s(), "noted"),
    w("trail of children", t.children.s, [1, 2], concurrency=3),
    w("a result of nothing in a chain", lambda: t.ident.s(None) | t.ident.s(), None),
    w("deep data", lambda: t.ident.s({"a": [1, {"b": None}], "c": 1.5}), {"a": [1, {"b": None}], "c": 1.5}),
    w("text beyond ASCII", lambda: t.ident.s("ünïcödé ☃"), "ünïcödé ☃"),
    w("large message", lambda: t.length.s("x" * 200_000), 200_000),
]

MORE: list[Any] = [*CHAINED, *NESTED, *PUBLISHED]
