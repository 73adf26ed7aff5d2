"""What Celery's result backends cannot do, as far as the reference workflows need it.

Each is Celery's own doing, seen on a real worker with Celery 5.4 and 5.7. That `rpc://` has no
chords is not listed: Celery says so itself, when the chord is published or the task in front of
it ends (`celery/backends/rpc.py:RPCBackend.ensure_chords_allowed`).
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["NEEDS", "known"]

#: What a workflow can need -> what that is.
NEEDS = {
    "replace": "the result of a task that replaced itself reaches the caller",
    "reading elsewhere": "a state can be read by another process than the task's caller",
    "add_to_chord": "a chord can be given another member while it runs",
}

_RPC = {
    "replace": (
        "the replacement's result is sent to the worker, not to the caller: the worker freezes it "
        "with a reply queue of its own (celery/canvas.py:Signature.freeze)"
    ),
    "reading elsewhere": (
        "a state is a message to whoever published the task, and nobody else can read it "
        "(celery/backends/rpc.py:RPCBackend.store_result)"
    ),
}

_NO_ADDING = (
    "no backend but Redis supports add_to_chord (celery/backends/base.py:Backend.add_to_chord)"
)


def known(backend: str, needs: Iterable[str]) -> str:
    """Why a result backend is known not to do what a workflow needs; nothing if it does.

    Args:
        backend: As Celery's ``result_backend``, or ``"memory"``.
        needs: Some of `NEEDS`.
    """
    told = dict(_RPC) if backend.startswith("rpc") else {}
    if not backend.startswith(("redis", "rediss", "sentinel")):
        told.setdefault("add_to_chord", _NO_ADDING)
    return "; ".join(told[need] for need in needs if need in told)
