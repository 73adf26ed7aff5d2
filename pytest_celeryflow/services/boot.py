"""What a worker of `pytest_celeryflow.services.worker` runs first, in its own process.

``python -m celery -A pytest_celeryflow.services.boot worker`` finds the user's app here as
`app` (`celery/app/utils.py:find_app`), already pointed at the broker and result store of the
test. The user's module is imported as it is; its settings are laid over afterwards, before
the worker reads them (`celery/apps/worker.py`) and before tasks are bound.
`pytest_celeryflow.process.boot` builds upon it.

The worker tells through a pipe that it is ready and which processes its pool has, so that
nobody has to read its log or to ask again and again. Imported nowhere else: it needs the
environment that `Worker` makes.
"""

from __future__ import annotations

import json
import os
from typing import Any

from celery.app.utils import find_app
from celery.signals import worker_process_init, worker_ready

from pytest_celeryflow.configuration import lay_over

__all__ = ["app", "told"]

#: The environment variable that carries the rest: app, settings and the pipe's descriptor.
VARIABLE = "CELERYFLOW_WORKER"

#: What the test says. Taken out, so that programs which tasks start do not see it.
told = json.loads(os.environ.pop(VARIABLE))


def _report(*words: Any) -> None:
    """One line, in one write: atomic, whichever process of the pool it comes from."""
    os.write(told["report"], (" ".join(map(str, words)) + "\n").encode())


def _process_began(**kwargs: Any) -> None:
    _report("process", os.getpid())


def _worker_ready(**kwargs: Any) -> None:
    _report("ready")


def _pointed(path: str, config: dict[str, Any]) -> Any:
    """The user's app, with settings laid over its own."""
    found = find_app(path)
    lay_over(found.conf, config)
    # What its module may have connected to already, while it was imported.
    found.__dict__.pop("amqp", None)
    found._local.__dict__.pop("backend", None)
    found._backend_cache = None
    found._pool = None
    return found


worker_process_init.connect(_process_began, weak=False)
worker_ready.connect(_worker_ready, weak=False)

app = _pointed(told["app"], told["config"])
