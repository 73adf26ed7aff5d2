"""A pipeline with branches: one result goes several ways, which come together again.

In `fetch | group(…) | publish` each member of the group is given the result of `fetch`, and
`publish` the list of the members' results. Celery makes a chord of the group, whose header is
published by the worker when `fetch` has ended. A branch may be a chain of its own.
"""

from __future__ import annotations

from typing import Any

from celery import chain, group

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def fetch(url: str) -> str:
    return f"video {url}"


@app.task
def transcode(video: str, quality: str) -> str:
    return f"{video} in {quality}"


@app.task
def subtitles(video: str) -> str:
    return f"words of {video}"


@app.task
def translate(text: str, language: str) -> str:
    return f"{text} in {language}"


@app.task
def publish(parts: list[str]) -> list[str]:
    return sorted(parts)


def release(url: str) -> Any:
    return chain(
        fetch.s(url),
        group(
            transcode.s("hd"),
            chain(subtitles.s(), translate.s("fr")),
        ),
        publish.s(),
    )


WORKFLOWS = (
    Workflow(
        name="pipeline-with-branches",
        about="One result goes two ways, one of them with two steps, which come together again.",
        canvas=lambda _: release("v1"),
        shape="fetch('v1') | chord([transcode('hd'), subtitles() | translate('fr')], publish())",
        end=["video v1 in hd", "words of video v1 in fr"],
        executions={"fetch": 1, "transcode": 1, "subtitles": 1, "translate": 1, "publish": 1},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
