"""`simulate`, `run_worker`, `run_process`, `run_eager`: check the arguments, then open a mode with a flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from celery import Celery
from celery.app.backends import BACKEND_ALIASES

from pytest_celeryflow.borrow import check_config
from pytest_celeryflow.broker.semantics import SEMANTICS
from pytest_celeryflow.clock import moment
from pytest_celeryflow.durations import seconds
from pytest_celeryflow.flow import Flow
from pytest_celeryflow.modes.protocol import Mode
from pytest_celeryflow.results.select import BACKENDS
from pytest_celeryflow.services import ServiceMissing, find_rabbitmq, find_redis
from pytest_celeryflow.services.reaching import masked
from pytest_celeryflow.services.worker import check_json

#: How a server's URL begins.
_URLS = {"redis": ("redis://", "rediss://"), "rabbitmq": ("amqp://", "amqps://", "pyamqp://")}

__all__ = ["opened", "recent", "run_eager", "run_process", "run_worker", "simulate"]

#: The flow that was opened last, after those that were open when it was; for reports.
recent: list[Flow] = []
#: The flows that are open, oldest first.
opened: list[Flow] = []


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
        backend: Logic of the result store: ``"redis"``, ``"memory"`` (key-value) or
            ``"polling"`` (chords by ``celery.chord_unlock``). ``None`` takes that of the app's
            ``result_backend``; one that needs no server is used as it is.
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

    _check_app(app)
    _at_least_one(workers=workers, concurrency=concurrency)
    if prefetch_multiplier is not None and not (_whole(prefetch_multiplier) and prefetch_multiplier >= 0):
        raise ValueError(
            f"prefetch_multiplier={prefetch_multiplier!r} must be a whole number, 0 or more, or None"
        )
    if not _whole(seed):
        raise ValueError(f"seed={seed!r} must be a whole number")
    _names_of_queues(queues)
    _one_of("broker", broker, [*SEMANTICS, None])
    _one_of("backend", backend, [*BACKENDS, None])
    moment(start, argument="start")
    mode = SimMode(
        app,
        workers=workers,
        concurrency=concurrency,
        prefetch_multiplier=prefetch_multiplier,
        broker=broker,
        backend=backend,
        start=start,
        seed=seed,
        config=check_config(config),
        queues=queues,
    )
    with _flow(mode) as flow:
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
    _check_app(app)
    _at_least_one(concurrency=concurrency)
    _one_of("pool", pool, ["threads", "solo"])
    _names_of_queues(queues)
    _server("broker", broker, ["memory", "redis", "rabbitmq"])
    if not _own_backend(backend):
        _server("backend", backend, ["memory", "redis"])
    options: dict[str, Any] = {
        "pool": pool,
        "concurrency": 1 if pool == "solo" else concurrency,
        "config": check_config(config),
        "queues": queues,
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

    store = backend if _own_backend(backend) else _found(backend)
    return RemoteMode(app, broker=_found(broker), store=store, **options)


def _found(name: str) -> Any:
    """The server that a name or a URL names; ``None`` for none."""
    if name == "memory":
        return None
    url = name if "://" in name else None
    if name == "rabbitmq" or name.startswith(_URLS["rabbitmq"]):
        return find_rabbitmq(url)
    if find_spec("redis") is None:
        remedy = "pip install 'pytest-celeryflow[redis]'"
        raise ServiceMissing("Redis", ["redis-py, which kombu needs, is not installed"], remedy)
    return find_redis(url)


def _own_backend(value: Any) -> bool:
    """Whether a result backend is one of Celery's that is used as it is."""
    if not isinstance(value, str) or "://" not in value or value.startswith(_URLS["redis"]):
        return False
    scheme = value.partition("://")[0].lower()
    return scheme in BACKEND_ALIASES or scheme.partition("+")[0] in BACKEND_ALIASES


def _server(name: str, value: Any, valid: Sequence[str]) -> None:
    schemes = [scheme for server in valid for scheme in _URLS.get(server, ())]
    if value in valid or (isinstance(value, str) and value.startswith(tuple(schemes))):
        return
    raise ValueError(
        f"{name}={masked(value)!r} is not one of {', '.join(map(repr, valid))}, nor a URL that begins "
        f"with {', '.join(schemes)}"
    )


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

    _at_least_one(workers=workers, concurrency=concurrency)
    _server("broker", broker, ["redis", "rabbitmq"])
    _server("backend", backend, ["redis"])
    settings = check_config(config)
    check_json(settings)
    bound = seconds(timeout, argument="timeout")
    path, app = found(app_path)
    server, store = _found(broker), _found(backend)
    from pytest_celeryflow.modes.process import ProcessMode  # noqa: PLC0415 - needs the servers

    mode = ProcessMode(
        app,
        path,
        workers=workers,
        concurrency=concurrency,
        broker=server,
        store=store,
        config=settings,
        queues=queues,
        timeout=bound,
    )
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

    _check_app(app)
    _one_of("propagate", propagate, [True, False])
    with _flow(EagerMode(app, propagate=propagate, config=check_config(config))) as flow:
        yield flow


@contextmanager
def _flow(mode: Mode) -> Iterator[Flow]:
    with mode, Flow(mode).opened() as flow:
        recent[:] = [*opened, flow]
        opened.append(flow)
        try:
            yield flow
        finally:
            opened.remove(flow)


def _check_app(app: Any) -> None:
    if not isinstance(app, Celery):
        raise TypeError(f"app={app!r} is not a Celery app")


def _at_least_one(**numbers: int) -> None:
    for name, value in numbers.items():
        if not _whole(value) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number, 1 or more")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _names_of_queues(queues: Any) -> None:
    if queues is None:
        return
    listed = isinstance(queues, Sequence) and not isinstance(queues, str | bytes)
    if not listed or not queues or not all(isinstance(name, str) and name for name in queues):
        raise ValueError(
            f"queues={queues!r} must be a list of names of queues, such as ['celery'], or None"
        )


def _one_of(name: str, value: Any, valid: Sequence[Any]) -> None:
    if value not in valid:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, valid))}")
