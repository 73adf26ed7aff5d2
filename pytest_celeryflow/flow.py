"""`Flow`: the handle that a test holds, the same in every mode.

It knows modes by their protocol alone. It publishes, lets the mode work, and answers from
the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from celery import Celery, states
from celery.canvas import Signature
from kombu.exceptions import EncodeError

from pytest_celeryflow import hooks, outcomes
from pytest_celeryflow.assertions import Enqueued, check_not_ran, check_ran, enqueued
from pytest_celeryflow.books import Workflow
from pytest_celeryflow.clock import Clock
from pytest_celeryflow.databases import hints
from pytest_celeryflow.durations import seconds
from pytest_celeryflow.errors import CeleryflowAssertionError, CeleryflowError, WorkflowStalled
from pytest_celeryflow.history import Event, Execution, History
from pytest_celeryflow.invariants import Invariants
from pytest_celeryflow.modes.protocol import Message, Mode
from pytest_celeryflow.planner import Faults
from pytest_celeryflow.report.timeline import timeline
from pytest_celeryflow.run import Outcome, Run, task_name
from pytest_celeryflow.stub import Stub
from pytest_celeryflow.wiring import immutable_calls

if TYPE_CHECKING:
    from pytest_celeryflow.process.worker import WorkerProcess
    from pytest_celeryflow.sim.beat import Beat

__all__ = ["Flow"]


class Followed(Protocol):
    """A plan that a flow can follow."""

    def lead(self, flow: Flow) -> None:
        """Let it decide from now on."""


class Flow:
    """A workflow test in progress.

    Attributes:
        app: The app under test, lent out for as long as the flow is open.
        mode: ``"eager"``, ``"worker"``, ``"process"`` or ``"sim"``.
    """

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._stack = ExitStack()
        self._faults: Faults | None = None
        self._stubs: dict[str, Stub] = {}
        self._invariants = Invariants(mode.recorder)
        self._closed = False
        self._verdicts: set[str] = set()
        self._explored = False
        self._story: Callable[[], list[str]] = list
        self._beat: Beat | None = None
        #: Set by whoever knows: then the end of the flow has nothing to add.
        self.test_failed = False
        self.app: Celery = mode.app
        self.mode: str = mode.name

    def __repr__(self) -> str:
        return f"<Flow {self.mode} of {self.app.main or 'app'}: {len(self.history)} events>"

    # --- what there is ---

    @property
    def clock(self) -> Clock:
        """Time: virtual in ``sim``, real and unmovable elsewhere."""
        return self._mode.clock

    @property
    def history(self) -> History:
        """Everything that happened since the flow was opened."""
        return self._mode.recorder.history

    @property
    def faults(self) -> Faults:
        """What can go wrong: ``flow.faults.crash(task, at=CrashPoint.IN_BODY)``."""
        self._require_open("faults")
        if self._faults is None:
            self._faults = Faults(self._mode, self._name, self._stack)
        return self._faults

    @property
    def beat(self) -> Beat:
        """The app's ``beat_schedule`` on virtual time: ``flow.beat.run_for("7d")``.

        Raises:
            CeleryflowError: The mode runs in real time.
        """
        self._require_open("beat")
        from pytest_celeryflow.sim.beat import Beat  # noqa: PLC0415 - only when it is used

        if self._beat is None:
            self._beat = Beat(self._mode)
        return self._beat

    @property
    def workers(self) -> list[WorkerProcess]:
        """The worker processes of mode ``process``, to stop, kill, pause and start.

        Raises:
            CeleryflowError: The mode has none.
        """
        workers: list[WorkerProcess] | None = getattr(self._mode, "worker_processes", None)
        if workers is None:
            raise CeleryflowError(
                f"mode {self.mode!r} has no worker processes to stop or kill\n\n"
                "Next: use mode 'process'; or, in mode 'sim', kill a worker by\n"
                "      flow.faults.crash(task, at=…, kills='worker')."
            )
        return workers

    @property
    def worker(self) -> WorkerProcess:
        """The first of `workers`: ``flow.worker.kill()``.

        Raises:
            CeleryflowError: The mode has none.
        """
        return self.workers[0]

    def outputs(self) -> dict[str, str]:
        """What worker processes have written, by their names; empty in modes without any."""
        outputs = getattr(self._mode, "outputs", None)
        return outputs() if outputs is not None else {}

    def report(self, said: str = "") -> str:
        """What happened, what still waits, and hints, for a failure report.

        Args:
            said: What the report says already: no hint is given twice.
        """
        lines = [timeline(self.history, limit=60)]
        if told := self._story():
            departures = [f"  {n}. {sentence}" for n, sentence in enumerate(told, 1)]
            lines = ["its schedule departs from the default one:", *departures, "", *lines]
        waiting = [f"{m.label} in {m.where}" for m in self._mode.messages()[:8]]
        if waiting:
            lines.append(f"still waiting: {', '.join(waiting)}")
        for hint in hints(self.history, self.mode):
            if hint.split("\n")[0] not in said:
                lines += ["", hint]
        return "\n".join(lines)

    # --- doing ---

    def run(self, canvas: Any, *args: Any, timeout: float | None = None, **kwargs: Any) -> Run:
        """Publish a canvas and work until this workflow is at rest.

        Args:
            canvas: A signature, chain, group or chord, also as the dict that JSON makes of
                it, or a task, for which ``task.s(*args, **kwargs)`` is published.
            args: Further positional arguments, as for ``apply_async(args)``.
            timeout: The most seconds to work, virtual in ``sim``; by default as long as
                something happens in ``sim``, and half a minute of real time elsewhere.
            kwargs: Further keyword arguments.

        Returns:
            What happened. It tells of failures and stalls; nothing is raised for them until
            its ``value`` is asked for.

        Raises:
            ValueError: The canvas is none, or the timeout is not a length of time.
            kombu.exceptions.OperationalError: Publishing failed.
            kombu.exceptions.EncodeError: The serializer refuses an argument.
        """
        __tracebackhide__ = True
        self._require_open("run()")
        mode, recorder = self._mode, self._mode.recorder
        signature = self._signature(canvas)
        if timeout is not None:
            timeout = seconds(timeout, argument="timeout")
        workflow = recorder.workflow()
        if mode.name != "eager":
            workflow.immutable = immutable_calls(signature)
        first = recorder.written
        began = mode.clock.elapsed
        raised: BaseException | None = None
        result: Any = None
        with recorder.publishing(workflow):
            try:
                result = signature.apply_async(args, kwargs)
            except Exception as exc:
                if not outcomes.failed_with(recorder.since(first), exc):
                    self._explain_refusal(exc, signature, args, kwargs)
                    for heard in hooks.ran:
                        heard(self, signature, exc)
                    raise
                raised = exc
        try:
            mode.settle(workflow, timeout)
        except WorkflowStalled as exc:
            with mode.looking():
                outcome = Outcome(outcomes.state_of(result), hung=str(exc))
        else:
            if raised is None:
                outcome = self._outcome(result, workflow, first)
            else:
                outcome = Outcome(states.FAILURE, error=raised)
        elapsed = mode.clock.elapsed - began
        self._invariants.raise_broken()
        ids = set(workflow.ids)
        history = History(e for e in recorder.since(first) if e.id in ids)
        run = Run(
            result=result,
            outcome=outcome,
            history=history,
            ids=list(workflow.ids),
            began=workflow.began,
            elapsed=round(elapsed, 6),
            tasks=self.app.tasks.keys(),
        )
        if self._explored:
            self._verdicts |= run.verdict.kinds
        for heard in hooks.ran:
            heard(self, signature, run)
        return run

    def _explain_refusal(
        self, exc: Exception, canvas: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        if isinstance(exc, EncodeError):
            from pytest_celeryflow.refused import refused  # noqa: PLC0415 - only when it is used

            exc.add_note(refused(self.app, canvas, args, kwargs) or "the message cannot be sent")

    def _signature(self, canvas: Any) -> Any:
        if isinstance(canvas, Signature) and canvas.task == "celery.chain" and not canvas.tasks:
            raise ValueError(f"canvas={canvas!r} has no task: there is nothing to publish")
        if isinstance(canvas, Signature) or callable(getattr(canvas, "run", None)):
            return canvas
        if isinstance(canvas, dict) and isinstance(canvas.get("task"), str):
            return self.app.signature(canvas)  # one that came through JSON
        raise ValueError(
            f"canvas={canvas!r} cannot be published: give a task, a signature such as "
            "task.s(1), a chain, a group or a chord"
        )

    def _outcome(self, result: Any, workflow: Workflow, first: int) -> Outcome:
        mode = self._mode
        with mode.looking():
            quiet = self._kept_no_result(workflow, first)
            mode.catch_up(lambda: not outcomes.is_unknown(result, quiet))
            quiet = self._kept_no_result(workflow, first)
            return outcomes.read(
                result,
                quiet,
                lambda waited: mode.stalled(workflow, result=waited),
                keep_traceback=mode.name == "eager",
            )

    def _kept_no_result(self, workflow: Workflow, first: int) -> frozenset[str]:
        """Ids of tasks that succeeded and ignore their results: to wait for one never ends."""
        done = self._mode.recorder.since(first).only("succeeded", ids=workflow.ids)
        tasks = self.app.tasks
        return frozenset(
            e.id or "" for e in done if e.task in tasks and tasks[e.task].ignore_result
        )

    def drain(self, *, queue: str | None = None, limit: int | None = None) -> int:
        """Work until nothing is left.

        Args:
            queue: Only what waits in this queue.
            limit: Stop after so many executions.

        Returns:
            The number of executions that began.

        Raises:
            WorkflowStalled: Something is left that can never run.
        """
        __tracebackhide__ = True
        self._require_open("drain()")
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit!r} must be at least 1, or None for no limit")
        before = self._mode.recorder.executions
        self._mode.drain(queue, limit)
        self._invariants.raise_broken()
        return self._mode.recorder.executions - before

    def perform(
        self,
        task: Any,
        *args: Any,
        retries: int = 0,
        headers: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Execution:
        """Run one task as a worker would, with serialised arguments and without a queue.

        What it publishes is recorded and left in the queue.

        Args:
            task: A task, its full name, or a last dotted part that is unique.
            args: Its arguments.
            retries: What ``self.request.retries`` says.
            headers: Further attributes of ``self.request``.
            kwargs: Its keyword arguments.

        Returns:
            The execution: its state, result and error.

        Raises:
            ValueError: No such task is registered, or an argument is not valid.
            kombu.exceptions.EncodeError: The serializer refuses an argument.
        """
        __tracebackhide__ = True
        self._require_open("perform()")
        found = self.app.tasks[self._name(task)]
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
            raise ValueError(f"retries={retries!r} must be a whole number, 0 or more")
        if headers is not None and not isinstance(headers, Mapping):
            raise ValueError(f"headers={headers!r} must be a dict of the request's attributes")
        told = {**(headers or {}), "retries": retries}
        first = self._mode.recorder.written
        try:
            id_ = self._mode.perform(found, args, kwargs, told)
        except EncodeError as exc:
            self._explain_refusal(exc, found, args, kwargs)
            raise
        self._invariants.raise_broken()
        # The first: in `eager` a retry runs within the attempt that asks for it.
        return next(e for e in self._mode.recorder.since(first).executions() if e.id == id_)

    def pending(self, task: Any = None) -> list[Message]:
        """What waits in queues or for its ETA, of one task or of all."""
        messages = self._mode.messages()
        if task is None:
            return messages
        name = self._name(task)
        return [message for message in messages if message.task == name]

    def stub(self, task: Any) -> Stub:
        """Replace a task's body by what is said next: ``.returns(x)``, ``.raises(exc)`` ….

        A stub that is never called fails the test.
        """
        self._require_open("stub()")
        name = self._name(task)
        if name not in self._stubs:
            task = self.app.tasks[name]
            self._stubs[name] = Stub(task)
            self._stack.enter_context(self._mode.bodies.wrapped(task, self._stubs[name]))
        return self._stubs[name]

    def _name(self, task: Any) -> str:
        return task_name(task, self.app.tasks.keys())

    # --- asserting ---

    def assert_enqueued(self, task: Any, **wanted: Any) -> list[Event]:
        """Assert that a task was published, with at least what is named.

        Args:
            task: A task, its full name, or a last dotted part that is unique.
            wanted: ``args``, ``kwargs`` (those named, others may be there), ``queue``,
                ``countdown`` and ``eta``, ``priority``, ``headers`` (those named), and
                ``times``: how often exactly; by default at least once.

        Returns:
            The publications that match.

        Raises:
            CeleryflowAssertionError: There is none; it lists what was published instead.
            ValueError: A keyword is unknown.
        """
        __tracebackhide__ = True
        return enqueued(self.history, self._enqueued(task, wanted))

    def assert_not_enqueued(self, task: Any, **wanted: Any) -> None:
        """Assert that a task was not published with what is named.

        Raises:
            CeleryflowAssertionError: It was; the publications are listed.
            ValueError: A keyword is unknown, or is ``times``.
        """
        __tracebackhide__ = True
        if "times" in wanted:
            raise ValueError("times= has no place here; assert_enqueued(…, times=…) counts")
        enqueued(self.history, self._enqueued(task, {**wanted, "times": 0}))

    @contextmanager
    def expect_enqueued(self, task: Any, **wanted: Any) -> Iterator[list[Event]]:
        """Assert that a task is published within the block."""
        __tracebackhide__ = True
        asked = self._enqueued(task, wanted)
        recorder, found = self._mode.recorder, []  # type: ignore[var-annotated]
        first = recorder.written
        yield found
        found.extend(enqueued(recorder.since(first), asked))

    def _enqueued(self, task: Any, wanted: Mapping[str, Any]) -> Enqueued:
        if self.mode == "eager":
            raise CeleryflowError(
                "mode 'eager' publishes nothing: Celery calls the task at once\n\n"
                "Next: use assert_ran, or mode 'sim' or 'worker'."
            )
        return Enqueued.of(self._name(task), wanted)

    def assert_ran(self, task: Any, *, times: int | None = None, state: str | None = None) -> None:
        """Assert that a task was executed.

        Args:
            task: A task, its full name, or a last dotted part that is unique.
            times: How often exactly; by default at least once.
            state: Count the executions with this state alone, such as ``"SUCCESS"``.

        Raises:
            CeleryflowAssertionError: It was not; the timeline is shown.
        """
        __tracebackhide__ = True
        name = self._name(task)

        def waiting() -> list[str]:
            return [message.label for message in self._mode.messages() if message.task == name]

        check_ran(self.history, name, times=times, state=state, waiting=waiting)

    def assert_not_ran(self, task: Any) -> None:
        """Assert that a task was not executed."""
        __tracebackhide__ = True
        check_not_ran(self.history, self._name(task))

    def always(self, predicate: Callable[[], Any], name: str | None = None) -> None:
        """Check an invariant after every event: it must be true, or raise nothing.

        Args:
            predicate: Called without arguments; false or an exception breaks it. Returning
                ``None`` counts as true, so that it may consist of assertions.
            name: What to call it when it breaks.
        """
        self._require_open("always()")
        self._invariants.always(predicate, name)

    def sometimes(self, name: str, condition: Any) -> None:
        """Note that a condition should be true in at least one run of an exploration."""
        self._invariants.sometimes(name, condition)

    # --- exploration ---

    @property
    def wishes(self) -> dict[str, bool]:
        """Conditions of `sometimes`, and whether they were ever true."""
        return self._invariants.wishes

    def follow(self, *plans: Followed) -> None:
        """Let drawn plans decide, from now on, in which order things happen and what goes wrong.

        Args:
            plans: What `pytest_celeryflow.strategies` draws: a `Schedule` (``sim`` alone), and
                any number of `FaultPlan`. Their faults may strike; none has to.

        Raises:
            ValueError: It is neither.
            CeleryflowError: The flow follows a schedule already, or its mode cannot.
            UnsupportedFault: The mode cannot do one of the faults.
        """
        self._require_open("follow()")
        for plan in plans:
            if not callable(getattr(plan, "lead", None)):
                raise ValueError(
                    f"follow({plan!r}): give what schedules() and fault_plans() of "
                    "pytest_celeryflow.strategies draw: a Schedule, a FaultPlan"
                )
        for plan in plans:
            plan.lead(self)

    def tell(self, story: Callable[[], list[str]]) -> None:
        """Let a report say how this schedule departs from the default one."""
        self._story = story

    def explored_by(self, choosing: Any) -> None:
        """Let an oracle choose from now on (`pytest_celeryflow.explore`)."""
        if self.mode != "sim":
            raise CeleryflowError(
                f"mode {self.mode!r} cannot follow a schedule: the machine decides what comes first\n\n"
                "Next: use mode 'sim'."
            )
        if self._explored:
            raise CeleryflowError(
                "this flow follows a schedule already, its own or that of an exploration"
            )
        self._explored = True
        self._mode.explore(choosing)  # type: ignore[attr-defined]

    @property
    def verdicts(self) -> frozenset[str]:
        """What was ever wrong with a workflow: ``lost``, ``duplicated``, ``hung``."""
        return frozenset(self._verdicts)

    # --- the end ---

    def check(self) -> None:
        """Fail if an invariant broke, a stub was never called, or a fault never struck.

        Done by itself when the flow ends, and by the pytest plugin when the test does.

        Raises:
            CeleryflowAssertionError: One of these is so.
        """
        __tracebackhide__ = True
        if self.test_failed:
            return
        try:
            self._invariants.raise_broken()
            for stub in self._stubs.values():
                stub.check()
            if self._faults is not None:
                self._faults.check()
        except CeleryflowAssertionError:
            self.test_failed = True
            raise

    @contextmanager
    def opened(self) -> Iterator[Flow]:
        """The flow's life: checks at the end what only the end can tell."""
        for heard in hooks.opened:
            heard(self)
        try:
            with self._stack:
                yield self
                self.check()
        finally:
            self._closed = True

    def _require_open(self, what: str) -> None:
        """A closed flow has given the app back: the app would use its own broker."""
        __tracebackhide__ = True
        if self._closed:
            raise CeleryflowError(
                f"flow.{what} needs an open flow, and this one is closed\n\n"
                f"Expected: it is used within the context of mode {self.mode!r}\n"
                "Instead:  that has ended, and the app is connected to its own broker again\n"
                "Next:     move it into the with block; or, with the fixture, into the test or a fixture\n"
                "          that is torn down before."
            )
