"""One workflow, many processes, one digest."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

SCRIPT = """
from celery import Celery, group, chord
from pytest_celeryflow import simulate
app = Celery("shop")

@app.task(bind=True, autoretry_for=(OSError,), retry_backoff=True, retry_jitter=True)
def fetch(self, n):
    if n % 3 == self.request.retries:
        raise OSError(f"{n} is down")
    return {n, n + 1, f"text-{n}"} and [n]

@app.task
def collect(parts):
    return len(parts)

with simulate(app, workers=2) as flow:
    run = flow.run(chord([fetch.s(n) for n in range(20)], collect.s()))
    assert run.value == 20, run.timeline()
    print(flow.history.digest(), [e.id for e in flow.history][-1])
"""


def digest(seed):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_digest_does_not_depend_on_the_hash_seed():
    """Digest and ids are the same in processes with different hash seeds."""
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(digest, range(6)))) == 1
