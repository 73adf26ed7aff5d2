"""Waiting for the history, without asking again and again."""

__all__ = ["BOUND", "began", "ended", "wait"]

#: Real seconds that anything may take.
BOUND = 15.0


def wait(flow, so):
    """Wait until something is so of a flow."""
    recorder = flow._mode.recorder
    with recorder.changed:
        assert recorder.changed.wait_for(so, BOUND), flow.report()


def began(flow, id_):
    """Wait until a task runs."""
    wait(flow, lambda: any(e.kind == "started" and e.id == id_ for e in flow.history))


def ended(flow, id_, kind):
    """Wait until a task has come to an event."""
    wait(flow, lambda: any(e.kind == kind and e.id == id_ for e in flow.history))
