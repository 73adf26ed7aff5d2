"""Rules about the options of a whole chain, group or chord: which tasks they reach.

Relies on `celery/canvas.py:_chain.run`, `group._apply_tasks` and `_chord.run`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_celeryflow.lint._canvas import Canvas, Place
from pytest_celeryflow.lint._finding import Trouble
from pytest_celeryflow.lint._rule import canvas_rule
from pytest_celeryflow.shape import Shape

__all__ = ["countdown_of_a_chord", "options_reach_the_first_task"]

#: Options that are meant for each task. `countdown` and `eta` are not among them: to delay a chain is
#: to delay its first task.
_FOR_EACH = frozenset(
    "queue exchange routing_key priority expires time_limit soft_time_limit serializer "
    "compression ignore_result retry retry_policy headers delivery_mode".split()
)


@canvas_rule("CF116", "options-reach-the-first-task")
def options_reach_the_first_task(canvas: Canvas) -> Iterator[Trouble]:
    """Options of a chain reach its first task alone.

    Sees: a chain of two tasks or more that has options such as `queue`, `priority`, `expires` or
    `time_limit`; also one that is a member of a group or chord which has them.
    `countdown` and `eta` are no finding: they delay the chain.

    Why: the other tasks go to their usual queue, without the limit and without the priority.
    Composing the chain further, as `chain | task` does, drops the options altogether.

    Celery: `canvas.py:_chain.run` ends in `first_task.apply_async(**options)`; `group._apply_tasks`
    and `_chord.run` hand their options to each member, and so to the first task of a chain;
    `_chain.unchain_tasks` keeps callbacks only. The same from 5.4 to 5.7.

    Repair: set them on each step; or route the tasks by `task_routes`.

    Bad:
        (fetch.s("a") | resize.s(100)).set(queue="slow")

    Good:
        fetch.s("a").set(queue="slow") | resize.s(100).set(queue="slow")
    """
    for place in canvas.places:
        options = sorted(_FOR_EACH & place.shape.options.keys())
        if not options:
            continue
        for chain in _chains(canvas, place):
            late = [step for step in _tasks_after_the_first(chain.shape) if _lacks(step, options)]
            if late:
                yield Trouble(
                    chain.path,
                    f"{', '.join(options)} of the {place.shape.kind} is not that of "
                    f"{', '.join(dict.fromkeys(step.name.rpartition('.')[2] for step in late))}",
                    "set it on each step, or use task_routes",
                )


@canvas_rule("CF117", "countdown-of-a-chord", fixed_in=(5, 7))
def countdown_of_a_chord(canvas: Canvas) -> Iterator[Trouble]:
    """The countdown or ETA of a chord delays its body once more.

    Sees: `chord(…).set(countdown=…)`, or `eta`, with Celery before 5.7. From 5.7 on it delays the
    header alone, and the rule is silent.

    Why: the header waits, and when it is done, the body waits for the same countdown again.

    Celery: `canvas.py:_chord.run` updates the options of the body with those of the chord, in 5.4,
    5.5 and 5.6; `header_delay` keeps them apart in 5.7. There `apply_async(countdown=…)` was worse
    still: it set the interval of `chord_unlock`.

    Repair: set it on the members of the header.

    Bad:
        chord([fetch.s("a"), fetch.s("b")], publish.s()).set(countdown=60)

    Good:
        chord([fetch.s(url).set(countdown=60) for url in "ab"], publish.s())
    """
    for place in canvas.places:
        if place.shape.kind == "chord":
            for option in ("countdown", "eta"):
                if place.shape.options.get(option):
                    yield Trouble(
                        place.path,
                        f"{option} of the chord delays the header, and then its body again",
                        f"set {option} on the members of the header",
                    )


def _chains(canvas: Canvas, place: Place) -> Iterator[Place]:
    if place.shape.kind == "chain":
        yield place
    elif place.shape.kind in ("group", "chord"):
        yield from (each for each in canvas.members(place) if each.shape.kind == "chain")


def _tasks_after_the_first(chain: Shape) -> list[Shape]:
    return [task for step in chain.children[1:] for task in step.tasks()]


def _lacks(step: Shape, options: list[str]) -> bool:
    return any(name not in step.options for name in options)
