"""A service that is not there: what was tried, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_celeryflow.errors import CeleryflowError

__all__ = ["ServiceMissing"]


class ServiceMissing(CeleryflowError):
    """No service was found, or the one that was named does not answer.

    Attributes:
        service: Its name, such as ``"Redis"``.
        tried: What was tried, in order, each with why it was not that.
    """

    __module__ = "pytest_celeryflow.services"

    def __init__(self, service: str, tried: Sequence[str], remedy: str) -> None:
        lines = [f"no {service}: {tried[0]}" if len(tried) == 1 else f"no {service}; tried:"]
        if len(tried) > 1:
            lines += [f"  {number}. {what}" for number, what in enumerate(tried, start=1)]
        super().__init__("\n".join([*lines, remedy]))
        self.service = service
        self.tried = tuple(tried)
