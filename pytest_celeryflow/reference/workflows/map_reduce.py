"""Map and reduce: a large list in batches, each counted by one task, and the counts put together.

A message for each line costs more than the work; a batch of some hundred lines a message does
not. Arguments go through the broker and results through the result backend: pass the place of
large data, not the data. Here the lines are small, and are passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from celery import chord

from pytest_celeryflow.reference.app import app
from pytest_celeryflow.reference.declaration import Workflow


@app.task
def count_words(lines: list[str]) -> dict[str, int]:
    return dict(Counter(word for line in lines for word in line.split()))


@app.task
def put_together(counts: list[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def batches(lines: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(lines), size):
        yield list(lines[start : start + size])


def word_count(lines: Sequence[str], size: int) -> Any:
    return chord([count_words.s(batch) for batch in batches(lines, size)], put_together.s())


WORKFLOWS = (
    Workflow(
        name="map-reduce",
        about="Words are counted batch by batch, and the counts added.",
        canvas=lambda _: word_count(["a b", "b", "c a"], 2),
        shape="chord([count_words(['a b', 'b']), count_words(['c a'])], put_together())",
        end={"a": 2, "b": 2, "c": 1},
        executions={"count_words": 2, "put_together": 1},
        places=("eager", "worker", "sim", "redis", "rabbitmq", "process"),
    ),
)
