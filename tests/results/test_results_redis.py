"""`results/redis`: each command, and Celery's scripts, beside a real Redis server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_celeryflow.results.values import Values

from .conftest import Present, never_comes

pytest.importorskip("redis")

from celery.backends import redis as celery_redis

from pytest_celeryflow.results.redis import InProcessClient

# Celery calls SETEX, which redis-py 8 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

compared = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: Kinds of values; a key holds one kind, as Celery's do.
KEYS = {kind: [f"{kind}-{n}" for n in (1, 2)] for kind in ("text", "number", "zset", "list", "set")}
ANY_KEY = st.sampled_from([key for keys in KEYS.values() for key in keys])
WORD = st.sampled_from([b"a", b"b", b"\xff", "ü", 1, 2.5])
INDEX = st.integers(-4, 4)
SCORE = st.sampled_from([0, 1, 2, 0.5, -1])


def on(kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from(KEYS[kind])


def command(name: str, *arguments: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *arguments)


COMMANDS = st.one_of(
    command("get", on("text")),
    command("get", on("number")),
    command("mget", st.lists(on("text"), min_size=1)),
    command("set", on("text"), WORD),
    command("setex", on("text"), st.integers(100, 200), WORD),
    command("delete", ANY_KEY, ANY_KEY),
    command("exists", ANY_KEY, ANY_KEY),
    command("expire", ANY_KEY, st.sampled_from([0, -1, 100])),
    command("incr", on("number")),
    command("incr", on("number"), st.integers(-3, 3)),
    command("zadd", on("zset"), st.dictionaries(WORD, SCORE, min_size=1)),
    command("zcount", on("zset"), st.sampled_from(["-inf", 0, 1]), st.sampled_from(["+inf", 1])),
    command("zrange", on("zset"), INDEX, INDEX),
    command("rpush", on("list"), WORD, WORD),
    command("llen", on("list")),
    command("lrange", on("list"), INDEX, INDEX),
    command("sadd", on("set"), WORD, WORD),
    command("sismember", on("set"), WORD),
)


def with_prefix(prefix: str, name: str, *arguments: Any) -> tuple[Any, ...]:
    """The command with the test's own keys."""
    if name in ("delete", "exists"):
        return name, *(prefix + key for key in arguments)
    if name == "mget":
        return name, [prefix + key for key in arguments[0]]
    return name, prefix + arguments[0], *arguments[1:]


def new_client() -> InProcessClient:
    return InProcessClient(Values(Present(), never_comes))


def forget(real: Any, prefix: str) -> None:
    keys = [prefix + key for keys in KEYS.values() for key in keys]
    real.delete(*keys)


def contents(client: Any, prefix: str) -> dict[str, Any]:
    """Everything that is stored, read with the commands that were compared before."""
    read = {
        "text": client.get,
        "number": client.get,
        "zset": lambda key: client.zrange(key, 0, -1),
        "list": lambda key: client.lrange(key, 0, -1),
        "set": lambda key: [client.sismember(key, word) for word in (b"a", b"b", 1)],
    }
    return {key: read[kind](prefix + key) for kind, keys in KEYS.items() for key in keys}


@pytest.mark.slow
@compared
@given(commands=st.lists(COMMANDS, max_size=20))
def test_commands_reply_as_on_a_real_server(real, prefix, commands) -> None:
    """Any sequence of the commands that Celery's backend uses: same replies, same contents."""
    forget(real, prefix)
    ours = new_client()
    for command in commands:
        name, *arguments = with_prefix(prefix, *command)
        assert getattr(ours, name)(*arguments) == getattr(real, name)(*arguments), command
    assert contents(ours, prefix) == contents(real, prefix)


@compared
@given(commands=st.lists(COMMANDS, max_size=10))
def test_a_pipeline_replies_as_on_a_real_server(real, prefix, commands) -> None:
    """The replies of a transaction, in order."""
    forget(real, prefix)
    replies = []
    for client in (new_client(), real):
        with client.pipeline() as pipe:
            for command in commands:
                name, *arguments = with_prefix(prefix, *command)
                getattr(pipe, name)(*arguments)
            replies.append(pipe.execute())
    assert replies[0] == replies[1]


def test_set_if_it_is_not_there(real, prefix) -> None:
    """SET with NX and EX, as Celery claims a chord's callback."""
    for client in (new_client(), real):
        key = f"{prefix}claim"
        assert client.set(key, "one", nx=True, ex=100) is True
        assert client.set(key, "two", nx=True, ex=100) is None
        assert client.get(key) == b"one"


def test_what_has_expired_is_not_there() -> None:
    """Every command sees that a key's time has come."""
    present = Present()
    client = InProcessClient(Values(present, never_comes))
    client.rpush("k", "a")
    client.expire("k", 10)
    present.now += 10
    assert (client.llen("k"), client.exists("k"), client.rpush("k", "b")) == (0, 0, 1)


def test_an_unknown_command_is_an_error_with_its_name() -> None:
    """Nothing is lost silently; the message says where there is a real server."""
    with pytest.raises(NotImplementedError, match=r"'hset' .*backend='redis'"):
        new_client().hset("k", "f", "v")


def test_only_subscribers_get_what_is_published() -> None:
    """PUBLISH tells how many listened; after UNSUBSCRIBE and close nobody does."""
    client = new_client()
    one, two = client.pubsub(), client.pubsub()
    one.subscribe("c", "d")
    two.subscribe("c")
    assert client.publish("c", "news") == 2
    two.unsubscribe("c")
    assert client.publish("c", "more") == 1
    one.close()
    assert client.publish("d", "x") == 0
    assert [m["data"] for m in one.inbox] == [b"news", b"more"]
    assert [m["data"] for m in two.inbox] == [b"news"]
    assert not one.subscribed


def test_whoever_waits_is_told_of_a_publication() -> None:
    """A result consumer sleeps until then."""
    client, told = new_client(), []
    client.values.changed = lambda: told.append(True)
    client.publish("c", "news")
    assert told == [True]


# --- Celery's own scripts ---

PART = st.tuples(
    st.sampled_from(["t1", "t2", "t3"]),  # task id
    st.sampled_from([b"[1]", b"[2]", b"\x80raw"]),  # what it returned
    st.integers(0, 2),  # its place in the header
)


def script(client: Any, name: str) -> Any:
    text = getattr(celery_redis, name, None)
    if text is None:
        pytest.skip(f"this Celery has no {name}: it counts chords without scripts")
    return client.register_script(text)


CHORD_KEYS = ("jkey", "tkey", "skey", "dkey", "gkey", "ckey")


def chord_state(client: Any, prefix: str, ordered: bool) -> list[Any]:
    def key(name: str) -> str:
        return prefix + name

    parts = client.zrange if ordered else client.lrange
    return [
        client.exists(*map(key, CHORD_KEYS)),
        parts(key("jkey"), 0, -1),
        *(client.get(key(name)) for name in ("tkey", "skey", "gkey", "ckey")),
        *(client.sismember(key("dkey"), f"t{n}:{at}") for n in (1, 2, 3) for at in (0, 1, 2)),
    ]


@pytest.mark.slow
@compared
@given(
    parts=st.lists(PART, max_size=8),
    ordered=st.booleans(),
    expires=st.sampled_from([0, 100]),
    size=st.sampled_from([None, 1, 2, 3]),
    diff=st.sampled_from([None, 1, -1]),
    cleaned=st.integers(0, 8),
    done_expires=st.sampled_from([0, 100]),
)
def test_celerys_chord_scripts_do_as_on_a_real_server(
    real, prefix, parts, ordered, expires, size, diff, cleaned, done_expires
) -> None:
    """Counting, claiming, extending and cleaning up: same replies, same keys afterwards."""
    real.delete(*(prefix + name for name in CHORD_KEYS))
    keys = [prefix + name for name in CHORD_KEYS]
    jkey, tkey, skey, dkey, _, ckey = keys
    replies: list[list[Any]] = [[], []]
    for client, said in zip((new_client(), real), replies, strict=True):
        part_return = script(client, "CHORD_PART_RETURN_LUA")
        cleanup = script(client, "CHORD_CLEANUP_LUA")
        extend = script(client, "CHORD_CLAIM_EXTEND_LUA")
        if size is not None:
            client.set(skey, size)
        if diff is not None:
            client.incr(tkey, diff)
        for at, (task_id, value, place) in enumerate(parts):
            arguments = [task_id, value, int(ordered), place, expires, expires, 60, f"token{at}"]
            said.append(part_return(keys=keys, args=arguments))
            said.append(extend(keys=[ckey, skey], args=[f"token{at // 2}", 60]))
            if at == cleaned:
                claim = client.get(ckey) or "nobody"
                for token in ("somebody else", claim):
                    said.append(
                        cleanup(keys=[ckey, jkey, tkey, skey, dkey], args=[token, done_expires])
                    )
        said.append(chord_state(client, prefix, ordered))
    assert replies[0] == replies[1]


def test_every_script_of_the_installed_celery_can_be_run() -> None:
    """A script that a new Celery brings is noticed here, not in a user's test."""
    texts = {name: text for name, text in vars(celery_redis).items() if name.endswith("_LUA")}
    for text in texts.values():
        new_client().register_script(text)
