"""`add_to_chord`: a member of a header that adds another member.

Only the Redis result backend can (`celery/backends/redis.py:RedisBackend.add_to_chord`); all
others raise `NotImplementedError` in the task that tries. The new member runs at once, and the
body waits for it, too. Where the backend may be another one, let the task replace itself by a
group instead.
"""

from __future__ import annotations

from typing import Any

from celery import Task, chord

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Differs, Raises, Workflow


@app.task(bind=True)
def crawl(self: Task, page: str) -> str:
    if page == "index":
        self.add_to_chord(crawl.s("found later"))
    return page


@app.task
def sitemap(pages: list[str]) -> list[str]:
    return sorted(pages)


def crawl_site() -> Any:
    return chord([crawl.s("index"), crawl.s("about")], sitemap.s())


_WHY = "The result backend counts no member that was not there from the beginning."

WORKFLOWS = (
    Workflow(
        name="add-to-chord",
        about="A chord that grows while it runs.",
        canvas=lambda _: crawl_site(),
        shape="chord([crawl('index'), crawl('about')], sitemap())",
        ran="chord([crawl('index'), crawl('about'), crawl('found later')], sitemap())",
        end=["about", "found later", "index"],
        executions={"crawl": 3, "sitemap": 1},
        needs=("add_to_chord",),
        sim={"backend": "redis"},
        differs={
            "eager": Differs(
                "There is no chord: the members are called, then the body.",
                end=Raises("ValueError", "Current task is not member of any chord"),
                executions={"crawl": 2, "sitemap": 0},
            ),
            "worker": Differs(
                _WHY, end=Raises("NotImplementedError"), executions={"crawl": 2, "sitemap": 0}
            ),
        },
        places=("eager", "worker", "sim", "redis", "process"),
        elsewhere="a RabbitMQ keeps no results, and add_to_chord needs results in Redis",
    ),
)
