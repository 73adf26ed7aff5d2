"""`simulate`, `run_worker`, `run_process`, `run_eager`: check the arguments, then open a mode with a flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from celery import Celery

from pytest_celeryflow import hooks
from pytest_celeryflow.arguments import SCHEMES, check_app, check_arguments, is_used_as_it_is
from pytest_celeryflow.durations import seconds
from pytest_celeryflow.flow import Flow
from pytest_celeryflow.modes.protocol import Mode
from pytest_celeryflow.services import ServiceMissing, find_rabbitmq, find_redis

__all__ = ["run_eager", "run_process", "run_worker", "simulate"]


@contextmanager
def simulate(
    app: Celery,
    *,
    workers: int = 1,
    concurrency: int = 4,
    prefetch_multiplier: int | None = None,
    broker: str | None = None,
    backend: str | None = None,
    start: str | datetime = "2026-01-01T00:00:00Z",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    queues: Sequence[str] | None = None,
) -> Iterator[Flow]:
    """Simulate the app's workers, broker and result store on a virtual clock.

    Celery's own worker, canvas and chord code runs; it runs on this thread, in an order
    that is the same every time, and an hour costs nothing.

    Args:
        app: The app. It is borrowed, and put back exactly as it was.
        workers: How many workers there are.
        concurrency: How many tasks each runs at a time.
        prefetch_multiplier: As the setting ``worker_prefetch_multiplier``; ``None``: the app's.
        broker: Semantics of the broker: ``"redis"``, ``"rabbitmq"`` or ``"memory"``. ``None``
            takes those of the app's ``broker_url``.
        backend: Logic of the result store: ``"redis"``, ``"memory"`` (key-value),
            ``"rabbitmq"`` (``rpc://``: results are messages, and there are no chords) or
            ``"polling"`` (chords by ``celery.chord_unlock``); or a ``result_backend`` that needs
            no server, such as ``"db+sqlite:///results"``, which is used as it is. ``None`` takes
            that of the app's ``result_backend``.
        start: The first moment, unless a ``freeze_time`` is active.
        seed: Seeds ids, `random` and `uuid.uuid4`.
        config: Settings to lay over the app's, by Celery's lower-case names.
        queues: Queues that the workers consume, as ``celery worker -Q``. ``None``: those of
            ``task_queues``, or, without that setting, every queue that is published to.

    Yields:
        The flow.

    Raises:
        TypeError: ``app`` is not a Celery app.
        ValueError: An argument is not valid; the message lists what is.

    Example:
        >>> from celery import Celery
        >>> app = Celery("shop")
        >>> @app.task(name="shop.double")
        ... def double(x):
        ...     return 2 * x
        >>> with simulate(app) as flow:
        ...     flow.run(double.s(4) | double.s()).value
        16
    """
    from pytest_celeryflow.modes.sim import SimMode  # noqa: PLC0415 - loaded when used

    check_app(app)
    options: dict[str, Any] = {
        "workers": workers,
        "concurrency": concurrency,
        "prefetch_multiplier": prefetch_multiplier,
        "broker": broker,
        "backend": backend,
        "start": start,
        "seed": seed,
        "config": config,
        "queues": queues,
    }
    check_arguments("sim", options)
    options["config"] = dict(config or {})
    with _flow(SimMode(app, **options)) as flow:
        yield flow


@contextmanager
def run_worker(
    app: Celery,
    *,
    pool: str = "threads",
    concurrency: int = 4,
    broker: str = "memory",
    backend: str = "memory",
    config: Mapping[str, Any] | None = None,
    queues: Sequence[str] | None = None,
    timeout: float = 30.0,
    stop_timeout: float = 5.0,
) -> Iterator[Flow]:
    """Run a real Celery worker in a thread of this process.

    Args:
        app: The app. It is borrowed, and put back exactly as it was.
        pool: ``"threads"`` or ``"solo"``.
        concurrency: How many tasks it runs at a time; 1 for ``"solo"``.
        broker: ``"memory"``, in the process; ``"redis"`` or ``"rabbitmq"``, a server that is
            found or started (`services.find_redis`, `services.find_rabbitmq`); or the URL of
            one. The test keeps to a name space of its own there.
        backend: ``"memory"``, ``"redis"`` or the URL of a Redis, likewise; or another
            ``result_backend`` of Celery's, such as ``"rpc://"`` or ``"db+sqlite:///results"``,
            which is used as it is: with Celery's own polling, and what it keeps is not removed.
        config: Settings to lay over the app's, by Celery's lower-case names.
        queues: As for `simulate`.
        timeout: The most real seconds that anything waits which names no timeout itself.
        stop_timeout: The most real seconds that a running task may take to end at the end.

    Yields:
        The flow.

    Raises:
        TypeError: ``app`` is not a Celery app.
        ValueError: An argument is not valid; the message lists what is.
        WorkflowStalled: A task still runs when the context ends, after a bound; it is named.
        ServiceMissing: There is no such server, or it does not answer.
    """
    check_app(app)
    options: dict[str, Any] = {
        "pool": pool,
        "concurrency": concurrency,
        "config": config,
        "queues": queues,
        "timeout": timeout,
        "stop_timeout": stop_timeout,
    }
    check_arguments("worker", {"broker": broker, "backend": backend, **options})
    options |= {
        "config": dict(config or {}),
        "concurrency": 1 if pool == "solo" else concurrency,
        "timeout": seconds(timeout, argument="timeout"),
        "stop_timeout": seconds(stop_timeout, argument="stop_timeout"),
    }
    with _flow(_worker_mode(app, broker, backend, options)) as flow:
        yield flow


def _worker_mode(app: Celery, broker: str, backend: str, options: Mapping[str, Any]) -> Mode:
    if broker == backend == "memory":
        from pytest_celeryflow.modes.worker import WorkerMode  # noqa: PLC0415 - loaded when used

        return WorkerMode(app, **options)
    from pytest_celeryflow.modes.remote import RemoteMode  # noqa: PLC0415 - loaded when used

    store = backend if is_used_as_it_is(backend) else _found(backend)
    return RemoteMode(app, broker=_found(broker), store=store, **options)


def _found(name: str) -> Any:
    """The server that a name or a URL names; ``None`` for none."""
    if name == "memory":
        return None
    url = name if "://" in name else None
    if name == "rabbitmq" or name.startswith(SCHEMES["rabbitmq"]):
        return find_rabbitmq(url)
    if find_spec("redis") is None:
        remedy = "pip install 'pytest-celeryflow[redis]'"
        raise ServiceMissing("Redis", ["redis-py, which kombu needs, is not installed"], remedy)
    return find_redis(url)


@contextmanager
def run_process(
    app_path: str | Celery,
    *,
    workers: int = 1,
    concurrency: int = 2,
    broker: str = "redis",
    backend: str = "redis",
    config: Mapping[str, Any] | None = None,
    queues: Sequence[str] | None = None,
    timeout: float = 30.0,
) -> Iterator[Flow]:
    """Run real workers in processes of their own: ``celery worker`` with its prefork pool.

    The app is imported by each worker, and by this process, where it is borrowed. Nothing is
    left afterwards: the workers are killed, and what bears the test's name on the servers is
    removed. What is still running then is cut off; `Flow.drain` waits for it.

    Args:
        app_path: Where the app is, as for ``celery -A``: ``"module:attribute"`` or a module.
            Or an app that is an attribute of a module which can be imported.
        workers: How many workers there are.
        concurrency: How many processes the pool of each has.
        broker: ``"redis"`` or ``"rabbitmq"``, a server that is found or started
            (`services.find_redis`, `services.find_rabbitmq`); or the URL of one. The test
            keeps to a name space of its own there.
        backend: ``"redis"`` or the URL of a Redis, likewise.
        config: Settings to lay over the app's, by Celery's lower-case names; values as JSON
            has them.
        queues: As for `simulate`.
        timeout: The most real seconds that anything waits which names no timeout itself.

    Yields:
        The flow.

    Raises:
        TypeError: ``app_path`` is neither a path nor an app.
        ValueError: An argument is not valid; the message lists what is.
        CeleryflowError: A worker did not come up; with its output.
        ServiceMissing: There is no such server, or it does not answer.

    Example:
        >>> with run_process("shop.celery:app") as flow:  # doctest: +SKIP
        ...     flow.run(charge.s("A-1")).value
        'A-1 paid'
    """
    from pytest_celeryflow.process.finding import found  # noqa: PLC0415 - loaded when used

    options: dict[str, Any] = {
        "workers": workers,
        "concurrency": concurrency,
        "config": config,
        "queues": queues,
        "timeout": timeout,
    }
    check_arguments("process", {"broker": broker, "backend": backend, **options})
    options |= {"config": dict(config or {}), "timeout": seconds(timeout, argument="timeout")}
    path, app = found(app_path)
    server, store = _found(broker), _found(backend)
    from pytest_celeryflow.modes.process import ProcessMode  # noqa: PLC0415 - needs the servers

    mode = ProcessMode(app, path, broker=server, store=store, **options)
    with _flow(mode) as flow:
        yield flow


@contextmanager
def run_eager(
    app: Celery, *, propagate: bool = False, config: Mapping[str, Any] | None = None
) -> Iterator[Flow]:
    """Run tasks where they are called: Celery's own ``task_always_eager``, recorded.

    Args:
        app: The app. It is borrowed, and put back exactly as it was.
        propagate: As the setting ``task_eager_propagates``: let a task's exception escape
            from the call.
        config: Settings to lay over the app's, by Celery's lower-case names.

    Yields:
        The flow.

    Raises:
        TypeError: ``app`` is not a Celery app.
        ValueError: An argument is not valid; the message lists what is.
    """
    from pytest_celeryflow.modes.eager import EagerMode  # noqa: PLC0415 - loaded when used

    check_app(app)
    check_arguments("eager", {"propagate": propagate, "config": config})
    with _flow(EagerMode(app, propagate=propagate, config=dict(config or {}))) as flow:
        yield flow


@contextmanager
def _flow(mode: Mode) -> Iterator[Flow]:
    with mode, Flow(mode).opened() as flow:
        hooks.recent_flows[:] = [*hooks.open_flows, flow]
        hooks.open_flows.append(flow)
        try:
            yield flow
        finally:
            hooks.open_flows.remove(flow)
