"""How a workflow ended: what Celery's own results say of it once nothing happens any more.

`Outcome` is read through `AsyncResult` and its kin, as a user's code would read it. Two things
cannot be read there. A task that ignores its result never has one (`celery/backends/base.py:
Backend.mark_as_done`), so that waiting for it would never end: its ids are told from the history. And
a chain whose earlier step failed leaves the last one pending for ever: that is told by its parents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import states
from celery.exceptions import NotRegistered
from celery.result import EagerResult, GroupResult, ResultSet

from pytest_celeryflow.errors import WorkflowStalled
from pytest_celeryflow.history import History
from pytest_celeryflow.run import Outcome

__all__ = ["failed_with", "is_unknown", "read", "state_of"]

#: Of the states of a group's members, the first of these that one has is the group's.
_WORST_FIRST = (states.FAILURE, states.REVOKED, states.RETRY, states.PENDING, states.STARTED)


def state_of(result: Any) -> str:
    """The state of a result; of a group, that of the member that is the furthest from done."""
    if isinstance(result, ResultSet):
        every = [state_of(member) for member in result.results]
        return next((state for state in _WORST_FIRST if state in every), states.SUCCESS)
    return str(result.state)


def is_unknown(result: Any, quiet: frozenset[str]) -> bool:
    """Whether nothing can be said of a result.

    Args:
        result: What ``apply_async`` returned.
        quiet: Ids of tasks that succeeded and keep no result.
    """
    if isinstance(result, EagerResult):
        return False
    if isinstance(result, GroupResult):
        return any(is_unknown(member, quiet) for member in result.results)
    if getattr(result, "ignored", False) or result.id in quiet:
        return False
    if state_of(result) in states.READY_STATES:
        return False
    parent = result.parent
    while parent is not None:
        if state_of(parent) in states.PROPAGATE_STATES:
            return False
        parent = parent.parent
    return True


def read(
    result: Any, quiet: frozenset[str], stalled: Callable[[str], str], *, keep_traceback: bool
) -> Outcome:
    """How a workflow ended.

    Args:
        result: What ``apply_async`` returned.
        quiet: Ids of tasks that succeeded and keep no result.
        stalled: Says why a result, named by its id, cannot come.
        keep_traceback: Whether the frames of an error are the task's own. Those of one that comes
            out of a store are the frames of the reading.
    """
    state = state_of(result)
    if is_unknown(result, quiet):
        return Outcome(state, hung=stalled(_waited_for(result, quiet)))
    try:
        return Outcome(state, value=_value(result, quiet))
    except WorkflowStalled as exc:
        return Outcome(state, hung=str(exc))
    # What the workflow raised, told by the Run. SystemExit too comes out of a store that
    # pickles (Celery 5.4 on a database), and is not the test's to end with.
    except (Exception, SystemExit) as exc:  # noqa: BLE001
        return Outcome(state, error=exc if keep_traceback else exc.with_traceback(None))


def failed_with(events: History, exc: BaseException) -> bool:
    """Whether an exception that escaped from publishing is one that a task raised.

    Eagerly, a task's own failure can escape from ``apply_async``: a chain does it.
    """
    if isinstance(exc, NotRegistered):
        return False
    errors = [e.details.get("error") for e in events.only("failed", "retried")]
    return any(e is exc or (type(e) is type(exc) and str(e) == str(exc)) for e in errors)


def _waited_for(result: Any, quiet: frozenset[str]) -> str:
    if isinstance(result, ResultSet):
        unknown = (member for member in result.results if is_unknown(member, quiet))
        return _waited_for(next(unknown), quiet)
    return str(result.id)


def _value(result: Any, quiet: frozenset[str]) -> Any:
    if quiet and not isinstance(result, EagerResult):
        if isinstance(result, ResultSet):
            return [_value(member, quiet) for member in result.results]
        if result.id in quiet:
            return None
    return result.get(disable_sync_subtasks=False)
