"""An alert when a workflow fails, whichever of its tasks it was.

An errback on a chain is set on each of its tasks (`celery/canvas.py:_chain.run`), so
one `on_error` is enough. It is told the request, the exception and the traceback; it runs in
place, in the worker that ran the failed task, so keep it short and let it publish what takes
longer. On a group an errback is set on each member: two failures, two alerts.
"""

from __future__ import annotations

from typing import Any

from celery import chain, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Raises, Workflow


@app.task
def extract(source: str) -> str:
    if source == "broken":
        raise OSError("cannot read 'broken'")
    return f"rows of {source}"


@app.task
def load(rows: str) -> str:
    return f"loaded {rows}"


@app.task
def page_the_engineer(text: str) -> str:
    return f"paged: {text}"


@app.task
def alert(request: Any, exc: Exception, traceback: Any) -> None:
    page_the_engineer.delay(f"{request.task.rpartition('.')[2]} failed: {exc}")


def nightly(source: str) -> Any:
    return chain(extract.s(source), load.s()).on_error(alert.s())


def nightly_for_all(*sources: str) -> Any:
    return group(extract.s(source).on_error(alert.s()) for source in sources)


_PAGED = "page_the_engineer(\"extract failed: cannot read 'broken'\")"

WORKFLOWS = (
    Workflow(
        name="errback-alert",
        about="One errback on the chain; the first task fails, one alert.",
        canvas=lambda _: nightly("broken"),
        shape="chain(extract('broken'), load()).on_error(alert())",
        sent="extract('broken').on_error(alert()) | load().on_error(alert())",
        ran=f"group(extract('broken').on_error(alert()), {_PAGED})",
        end=Raises("OSError", "cannot read 'broken'"),
        executions={"extract": 1, "load": 0, "alert": 1, "page_the_engineer": 1},
        claims={
            "the alert says which task failed, and why": lambda run: (
                run[page_the_engineer].results
                == ("paged: extract failed: cannot read 'broken'",)
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq"),
    ),
    Workflow(
        name="errback-alert-in-a-group",
        about="Two members fail: two alerts, and the group's result is one of the failures.",
        canvas=lambda _: nightly_for_all("a", "broken", "broken"),
        shape=(
            "group(extract('a').on_error(alert()), extract('broken').on_error(alert()), "
            "extract('broken').on_error(alert()))"
        ),
        ran=(
            "group(extract('a').on_error(alert()), extract('broken').on_error(alert()), "
            f"extract('broken').on_error(alert()), {_PAGED}, {_PAGED})"
        ),
        end=Raises("OSError", "cannot read 'broken'"),
        executions={"extract": 3, "load": 0, "alert": 2, "page_the_engineer": 2},
        lint=("CF120",),
    ),
)
