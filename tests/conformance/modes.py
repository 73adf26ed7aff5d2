"""The modes that are compared: each is one entry, which opens it for a workflow.

A mode of real things has a twin, the simulation of the same broker and result store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory

import pytest

from pytest_celeryflow import Flow, run_process, run_worker, simulate
from pytest_celeryflow.faults import BrokerDown, Drop, Duplicate, Fault, Redeliver
from tests import services
from tests.databases import results_in

from .tasks import app
from .workflow import Workflow

__all__ = ["LIVE", "PROCESS", "REFERENCE", "SIMULATED", "Mode"]

#: What a server that is not ours is spared (`modes.remote.RemoteMode.injected`).
_OF_SERVERS = (Drop, Duplicate, Redeliver, BrokerDown)


@dataclass(frozen=True)
class Mode:
    """One way to carry out workflows.

    Attributes:
        name: The test's id.
        kind: The mode's own name, as `Fault.modes` has it.
        broker: ``"memory"``, ``"redis"`` or ``"rabbitmq"``.
        store: Whose chord logic it has: ``"memory"``, ``"redis"`` or ``"polling"``.
        open: Opens it for a workflow; skips the test where something is missing.
        twin: The simulation that must do the same.
        spared: Faults that it refuses besides those of its kind.
        brief: It is slow, and runs the plain workflows alone.
    """

    name: str
    kind: str
    broker: str
    store: str
    open: Callable[[Workflow], AbstractContextManager[Flow]]
    twin: Mode | None = None
    spared: tuple[type[Fault], ...] = ()
    brief: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def keys(self) -> tuple[str, ...]:
        """Names under which a workflow may say that it ends otherwise here."""
        return self.name, self.kind, self.store, f"on {self.broker}"

    def can(self, workflow: Workflow) -> bool:
        """Whether it can do the faults of a workflow."""
        return all(
            self.kind in fault.modes and not issubclass(fault, self.spared)
            for fault in workflow.needs
        )


# --- simulations ---


@contextmanager
def _simulated(broker: str, backend: str | None, workflow: Workflow) -> Iterator[Flow]:
    if "redis" in (broker, backend):
        pytest.importorskip("redis")
    with simulate(
        app,
        concurrency=workflow.concurrency,
        config=workflow.config,
        broker=broker,
        backend=backend,
    ) as flow:
        yield flow


@contextmanager
def _with_database(workflow: Workflow) -> Iterator[Flow]:
    """Celery's own database backend, used as it is."""
    before = app.conf.result_backend
    with TemporaryDirectory() as directory:
        app.conf.result_backend = results_in(directory)
        try:
            with _simulated("memory", None, workflow) as flow:
                yield flow
        finally:
            app.conf.result_backend = before


def _sim(broker: str, backend: str) -> Mode:
    return Mode(f"sim {broker}+{backend}", "sim", broker, backend, partial(_simulated, broker, backend))


_MEMORY = _sim("memory", "memory")
_REDIS = _sim("redis", "redis")
_RABBITMQ = _sim("rabbitmq", "memory")

#: What other simulations are compared with.
REFERENCE = _MEMORY

SIMULATED = [
    _REDIS,
    _RABBITMQ,
    _sim("rabbitmq", "polling"),
    Mode("sim memory+db", "sim", "memory", "polling", _with_database, brief=True),
]

# --- real ones ---


@contextmanager
def _worker(broker: str, backend: str, workflow: Workflow) -> Iterator[Flow]:
    urls = {"memory": lambda: "memory", "redis": _redis, "rabbitmq": services.rabbitmq_url}
    with run_worker(
        app,
        concurrency=workflow.concurrency,
        config=workflow.config,
        timeout=10.0,
        broker=urls[broker](),
        backend=urls[backend](),
    ) as flow:
        yield flow


def _redis() -> str:
    return services.private_redis().url


def _live(broker: str, backend: str, twin: Mode, spared: tuple[type[Fault], ...]) -> Mode:
    opened = partial(_worker, broker, backend)
    return Mode(f"worker {broker}+{backend}", "worker", broker, backend, opened, twin, spared)


LIVE = [
    _live("memory", "memory", _MEMORY, ()),
    _live("redis", "redis", _REDIS, _OF_SERVERS),
    _live("rabbitmq", "memory", _RABBITMQ, _OF_SERVERS),
]


@contextmanager
def _process(workflow: Workflow) -> Iterator[Flow]:
    url = _redis()
    with run_process(
        "tests.conformance.tasks:app",
        concurrency=workflow.concurrency,
        config=workflow.config,
        timeout=10.0,
        broker=url,
        backend=url,
    ) as flow:
        yield flow


#: Its workers take a second or two to start: many workflows share one.
PROCESS = Mode("process redis+redis", "process", "redis", "redis", _process, _REDIS)
