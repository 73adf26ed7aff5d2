"""The app under measurement: configured as in production, with the smallest of tasks."""

# Celery has no types, and so its decorators have none.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from celery import Celery, Task, shared_task

app = Celery("benchmarks", broker="redis://localhost:6379/0", backend="redis://localhost:6379/1")

HOUR = 3600


@app.task(name="benchmarks.add")
def add(x: int, y: int) -> int:
    """Next to nothing, so that the machinery is what is measured."""
    return x + y


@app.task(name="benchmarks.total")
def total(numbers: list[int]) -> int:
    """The body of a chord."""
    return sum(numbers)


@app.task(name="benchmarks.poll", bind=True, max_retries=None)
def poll(self: Task, times: int) -> int:
    """Retry an hour later, until there were so many retries."""
    if self.request.retries < times:
        raise self.retry(countdown=HOUR)
    return int(self.request.retries)


@app.task(name="benchmarks.flaky", bind=True, max_retries=3, retry_backoff=True)
def flaky(self: Task, number: int) -> int:
    """Fail as often as the number says (up to three times), with a delay of its own."""
    if self.request.retries < number % 4:
        raise self.retry(exc=RuntimeError(f"{number} is not ready"), countdown=number)
    return number


@shared_task(name="benchmarks.shared_add")
def shared_add(x: int, y: int) -> int:
    """The same for whichever app is there, such as that of Celery's own fixtures."""
    return x + y
