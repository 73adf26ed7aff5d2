"""Many tasks through real brokers, with interruptions: is anything lost, does anything hang?

Run ``python benchmarks/soak.py [--tasks N] [--page FILE] [PLACE …]``. Prints a table; with
``--page`` it takes the place of the one between the marks of that page. Ends with status 1 when
a task is lost that Celery's settings keep, when a workflow hangs, or when memory grows: within
a context beyond what its history holds, and from one context to the next.

``worker`` runs workflows of a few tasks each, one after another: chains, chords, groups,
retries. Threads cannot be killed; on RabbitMQ the connection of the worker is cut instead.
``process`` runs rounds of tasks in that mode, whose worker is killed with its pool of two processes
(SIGKILL) in the middle of each, and started again. What may then be lost: with early acknowledgement
what the pool has begun; on Redis also the one message that kombu has taken from the queue
(``BRPOP``) and not yet noted as unacknowledged (`kombu/transport/redis.py:Channel._brpop_read`,
``QoS.append``), whatever the acknowledgement. A chord hangs for a part that is lost so, or when a
process is killed that has counted the last part and not yet published the body: the part comes
back, and is counted anew (`celery/backends/redis.py:RedisBackend.on_chord_part_return`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from celery import chain, chord, group
from figures.soak_tasks import app, early, late, late_total, retrying

from pytest_celeryflow import WorkflowStalled, run_process, run_worker
from pytest_celeryflow.contexts import recent
from pytest_celeryflow.services import find_rabbitmq, start_redis

APP = "figures.soak_tasks:app"

#: Real seconds that anything may take before it counts as hanging.
PATIENCE = 300.0

#: Real seconds that are waited at the end of half of the rounds, which is in vain for a message
#: that is lost. What a killed worker held comes back before: kombu looks for it at every tenth
#: ``unacked_restore_interval`` (`kombu/transport/redis.py:QoS.restore_visible`; before 5.7 every
#: hundred seconds, whatever the interval).
END = 60.0

#: MiB that a thousand tasks may take for good. Their history, about six events each, is half.
PER_THOUSAND = 8.0

#: MiB that the second half may take on top of the first.
LEAK = 20.0

#: Interruptions of one run.
ROUNDS = 10

#: Processes of the pool of `process`.
POOL = 2

MARKS = ("<!-- soak -->", "<!-- end of soak -->")


@dataclass(frozen=True)
class Row:
    """What came of one place."""

    place: str
    tasks: int
    interruptions: int
    lost_late: int
    late_at_risk: int
    lost_early: int
    early_at_risk: int
    twice: int
    hung: int
    hung_at_risk: int
    seconds: float
    memory: float
    more: float

    @property
    def holds(self) -> bool:
        late = self.lost_late <= self.late_at_risk and self.hung <= self.hung_at_risk
        early = self.lost_early <= self.early_at_risk
        return late and early and self.memory <= PER_THOUSAND * self.tasks / 1000 and self.more <= LEAK

    def cells(self) -> list[str]:
        return [
            self.place,
            f"{self.tasks:,}",
            str(self.interruptions),
            f"{self.lost_late} of at most {self.late_at_risk}",
            f"{self.lost_early} of at most {self.early_at_risk}",
            str(self.twice),
            f"{self.hung} of at most {self.hung_at_risk}",
            f"{self.tasks / self.seconds:,.0f}",
            f"{self.memory:.0f} MiB",
            f"{self.more:.0f} MiB",
        ]


HEADINGS = [
    "place",
    "tasks",
    "interruptions",
    "lost with `acks_late`",
    "lost without",
    "executed twice or more",
    "hung",
    "tasks a second",
    "memory, first half",
    "more, second half",
]


def resident() -> float:
    """MiB of memory that this process holds."""
    gc.collect()
    return _resident("self")


def _resident(pid: str) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


# --- worker ---


def workflows() -> Iterator[tuple[Any, Any, int]]:
    """A canvas, what comes of it, and how many tasks it is; again and again."""
    n = 0
    while True:
        n += 1
        yield late.s(n), n, 1
        yield chain(early.s(n), late.si(n), early.si(n)), n, 3
        yield group(early.s(i) for i in range(5)), list(range(5)), 5
        yield chord([late.s(i) for i in range(9)], late_total.s()), 36, 10
        yield retrying.s(n), n, 2


def in_worker(place: str, tasks: int, cut: bool, **where: str) -> Row:
    """Workflows, one after another, in the mode ``worker``: twice, each half of the tasks.

    What the first context held must serve the second.
    """
    with run_worker(app, **where) as flow:  # what is loaded once and for all
        flow.run(chord([late.s(1)], late_total.s()))
    told: Counter[str] = Counter()
    began, at_first = time.perf_counter(), resident()
    halves = [_half(place, tasks // 2, cut, where, told) for _ in range(2)]
    seconds = time.perf_counter() - began
    return Row(
        place=place,
        tasks=told["tasks"],
        interruptions=told["cuts"],
        lost_late=told["lost"],
        late_at_risk=0,
        lost_early=0,
        early_at_risk=0,
        twice=told["twice"],
        hung=told["hung"],
        hung_at_risk=0,
        seconds=seconds,
        memory=halves[0] - at_first,
        more=halves[1] - halves[0],
    )


def _half(
    place: str, tasks: int, cut: bool, where: dict[str, str], told: Counter[str]
) -> float:
    """One context; the memory that is held at its end."""
    done = 0
    every = max(tasks * 2 // ROUNDS, 1)
    with run_worker(app, timeout=PATIENCE, **where) as flow:
        for canvas, value, size in workflows():
            if done >= tasks:
                break
            if cut and done // every != (done + size) // every:
                told["cuts"] += 1
                _cut(flow)
            run = flow.run(canvas)
            done += len(run.executions)
            told["hung"] += run.verdict.hung is not None
            told["lost"] += len(run.verdict.lost)
            told["twice"] += len(run.verdict.duplicated)
            if run.verdict.hung is None and run.value != value:
                raise SystemExit(f"{place}: {run!r} came to {run.value!r}, not {value!r}")
        flow.drain()
        told["tasks"] += done
        held = resident()
    recent.clear()  # what reports of pytest would refer to
    return held


def _cut(flow: Any) -> None:
    """Break the connection of the worker, as a network does."""
    flow._mode.worker.consumer.connection.connection.transport.sock.shutdown(2)


# --- process ---


def in_process(place: str, tasks: int, between: int, **where: Any) -> Row:
    """Rounds of tasks in the mode ``process``, whose worker is killed in the middle of each.

    Twice, each half of the tasks: what the first context held must serve the second.

    Args:
        place: Its name.
        tasks: How many.
        between: Messages that a kill can lose although they are acknowledged late.
        where: Arguments of `run_process`.
    """
    with run_process(APP, concurrency=POOL, **where) as flow:  # what is loaded once and for all
        flow.run(chord([late.s(1)], late_total.s()))
    recent.clear()
    told: Counter[str] = Counter()
    began, at_first = time.perf_counter(), resident()
    halves = [_rounds(place, tasks // ROUNDS, where, told) for _ in range(2)]
    return Row(
        place=place,
        tasks=told["tasks"],
        interruptions=ROUNDS,
        lost_late=told["late"] + told["parts"],
        late_at_risk=ROUNDS * between,
        lost_early=told["early"],
        early_at_risk=ROUNDS * (POOL + between),
        twice=told["twice"],
        hung=told["chords"],
        hung_at_risk=ROUNDS * (POOL + between),
        seconds=time.perf_counter() - began,
        memory=halves[0] - at_first,
        more=halves[1] - halves[0],
    )


def _rounds(place: str, size: int, where: dict[str, Any], told: Counter[str]) -> float:
    """Half of the rounds, in one context; the memory that is held at its end."""
    ids: dict[str, list[str]] = {"early": [], "late": [], "parts": [], "chords": []}
    with run_process(APP, concurrency=POOL, timeout=END, **where) as flow:
        for _ in range(ROUNDS // 2):
            _publish(size, ids)
            flow.drain(limit=size // 2)
            flow.worker.kill()
            flow.worker.start()
        try:
            flow.drain()
        except WorkflowStalled as exc:  # for what is lost, or else the table will tell
            print(f"{place}: {exc}", file=sys.stderr)
        executions = flow.history.executions()
        held = resident()
    recent.clear()  # what reports of pytest would refer to
    succeeded = {e.id for e in executions if e.state == "SUCCESS"}
    for kind, published in ids.items():
        told["tasks"] += len(published)
        told[kind] += sum(id_ not in succeeded for id_ in published)
    told["twice"] += sum(times > 1 for times in Counter(e.id for e in executions).values())
    return held


def _publish(count: int, ids: dict[str, list[str]]) -> None:
    """A round: chords of ten late tasks for a fifth of it, the rest half and half."""
    for n in range(count * 2 // 5):
        ids["early"].append(early.delay(n).id)
        ids["late"].append(late.delay(n).id)
    for _ in range(count // 50):
        result = chord([late.s(i) for i in range(9)], late_total.s()).apply_async()
        ids["chords"].append(result.id)
        ids["parts"].extend(part.id for part in result.parent.results)


# --- places ---


def _worker_memory(tasks: int) -> Row:
    return in_worker("`worker`, memory", tasks, cut=False)


def _worker_redis(tasks: int) -> Row:
    url = start_redis().url
    return in_worker("`worker`, Redis", tasks, cut=False, broker=url, backend=url)


def _worker_rabbitmq(tasks: int) -> Row:
    return in_worker("`worker`, RabbitMQ", tasks, cut=True, broker=find_rabbitmq().url)


def _process_redis(tasks: int) -> Row:
    # Or what a killed worker held would come back after an hour, looked for each 100 s.
    sooner = {"visibility_timeout": 5, "unacked_restore_interval": 1}
    config = {"broker_transport_options": sooner}
    return in_process("`process`, Redis", tasks, 1, broker="redis", config=config)


def _process_rabbitmq(tasks: int) -> Row:
    return in_process("`process`, RabbitMQ", tasks, 0, broker="rabbitmq")


PLACES = {
    "worker-memory": _worker_memory,
    "worker-redis": _worker_redis,
    "worker-rabbitmq": _worker_rabbitmq,
    "process-redis": _process_redis,
    "process-rabbitmq": _process_rabbitmq,
}


def table(rows: list[Row], command: str) -> str:
    """The table in Markdown, with where it comes from."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    versions = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis"))
    versions = f"Python {platform.python_version()}, {versions}"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    lines += [
        "",
        f"`{command}` on {machine}, {versions}.",
    ]
    return "\n".join(lines)


def soaked(place: str, tasks: int) -> Row:
    """Soak one place in a process of its own: Celery and kombu remember where they were."""
    command = [sys.executable, "-W", "ignore", __file__, "--row", place, "--tasks", str(tasks)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Row(**json.loads(told.splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("places", nargs="*", metavar="PLACE", help=f"of {', '.join(PLACES)}")
    parser.add_argument("--tasks", type=int, default=20_000, help="in each place")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    parser.add_argument("--row", choices=PLACES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [place for place in options.places if place not in PLACES]
    if unknown:
        parser.error(f"{unknown[0]!r} is not a place; valid are {', '.join(PLACES)}")
    if options.row is not None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # let private servers end
        print(json.dumps(asdict(PLACES[options.row](options.tasks))))
        return 0
    rows = []
    for place in options.places or PLACES:
        print(f"soaking: {place} …", file=sys.stderr, flush=True)
        rows.append(soaked(place, options.tasks))
    command = " ".join(["python benchmarks/soak.py", f"--tasks {options.tasks}", *options.places])
    said = table(rows, command)
    print(said)
    if options.page is not None:
        text = options.page.read_text(encoding="utf-8")
        start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
        options.page.write_text(f"{text[:start]}\n\n{said}\n\n{text[end:]}", encoding="utf-8")
    return int(not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
