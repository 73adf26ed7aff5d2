"""Mode `worker` on real servers beside the one in memory; left out where a server is missing."""

from __future__ import annotations

from statistics import median

from figures.row import Row
from figures.stopwatch import timed
from figures.workload import add, app
from pytest_celeryflow import Flow, run_worker
from pytest_celeryflow.services import ServiceMissing, find_rabbitmq, start_redis

__all__ = ["rows"]

#: One poll of kombu's, which no round trip may wait for.
POLL = 1.0


def rows(*, quick: bool) -> list[Row]:
    """A round trip and a whole context, in memory, on Redis and on RabbitMQ."""
    trips, contexts = (50, 5) if quick else (300, 25)
    said = []
    for name, where in _places().items():
        with run_worker(app, **where) as flow:
            flow.run(add.s(1, 2))
            trip = median(timed(_round_trip) for _ in range(trips))
        context = median(timed(lambda w=where: _context(w)) for _ in range(contexts))
        said += [
            Row(f"delay().get() in mode worker, {name}", trip, "s", at_most=POLL / 10),
            Row(f"a context of mode worker with one task, {name}", context, "s", at_most=POLL),
        ]
    return said


def _places() -> dict[str, dict[str, str]]:
    places: dict[str, dict[str, str]] = {"in memory": {}}
    for name, find in (("Redis", start_redis), ("RabbitMQ", find_rabbitmq)):
        try:
            url = find().url
        except ServiceMissing:
            continue
        places[name] = {"broker": url, **({"backend": url} if name == "Redis" else {})}
    return places


def _round_trip() -> None:
    if add.delay(1, 2).get(timeout=10) != 3:
        raise RuntimeError


def _context(where: dict[str, str]) -> None:
    flow: Flow
    with run_worker(app, **where) as flow:
        flow.run(add.s(1, 2))
