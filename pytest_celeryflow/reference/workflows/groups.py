"""Groups: several tasks at the same time, and a list of their results in the order written.

The results are in the order of the signatures, whichever ended first. Of a group of which one
member fails, `get()` raises that one's exception; the others have run all the same. A group of
chains is how several things each go through several steps without waiting for each other.
"""

from __future__ import annotations

import time
from typing import Any

from celery import group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Workflow


@app.task
def thumbnail(image: str, seconds: float) -> str:
    time.sleep(seconds)
    return f"{image}.small"


@app.task
def publish(image: str) -> str:
    return f"{image}, published"


def thumbnails(durations: dict[str, float]) -> Any:
    return group(thumbnail.s(image, seconds) for image, seconds in durations.items())


def galleries(durations: dict[str, float]) -> Any:
    return group(thumbnail.s(image, s) | publish.s() for image, s in durations.items())


WORKFLOWS = (
    Workflow(
        name="group",
        about="Several tasks at the same time.",
        canvas=lambda at: thumbnails({"a": at.seconds(20), "b": at.seconds(10)}),
        shape="group(thumbnail('a', 20.0), thumbnail('b', 10.0))",
        end=["a.small", "b.small"],
        executions={"thumbnail": 2},
        claims={
            "the members run at the same time": lambda run: run.overlapped(thumbnail, thumbnail)
        },
        takes=20,
        longest=20,
        differs={
            "eager": Differs(
                "The members run one after the other.",
                broken=("the members run at the same time",),
            )
        },
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
    Workflow(
        name="group-of-chains",
        about="Several things, each through several steps, none waiting for another.",
        canvas=lambda at: galleries({"a": at.seconds(20), "b": at.seconds(0)}),
        shape="group(thumbnail('a', 20.0) | publish(), thumbnail('b', 0.0) | publish())",
        end=["a.small, published", "b.small, published"],
        executions={"thumbnail": 2, "publish": 2},
        claims={
            "the quick one is published before the slow one has its thumbnail": (
                lambda run: not run.happened_before(thumbnail, publish)
            )
        },
        takes=20,
        longest=20,
    ),
)
