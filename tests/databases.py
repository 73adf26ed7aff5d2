"""A result backend in a database, for Celery's own `celery.backends.database`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

__all__ = ["results_in"]


def results_in(directory: Path | str) -> str:
    """The `result_backend` of a database with its tables, in a directory.

    Celery 5.4 makes the tables once a process, not once a database
    (`celery/backends/database/session.py:SessionManager.prepared`).
    """
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{Path(directory, 'results.db')}"
    engine = sqlalchemy.create_engine(url)
    import_module("celery.backends.database.models").ResultModelBase.metadata.create_all(engine)
    engine.dispose()
    return f"db+{url}"
