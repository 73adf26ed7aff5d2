"""The in-process result backends: waiting without polling, and whose chord logic runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from celery import Celery, chord
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult, GroupResult

from pytest_celeryflow.results.memory import MemoryBackend, NoBackend, PollingBackend
from pytest_celeryflow.results.values import Values

from .conftest import Present


class Waiting:
    """Waiting for a store: things happen one by one, a second each, while somebody waits."""

    def __init__(self, present: Present) -> None:
        self.present = present
        self.to_come: deque[Callable[[], object]] = deque()
        self.looks = 0

    def __call__(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        limit = None if timeout is None else self.present.now + timeout
        while True:
            self.looks += 1
            if ready():
                return True
            if limit is not None and self.present.now + 1 > limit:
                return False
            if not self.to_come:
                assert limit is not None, "waits for ever"
                return False
            self.present.now += 1
            self.to_come.popleft()()


@pytest.fixture
def waiting(present: Present) -> Waiting:
    """What will happen, and when."""
    return Waiting(present)


@pytest.fixture
def app(present: Present, waiting: Waiting) -> Celery:
    """An app whose backend waits so."""
    app = Celery("x", set_as_current=False)
    app._backend_cache = MemoryBackend(app, Values(present, waiting))
    return app


def done(app: Celery, task_id: str, value: object = None) -> Callable[[], None]:
    return lambda: app.backend.mark_as_done(task_id, value)


def failed(app: Celery, task_id: str, exc: Exception) -> Callable[[], None]:
    return lambda: app.backend.mark_as_failure(task_id, exc)


def test_get_waits_until_the_result_is_there(app, waiting) -> None:
    """Other results pass by; each look follows a change, and there are no others."""
    waiting.to_come += [done(app, "other", 0), done(app, "mine", 42)]
    assert AsyncResult("mine", app=app).get() == 42
    assert waiting.looks == 3


def test_get_raises_what_the_task_raised(app, waiting) -> None:
    """The exception travels through the store."""
    waiting.to_come += [failed(app, "mine", ValueError("no"))]
    with pytest.raises(ValueError, match=r"^no$"):
        AsyncResult("mine", app=app).get()


def test_get_gives_up_after_its_timeout(app, waiting, present) -> None:
    """Celery's own TimeoutError, in Celery's own words."""
    waiting.to_come += [done(app, "other")] * 9
    with pytest.raises(CeleryTimeout, match="timed out"):
        AsyncResult("mine", app=app).get(timeout=3)
    assert present.now == 1_003


def test_get_raises_what_a_parent_raised(app, waiting) -> None:
    """The rest of a chain never comes; its failure does."""
    result = AsyncResult("child", app=app, parent=AsyncResult("parent", app=app))
    waiting.to_come += [failed(app, "parent", KeyError("k"))]
    with pytest.raises(KeyError):
        result.get()


def test_a_parent_is_not_asked_without_propagation(app, waiting) -> None:
    """``propagate=False``: wait for the result itself."""
    result = AsyncResult("child", app=app, parent=AsyncResult("parent", app=app))
    waiting.to_come += [failed(app, "parent", KeyError("k")), done(app, "child", 1)]
    assert result.get(propagate=False) == 1


def group_of(app: Celery, *ids: str) -> GroupResult:
    return GroupResult("g", [AsyncResult(i, app=app) for i in ids], app=app)


def test_join_gives_results_in_the_order_of_the_group(app, waiting) -> None:
    """In whichever order they come."""
    waiting.to_come += [done(app, "c", 3), done(app, "a", 1), done(app, "b", 2)]
    assert group_of(app, "a", "b", "c").join_native() == [1, 2, 3]


def test_get_many_gives_each_result_when_it_comes(app, waiting) -> None:
    """In the order of their coming, each once, and tells ``on_message`` of each."""
    waiting.to_come += [done(app, "b", 2), done(app, "a", 1)]
    told = []
    got = list(app.backend.get_many(["a", "b"], on_message=told.append))
    assert [task_id for task_id, _ in got] == ["b", "a"]
    assert [meta["result"] for meta in told] == [2, 1]


def test_the_timeout_of_get_many_is_for_all_of_them(app, waiting, present) -> None:
    """A result that comes does not start the waiting anew."""
    waiting.to_come += [done(app, "a"), done(app, "b"), done(app, "x"), done(app, "c")]
    with pytest.raises(CeleryTimeout):
        list(app.backend.get_many(["a", "b", "c"], timeout=3))
    assert present.now == 1_003


def test_join_raises_the_first_failure_in_the_order_of_the_group(app, waiting) -> None:
    """Without waiting for the others."""
    waiting.to_come += [failed(app, "a", ValueError("no"))]
    with pytest.raises(ValueError, match="no"):
        group_of(app, "a", "b").join()


def test_results_expire(app, present) -> None:
    """After ``result_expires`` seconds the store knows nothing of the task."""
    app.conf.result_expires = 60
    app._backend_cache = MemoryBackend(app, app.backend.values)
    done(app, "mine", 1)()
    app.backend._cache.clear()
    present.now += 60
    assert AsyncResult("mine", app=app).state == "PENDING"


def test_forget_deletes_a_result(app) -> None:
    """`AsyncResult.forget`."""
    done(app, "mine", 1)()
    result = AsyncResult("mine", app=app)
    result.forget()
    assert result.state == "PENDING"


def test_it_cannot_be_handed_to_another_process(app) -> None:
    """A pickled copy would be another, empty store."""
    with pytest.raises(TypeError, match="another process"):
        app.backend.__reduce__()


def test_a_group_is_decoded_once(app, monkeypatch) -> None:
    """A chord's header is stored once and read for each part: parsed once, too."""
    group_of(app, "a", "b").save(backend=app.backend)
    reads = []
    decode = app.backend.decode
    monkeypatch.setattr(app.backend, "decode", lambda text: reads.append(text) or decode(text))
    assert app.backend.restore_group("g") == app.backend.restore_group("g")
    assert len(reads) == 1


def test_a_group_that_was_stored_anew_is_decoded_anew(app) -> None:
    """The memo goes by the stored text."""
    for ids in (["a"], ["a", "b"]):
        group_of(app, *ids).save(backend=app.backend)
        assert [r.id for r in app.backend.restore_group("g", cache=False).results] == ids


def test_polling_and_counting_differ_in_one_thing(present, waiting) -> None:
    """Without ``incr``, Celery sends ``celery.chord_unlock``."""
    assert MemoryBackend.implements_incr
    assert not PollingBackend.implements_incr


def test_without_a_backend_chords_are_refused_in_celerys_words(present, waiting) -> None:
    """As `DisabledBackend` does."""
    app = Celery("x", broker="memory://", set_as_current=False)
    app._backend_cache = NoBackend(app, Values(present, waiting))

    @app.task
    def task() -> None:
        """Never called."""

    with pytest.raises(NotImplementedError, match=r"[Cc]hords"):
        chord([task.s()], task.si()).apply_async()
