"""Fixtures: a gateway on a directory of its own, and users who upload to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from uploads import Accept, accept_job


@pytest.fixture(autouse=True)
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that users and workers share."""
    monkeypatch.setenv("SCIENCE_GATEWAY_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def accept(gateway: Path) -> Accept:
    """Upload inputs and accept a job over them, without starting it."""
    return accept_job
