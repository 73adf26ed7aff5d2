"""The world outside of the workflows: a bank, a mailbox, a directory of files.

It is kept in files of one directory, whose path the tasks are given: so all worker processes see
the same, as they see the same database in production. Relies on no Celery symbol.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["call", "once", "read", "write"]


def call(directory: str, service: str) -> int:
    """Call a service: how many times it has been called by now."""
    with (Path(directory) / f"{service}.calls").open("a+") as calls:
        calls.write(".")
        calls.flush()
        return calls.tell()


def write(directory: str, name: str, line: str) -> None:
    """Add a line to a file, in one write."""
    with (Path(directory) / name).open("a") as file:
        file.write(f"{line}\n")


def read(directory: str, name: str) -> list[str]:
    """The lines of a file; none if nobody wrote to it."""
    path = Path(directory) / name
    return path.read_text().splitlines() if path.exists() else []


def once(directory: str, key: str) -> bool:
    """Whether a key is taken for the first time: what a unique index of a database tells."""
    try:
        os.close(os.open(Path(directory) / f"{key}.taken", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
