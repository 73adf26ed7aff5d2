"""Random workflows, in `sim` and on a real worker: what comes of them is the same.

This is the list of `tests/conformance` without anybody's choice: every canvas that
`strategies.canvases` can draw, from one signature to chords within groups within chains.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_celeryflow import run_worker, simulate
from pytest_celeryflow.borrow import FreshApp
from pytest_celeryflow.strategies import canvases

app = FreshApp("both", set_as_current=False)


@app.task(name="both.add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="both.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="both.spell", bind=True)
def spell(self, number: int, *, loud: bool) -> str:
    return f"{number}!" if loud else str(number)


@app.task(name="both.positive")
def positive(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is not positive")
    return number


@app.task(name="both.again", bind=True, max_retries=2)
def again(self, number: int) -> int:
    if self.request.retries < number:
        raise self.retry(exc=KeyError(number), countdown=0)
    return number


def outcome(flow, canvas):
    """What came of it, without anything that differs from run to run."""
    run = flow.run(canvas)
    end = run.value if run.error is None and run.verdict.hung is None else type(run.error).__name__
    ran = Counter((e.task, repr(e.args), repr(e.kwargs), e.state) for e in run.executions)
    return {"end": end, "state": run.state, "hung": run.verdict.hung is not None, "ran": ran}


def both(canvas):
    """The two outcomes of copies of one canvas."""
    with simulate(app, backend="memory") as flow:
        simulated = outcome(flow, canvas.clone())
    with run_worker(app, timeout=10) as flow:
        real = outcome(flow, canvas.clone())
    return simulated, real


SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.slow
@settings(SETTINGS, max_examples=300)
@given(canvases([add, total, spell]))
def test_a_workflow_that_works(canvas):
    """The same value, and the same executions with the same arguments."""
    simulated, real = both(canvas)
    assert simulated == real
    assert simulated["state"] == "SUCCESS"


SMALL = st.integers(0, 3)


@pytest.mark.slow
@settings(SETTINGS, max_examples=100)
@given(
    canvases(
        {add: [SMALL, SMALL], again: [SMALL]},
        kinds=["signature", "immutable", "link", "chain", "map"],
        max_tasks=4,
    )
)
def test_a_chain_that_retries_and_may_fail(canvas):
    """The same exception, after the same executions."""
    simulated, real = both(canvas)
    assert simulated == real


@pytest.mark.slow
@settings(SETTINGS, max_examples=60)
@given(canvases({positive: [st.integers(-1, 2)]}, kinds=["signature", "group"], max_tasks=4))
def test_a_group_that_may_fail(canvas):
    """The others run all the same."""
    simulated, real = both(canvas)
    assert simulated == real
