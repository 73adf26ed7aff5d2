"""`strategies`: what is drawn, that it is valid, how small it shrinks, and what is refused."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from pytest_celeryflow import CrashPoint, shape, simulate
from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.explore.grammar import KINDS
from pytest_celeryflow.strategies import (
    FaultPlan,
    PlannedFault,
    Schedule,
    canvases,
    fault_plans,
    schedules,
)

app = FreshApp("drawn", set_as_current=False)


@app.task(name="drawn.add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="drawn.double")
def double(x):
    return 2 * x


@app.task(name="drawn.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="drawn.shout", bind=True)
def shout(self, text: str, *, loud: bool) -> str:
    return text.upper() if loud else text


TASKS = (add, double, total, shout)

quickly = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
generated = settings(quickly, phases=[Phase.generate])


def smallest(strategy, condition):
    """The smallest that fulfils a condition."""
    searching = settings(quickly, max_examples=300, report_multiple_bugs=False)
    return find(strategy, condition, settings=searching)


def text(canvas):
    """One line."""
    return str(shape(canvas))


def signatures(canvas):
    """How many signatures a canvas is written with; what is made in chunks counts for each."""
    return len(list(shape(canvas).tasks()))


# --- canvases ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mark", "expected"),
    [
        ("signature", "", "add(0, 0)"),
        ("immutable", ".si", "add.si(0, 0)"),
        ("link", ".link(", "add(0, 0).link(add(0))"),
        ("errback", "error", "add(0, 0).on_error(add.si(0, 0))"),
        ("chain", " | ", "add(0, 0) | add(0)"),
        ("group", "group(", "group(add(0, 0), add(0, 0))"),
        ("chord", "chord(", "chord([add(0, 0), add(0, 0)], total())"),
        ("map", ".map(", "total.map([[]])"),
        ("starmap", ".starmap(", "add.starmap([[0, 0]])"),
        # A task for each piece: `chunks(…).group()`.
        ("chunks", ".starmap(", "group(add.starmap([[0, 0]]), add.starmap([[0, 0]]))"),
    ],
)
def test_each_kind_shrinks_to_its_smallest(kind, mark, expected):
    """And everything to a single signature."""
    tasks = [total] if kind == "map" else [add, total] if kind == "chord" else [add]
    strategy = canvases(tasks, kinds=["signature", kind])
    assert text(smallest(strategy, lambda c: mark in text(c))) == expected


@pytest.mark.slow
def test_every_kind_is_drawn_often():
    """None of them is a rarity."""
    seen = Counter()

    @settings(generated, max_examples=200)
    @given(canvases(TASKS))
    def draw(canvas):
        drawn = text(canvas)
        for mark in (".link(", ".on_error(", " | ", "group(", "chord(", ".map(", ".starmap(", ".si("):
            seen[mark] += mark in drawn

    draw()
    assert min(seen.values()) >= 5, seen


@pytest.mark.slow
def test_every_workflow_works():
    """What one gives, the next can take: no task fails, nothing is lost or hangs."""

    @settings(generated, max_examples=60)
    @given(canvases(TASKS))
    def draw(canvas):
        with simulate(app) as flow:
            run = flow.run(canvas)
            assert run.error is None
            assert run.verdict.ok

    draw()


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_signatures_than_asked_for(most):
    """`max_tasks` holds."""

    @generated
    @given(canvases([add, double, total], max_tasks=most, kinds=set(KINDS) - {"chunks"}))
    def draw(canvas):
        assert signatures(canvas) <= most

    draw()


def test_no_deeper_than_asked_for():
    """`max_depth=1`: canvases of signatures alone."""

    @generated
    @given(canvases([add, total], max_depth=1, kinds=["signature", "immutable", "group"]))
    def draw(canvas):
        assert "group(" not in text(canvas)[6:]

    draw()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_kinds_that_were_asked_for(kind):
    """What they are made of aside."""
    marks = {
        "link": ".link(",
        "errback": ".on_error(",
        "chain": " | ",
        "group": "group(",
        "chord": "chord(",
        "map": ".map(",
        "starmap": ".starmap(",
        "chunks": ".starmap(",
    }

    @settings(generated, max_examples=30)
    @given(canvases([add, double, total], kinds=[kind]))
    def draw(canvas):
        drawn = text(canvas)
        others = {mark for other, mark in marks.items() if mark != marks.get(kind)}
        if kind in ("chain", "chunks"):  # a chain's group is a chord; chunks are a group
            others -= {"group(", "chord("}
        assert not any(mark in drawn for mark in others), drawn

    draw()


def test_arguments_that_are_told():
    """In order, or by name."""
    strategy = canvases(
        {add: [st.just(7), st.just(8)], shout: {"text": st.just("hey")}}, kinds=["signature"]
    )
    drawn = set()

    @generated
    @given(strategy)
    def draw(canvas):
        drawn.add(text(canvas))

    draw()
    assert drawn == {"add(7, 8)", "shout('hey', loud=False)", "shout('hey', loud=True)"}


@pytest.mark.slow
def test_a_list_goes_to_tasks_that_take_lists():
    """By annotation, or because they are named."""

    @app.task(name="drawn.pick")
    def pick(numbers):
        return numbers[0]

    def joined(tasks, header, body, **options):
        strategy = canvases(tasks, kinds=["signature", "chord"], max_depth=1, **options)
        marks = f"chord([{header}(", f"], {body}("
        return smallest(strategy, lambda c: all(mark in text(c) for mark in marks))

    assert text(joined([add, total], "add", "total")).endswith("], total())")
    assert text(joined([add, pick], "add", "pick", bodies=[pick])).endswith("], pick())")
    for tasks, header, body in (([add, pick], "add", "pick"), ([shout, total], "shout", "total")):
        with pytest.raises(NoSuchExample):
            joined(tasks, header, body)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: canvases([]), "tasks is empty: name at least one"),
        (lambda: canvases(add), "tasks=<@task: drawn.add of "),
        (lambda: fault_plans(3), "tasks=3 must be a list of tasks"),
        (lambda: canvases([len]), "tasks: <built-in function len> is not a task"),
        (lambda: canvases([add], kinds=["chian"]), "kinds: 'chian' is not one of 'signature', 'imm"),
        (lambda: canvases([add], kinds="chain"), "kinds='chain' must be a list of some of"),
        (lambda: canvases([add], kinds=["map"]), "kinds=['map']: none can be made of drawn.add"),
        (lambda: canvases([add], max_tasks=0), "max_tasks=0 must be a whole number, 1 or more"),
        (lambda: canvases([add], max_depth=-1), "max_depth=-1 must be a whole number, 0 or more"),
        (lambda: canvases([add], bodies=[total]), "bodies: drawn.total is not one of tasks"),
        (lambda: canvases({add: [st.just(1)]}), "tasks: drawn.add needs strategies for x, y, and"),
        (lambda: canvases({add: [1, 2]}), "tasks: 1, for drawn.add, is not a Hypothesis strategy"),
        (
            lambda: canvases({add: {"z": st.just(1)}}),
            "tasks: drawn.add has no parameter 'z'; there are x, y",
        ),
        (lambda: schedules(steps=0), "steps=0 must be a whole number, 1 or more"),
        (lambda: schedules(max_delays=-1), "max_delays=-1 must be a whole number, 0 or more"),
        (lambda: Schedule((-1,)), "delays: -1 must be a whole number, 0 or more"),
        (lambda: fault_plans([]), "tasks is empty"),
        (lambda: fault_plans([add], faults=["flood"]), "faults: 'flood' is not one of 'crash'"),
        (lambda: fault_plans([add], nth=0), "nth=0 must be a whole number, 1 or more"),
        (lambda: fault_plans([add], points=["here"]), "points: 'here' is not one of CrashPoint."),
        (lambda: fault_plans([add], delay="soon"), "delay='soon' is not a length of time"),
    ],
)
def test_a_bad_argument_is_an_error_at_once(call, message):
    """When the strategy is made, not when it is drawn from."""
    with pytest.raises(ValueError) as refused:
        call()
    assert str(refused.value).startswith(message)


def test_a_parameter_that_nothing_is_known_of():
    """It says what to give instead."""

    class Order:
        def __init__(self, number):
            self.number = number

    @app.task(name="drawn.charge")
    def charge(order):
        return order

    charge.run.__annotations__["order"] = Order
    with pytest.raises(ValueError) as refused:
        canvases([charge])
    assert "tasks: no value is known for 'order' of drawn.charge, annotated as" in str(refused.value)
    assert "give a mapping, {charge: {'order': a strategy}}" in str(refused.value)


# --- schedules and fault plans ---


def test_schedules_shrink_to_the_default_order():
    """No delay at all; else few, and early."""
    assert smallest(schedules(), lambda _: True) == Schedule()
    assert smallest(schedules(), lambda s: len(s.delays) > 1) == Schedule((0, 0))


def test_fault_plans_shrink_to_none():
    """Else to the first kind, task and point."""
    plans = fault_plans([add, total], max_faults=3)
    assert smallest(plans, lambda _: True) == FaultPlan()
    one = smallest(plans, lambda p: p.faults)
    assert one == FaultPlan((PlannedFault("crash", "drawn.add", at=CrashPoint.RECEIVED, kills="worker"),))


def test_plans_read_as_code():
    """A failing example can be pasted into `@example`."""
    names = {"PlannedFault": PlannedFault, "FaultPlan": FaultPlan, "CrashPoint": CrashPoint}

    @generated
    @given(fault_plans([add], faults=["crash", "delay", "redeliver"], max_faults=3))
    def draw(plan):
        assert eval(repr(plan), names) == plan

    draw()
    assert eval(repr(Schedule((1, 2))), {"Schedule": Schedule}) == Schedule((1, 2))
