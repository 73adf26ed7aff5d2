"""In the test: takes down what the workers tell, in the order in which it comes.

One thread reads the pipe. It writes the history, keeps the books on messages and jobs, wakes
whoever waits, and has questions answered. Nothing in it waits for a worker.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.live.ledger import Ledger
from pytest_celeryflow.process.pipe import Sender, received
from pytest_celeryflow.process.values import Packed
from pytest_celeryflow.recorder import Recorder

__all__ = ["Hearing"]

#: Real seconds that the last messages may take at the end.
_PATIENCE = 10.0

#: A worker and one of its processes.
Who = tuple[str, int]

#: What `Ledger` is told with a channel, and at which place.
_CHANNEL_AT = {"delivered": 2, "consumes": 1, "cancelled": 1, "settled": 0, "returned": 0}


class Hearing:
    """Listens to all workers of one flow.

    Args:
        recorder: Writes the history.
        ledger: Keeps the books on messages.
        gives_back: Whether the broker gives back at once what a lost connection held.
    """

    def __init__(self, recorder: Recorder, ledger: Ledger, *, gives_back: bool) -> None:
        self._recorder, self._ledger, self._gives_back = recorder, ledger, gives_back
        self._reading, self.writing = os.pipe()
        self._sender = Sender(self.writing)
        self._thread = threading.Thread(target=self._listen, name="celeryflow-hearing", daemon=True)
        #: Which worker speaks, in the thread that listens.
        self.speaker = threading.local()
        #: Called when a result was stored.
        self.stored: Callable[[], None] = _nothing
        #: Called with a question: topic, worker, process, the task it carries out, fields.
        self.asked: Callable[[str, Who, str | None, dict[str, Any]], None] = _nothing
        #: Called when a task that a pool took may have become certain: accepted, acknowledged.
        self.moved: Callable[[], None] = _nothing
        #: Called with worker and process when a worker is ready for orders.
        self.ready: Callable[[Who], None] = _nothing
        #: Called with the name of a worker that is gone; gives why, in words.
        self.gone: Callable[[str], str] = _nothing
        #: Called with the name of a worker that is gone, when all that was its is settled.
        self.settled: Callable[[str], None] = _nothing
        #: Processes that were told to die -> where, in words.
        self.doomed: dict[Who, str] = {}
        #: Ids of tasks that a pool has accepted, and whether they are acknowledged late.
        self._accepts: dict[str, bool] = {}
        #: How often a message of a task was settled, and how often when a pool took it last.
        self._settled_of: Counter[str] = Counter()
        self._settled_then: dict[str, int] = {}
        #: Workers that consume all their queues: those that are up and have not lost the broker.
        self.consuming: set[str] = set()
        #: What went wrong in here; whoever waits raises it.
        self.failed: BaseException | None = None
        self._at: dict[str, Who] = {}
        self._outcomes: dict[tuple[str, Who], tuple[str, dict[str, Packed]]] = {}
        self._returns: dict[tuple[str, Who], dict[str, float]] = {}
        self._jobs: dict[str, Counter[str]] = {}
        self._limits: set[str] = set()
        #: Ids of tasks whose tracer ended without telling how the task did.
        self._untold: set[str] = set()
        self._channels: dict[Who, dict[str, None]] = {}
        self._errbacks: dict[tuple[Who, str, str], list[dict[str, Any]]] = {}

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Take down the rest, and end."""
        self._sender.send(None)
        self._thread.join(_PATIENCE)
        os.close(self.writing)
        os.close(self._reading)

    def tell_gone(self, worker: str) -> None:
        """A worker and all its processes have ended: known after what they told."""
        self._sender.send(("gone", worker, 0, None, {}))

    def _listen(self) -> None:
        for message in received(lambda size: os.read(self._reading, size)):
            if message is None:
                return
            kind, worker, process, by, fields = message
            self.speaker.worker = worker
            self._recorder.carry(by)
            try:
                getattr(self, f"_{kind}")((worker, process), by, **fields)
            except BaseException as exc:  # noqa: BLE001 - raised where somebody waits
                self.failed = self.failed or exc
                self._recorder.touch()
            finally:
                self._recorder.carry(None)

    def raise_failure(self) -> None:
        """Raise what went wrong in here.

        Raises:
            CeleryflowError: Something did.
        """
        if self.failed is not None:
            failed, self.failed = self.failed, None
            raise CeleryflowError(f"what a worker told could not be taken down: {failed!r}") from failed

    # --- messages ---

    def _passing(self, who: Who, by: str | None, what: str, args: Any, more: Any) -> None:
        if what == "gone" and args[0] in self._ledger.all_consumers():
            self.consuming.discard(who[0])
        place = _CHANNEL_AT.get(what)
        if place is not None:
            self._channels.setdefault(who, {})[args[place]] = None
        message = self._ledger.held_by(*args[:2]) if what == "settled" else None
        getattr(self._ledger, what)(*args, **more)
        if message is not None and message.task_id is not None:
            self._settled_of[message.task_id] += 1
            self.moved()

    def _ask(self, who: Who, by: str | None, topic: str, **fields: Any) -> None:
        self.asked(topic, who, by, fields)

    # --- executions ---

    def _received(self, who: Who, by: str | None, task: str, id: str) -> None:  # noqa: A002
        self._recorder.note("received", task=task, id=id, worker=who[0])

    def _started(
        self, who: Who, by: str | None, task: str, id: str, args: Packed, kwargs: Packed, **told: Any  # noqa: A002
    ) -> None:
        self._at[id] = who
        told["parent"], told["root"] = told.pop("parent"), told.pop("root")
        self._recorder.began(
            task, id, who, who[0], args=args.value(), kwargs=kwargs.value(), **told
        )

    def _ended(
        self, who: Who, by: str | None, task: str, id: str, state: str, error: Packed | None  # noqa: A002
    ) -> None:
        if error is not None:
            self._recorder.ended(state.lower(), task, id, who, error=error.value())
        elif self._recorder.is_running(id, who):
            self._untold.add(id)  # the tracer itself failed; the main process may know more
        self._recorder.left(who)
        self._outcomes.pop((id, who), None)

    def _returned(self, who: Who, by: str | None, id: str) -> None:  # noqa: A002
        """A body has returned. What follows it may begin before its result is stored."""
        self._returns[id, who] = self._recorder.now()

    def _outcome(
        self, who: Who, by: str | None, kind: str, task: str, id: str, details: dict[str, Packed]  # noqa: A002
    ) -> None:
        told = {name: value.value() for name, value in details.items()}
        returned = self._returns.pop((id, who), None)
        if kind == "succeeded" and returned is not None:
            told["returned"] = returned
        self._recorder.ended(kind, task, id, who, **told)

    def _stored(
        self, who: Who, by: str | None, id: str, outcome: tuple[str, dict[str, Packed]] | None  # noqa: A002
    ) -> None:
        if outcome is not None:
            self._outcomes[id, who] = outcome
        self.stored()

    def _noted(self, who: Who, by: str | None, kind: str, **about: Any) -> None:
        self._recorder.note(kind, worker=who[0], **about)

    def _errback_began(
        self, who: Who, by: str | None, task: str, failed: str, **told: Any
    ) -> None:
        about = self._recorder.errback_began(
            task,
            failed,
            who[0],
            told["exc"].value(),
            told["more"].value(),
            told["kwargs"].value(),
            told["root"],
            who,
        )
        self._errbacks.setdefault((who, task, failed), []).append(about)

    def _errback_ended(
        self, who: Who, by: str | None, kind: str, task: str, failed: str, **told: Packed
    ) -> None:
        about = self._errbacks[who, task, failed].pop()
        self._recorder.note(kind, **about, **{name: value.value() for name, value in told.items()})

    # --- the pool ---

    def _job(self, who: Who, by: str | None, task: str, id: str) -> None:  # noqa: A002
        self._jobs.setdefault(who[0], Counter())[id] += 1
        self._accepts.pop(id, None)
        self._settled_then[id] = self._settled_of[id]
        self._recorder.job_submitted(id)

    def _accepted(
        self, who: Who, by: str | None, task: str, id: str, late: bool, process: int  # noqa: A002
    ) -> None:
        self._accepts[id] = late
        self.moved()

    def is_accepted(self, id: str) -> bool:  # noqa: A002
        """Whether a task was accepted by the pool that has it, and acknowledged unless late."""
        late = self._accepts.get(id)
        if late is None:
            return False
        return late or self._settled_of[id] > self._settled_then[id]

    def _over(self, who: Who, by: str | None, task: str, id: str) -> None:  # noqa: A002
        at = self._at.get(id)
        if id in self._limits:
            self._limits.discard(id)
            if at is not None and self._recorder.is_running(id, at):
                # Celery 5.5 and 5.6 put it back without a word.
                self._recorder.lost(task, id, at, "its process was killed at its hard time limit")
        if id in self._untold:
            self._untold.discard(id)
            if any(open_ == id for open_, _ in self._recorder.unfinished(who[0])):
                why = "its outcome could not be stored: the worker's output says why"
                self._recorder.lost(task, id, at, why)
        jobs = self._jobs.get(who[0], Counter())
        if jobs[id] > 0:
            jobs[id] -= 1
            self._recorder.job_done(id)

    def _limit(
        self, who: Who, by: str | None, task: str, id: str, limit: str, seconds: float  # noqa: A002
    ) -> None:
        if limit == "hard":
            self._limits.add(id)
        about: dict[str, Any] = {"task": task, "id": id, "worker": who[0]}
        self._recorder.note("timeout", **about, limit=limit, seconds=float(seconds))

    def _lost(self, who: Who, by: str | None, task: str, id: str, reason: str) -> None:  # noqa: A002
        at = self._at.get(id, who)
        reason = self.doomed.pop(at, f"its process was lost: {reason}")
        self._is_lost(task, id, at, reason)

    def _is_lost(self, task: str, id: str, at: Who, reason: str) -> None:  # noqa: A002
        outcome = self._outcomes.pop((id, at), None)
        told = None
        if outcome is not None:
            told = outcome[0], {name: value.value() for name, value in outcome[1].items()}
        self._recorder.lost(task, id, at, reason, told)

    # --- workers ---

    def _ready(self, who: Who, by: str | None) -> None:
        self.ready(who)
        self.consuming.add(who[0])

    def _gone(self, who: Who, by: str | None) -> None:
        """A worker is gone, with whatever it was doing."""
        worker = who[0]
        self.consuming.discard(worker)
        why = self.gone(worker)
        for id_, task in self._recorder.unfinished(worker):
            self._is_lost(task, id_, self._at.get(id_, who), f"{worker} {why}")
        for at in [at for at in self._channels if at[0] == worker]:
            for channel in self._channels.pop(at):
                (self._ledger.gone if self._gives_back else self._ledger.died)(channel)
        for id_, times in self._jobs.pop(worker, Counter()).items():
            for _ in range(times):
                self._recorder.job_done(id_)
        self.settled(worker)
        self._recorder.touch()


def _nothing(*_: Any) -> Any:
    """What is done where nobody wants to know."""
