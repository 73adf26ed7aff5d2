"""The rule for real services: skip without one, fail when they are required."""

from __future__ import annotations

import pytest

from tests import services

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point at a port that nobody listens on."""
    monkeypatch.setenv("CELERYFLOW_REDIS_URL", NOWHERE)


def test_a_missing_service_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says where it was looked for."""
    monkeypatch.delenv("CELERYFLOW_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no Redis at 127\.0\.0\.1:1"):
        services.redis_url()


def test_a_missing_service_fails_when_services_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As CI asks for."""
    monkeypatch.setenv("CELERYFLOW_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match=r"no Redis at 127\.0\.0\.1:1"):
        services.redis_url()
