"""Rules about chords: what counts their header, and what keeps it from being counted.

Relies on how the result backends of Celery 5.4 to 5.7 count a chord; `AppView.counting` tells
the ways apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from celery import VERSION

from pytest_celeryflow.lint._canvas import Canvas, Place
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import canvas_rule

__all__ = [
    "chord_without_results",
    "header_ignores_its_result",
    "header_waits_in_the_worker",
    "nothing_to_run",
]


@canvas_rule("CF101", "header-ignores-its-result")
def header_ignores_its_result(canvas: Canvas) -> Iterator[Trouble]:
    """A task of a chord's header does not store its result.

    Sees: a task that a chord waits for and that ignores its result, by `ignore_result=True` on
    the task or on the signature, or by the setting `task_ignore_result`; on a result backend
    that reads the results of the header back. A group followed by a task is a chord.

    Why: the body is never called. Where the backend polls, as databases do, it asks for the
    missing result for ever; where it counts, the chord fails with a timeout; `django-db` says
    nothing at all.

    Celery: `backends/base.py:Backend.mark_as_done` stores nothing when the result is ignored;
    `BaseKeyValueStoreBackend.on_chord_part_return` then joins the stored results of the header,
    and `app/builtins.py:unlock_chord` waits until all are stored. Redis keeps what each task
    returned in the chord itself (`backends/redis.py:on_chord_part_return`): the rule is silent
    there. `ignore_result=True` is heeded on a task and on a signature from Celery 5.4 to 5.7;
    `False` on a signature of a task that ignores its results has an effect since 5.7 only
    (`app/trace.py:build_tracer`).

    Repair: let the task store its result; or here alone, from 5.7 on, by
    `.set(ignore_result=False)`.

    Bad:
        app.conf.result_backend = "cache+memcached://localhost"

        @app.task(ignore_result=True)
        def warm_up(url):
            return url

        chord([warm_up.s("a"), warm_up.s("b")], publish.s())

    Good:
        app.conf.result_backend = "cache+memcached://localhost"

        @app.task
        def warm_up(url):
            return url

        chord([warm_up.s("a"), warm_up.s("b")], publish.s())
    """
    if canvas.app.counting not in ("counter", "polling", "django"):
        return
    for place in canvas.tasks:
        if place.counted and _ignores(canvas, place):
            yield Trouble(
                place.path,
                f"the chord waits for the result of {place.short_name}, which is ignored",
                f"let {place.short_name} store its result",
                task=place.shape.name,
            )


@canvas_rule("CF102", "chord-without-results")
def chord_without_results(canvas: Canvas) -> Iterator[Trouble]:
    """A chord, where the app has no result backend that can count one.

    Sees: a chord, or a group followed by another step, which Celery turns into a chord; in an
    app whose result backend is missing, `disabled://` or `rpc://`. An app that names neither a
    broker nor a result backend is not judged, as it will be configured elsewhere; nor is one with
    `task_always_eager`.

    Why: publishing it fails with NotImplementedError; where a task publishes it, that is in the
    worker. An innocent `group | task` is a chord too: the task runs only when every member has
    succeeded, and is given all their results.

    Celery: `canvas.py:_chain.prepare_steps` makes a chord of `group | task`;
    `backends/base.py:DisabledBackend.ensure_chords_allowed` and
    `backends/rpc.py:RPCBackend.ensure_chords_allowed` raise.

    Repair: configure a result backend that has chords, such as Redis or a database; or leave the
    step after the group out.

    Bad:
        app.conf.result_backend = "rpc://"

        group(fetch.s("a"), fetch.s("b")) | publish.s()

    Good:
        app.conf.result_backend = "rpc://"

        group(fetch.s("a"), fetch.s("b"))
    """
    if canvas.app.counting != "none" or not canvas.app.is_configured:
        return
    if canvas.app.conf.task_always_eager:
        return
    backend = canvas.app.backend or "no result backend"
    for place in canvas.places:
        if place.becomes_header and place.shape.children:
            kind = "a chord" if place.shape.kind == "chord" else "a group with a step after it"
            yield Trouble(
                place.path,
                f"{kind} needs a result backend that counts it; the app has {backend}",
                "configure result_backend, for instance redis:// or db+postgresql://",
            )


@canvas_rule("CF103", "nothing-to-run")
def nothing_to_run(canvas: Canvas) -> Iterator[Trouble]:
    """A group, a chain or the header of a chord is empty.

    Sees: a group or chain without tasks, a chord whose header has none, and a map over nothing.

    Why: mostly it is a list that came out empty, and no error tells. An empty group is finished
    before anything ran; in a chain it is skipped, so that the step after it is given what the step
    before it returned and not a list; the body of an empty chord is called at once with `[]`.

    Celery: `canvas.py:group.apply_async` and `_chain.prepare_steps`; `_chord.run` calls
    `body.delay([])`. A chain that ends in an empty group has the value of the step before it in
    5.7, and `[]` in 5.4.

    Repair: decide what an empty list means before you build the canvas.

    Bad:
        urls = []

        chord([fetch.s(url) for url in urls], publish.s())

    Good:
        urls = ["a", "b"]

        chord([fetch.s(url) for url in urls], publish.s())
    """
    then = {
        "group": "the group is empty: no task runs",
        "chain": "the chain is empty: no task runs",
        "chord": "the header of the chord is empty: its body is called at once with []",
    }
    for place in canvas.places:
        kind = place.shape.kind
        if kind in then and not place.shape.children:
            yield Trouble(place.path, then[kind], "build it only when there is something to run")
        elif kind in ("map", "starmap", "chunks") and not place.shape.items:
            yield Trouble(
                place.path,
                f"{place.short_name}.{kind} goes over nothing",
                "build it only when there is something to run",
                task=place.shape.name,
            )


@canvas_rule("CF112", "header-waits-in-the-worker")
def header_waits_in_the_worker(canvas: Canvas) -> Iterator[Trouble]:
    """A member of a chord's header ends in a group, on a backend that waits for it in the worker.

    Sees: in the header of a chord a chain whose last step is a group, or a chord whose body is one;
    on a result backend that counts chords and joins stored results: Memcached, DynamoDB and others
    of the key-value kind, and `django-db`. Redis and polling backends are not concerned, nor is a
    plain chord within a chord.

    Why: such a group is one result of the header that consists of many. The first of its tasks
    to finish counts as the last of the header, and its worker process waits, within the task, until
    all the others are done. With no other process free for them, it is a deadlock.

    Celery: `backends/base.py:BaseKeyValueStoreBackend.on_chord_part_return`: the size of the chord
    is taken as `len(deps)`, in which a nested `GroupResult` is one, and `deps.join` waits. The same
    from 5.4 to 5.7. `DatabaseBackend.on_chord_part_return` of django-celery-results 2.6 deletes its
    counter when that is at 0, and then asks `deps.ready()`.

    Repair: end each member in one task that gathers the group, so that the header holds plain
    results; or keep results in Redis.

    Bad:
        app.conf.result_backend = "cache+memcached://localhost"

        sizes = group(resize.s(100), resize.s(200))
        chord([fetch.s("a") | sizes, fetch.s("b")], publish.s())

    Good:
        app.conf.result_backend = "cache+memcached://localhost"

        sizes = chord([resize.s(100), resize.s(200)], publish.s())
        chord([fetch.s("a") | sizes, fetch.s("b")], publish.s())
    """
    then = {
        "counter": "the first of its tasks to finish waits in its worker process for the others",
        "django": "when the first of its tasks finishes, django-db has counted all, finds results "
        "missing, and never calls the body",
    }.get(canvas.app.counting)
    if then is None:
        return
    for place in canvas.places:
        if not place.becomes_header:
            continue
        for member in canvas.members(place):
            if member.shape.kind in ("chain", "chord") and _ends_in_group(member):
                yield Trouble(
                    member.path,
                    f"the member ends in a group: {then}",
                    "gather the group in one task at the end of the member",
                )


def _ignores(canvas: Canvas, place: Place) -> bool:
    option = place.shape.options.get("ignore_result")
    task = canvas.app.task(place.shape.name)
    if option is False and VERSION[:2] >= (5, 7):
        return False
    return bool(option or (task is not None and task.ignore_result))


def _ends_in_group(place: Place) -> bool:
    last = place.shape
    while last.kind in ("chain", "chord"):
        below = last.body if last.kind == "chord" else last.children[-1] if last.children else None
        if below is None:
            return False
        last = below
    return last.kind == "group" and len(last.children) > 1
