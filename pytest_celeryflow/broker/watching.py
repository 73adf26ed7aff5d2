"""Who is told of every change in a broker: it is how the history is written, and consumers are woken."""

from __future__ import annotations

from typing import Protocol

from pytest_celeryflow.broker.stored import Stored

__all__ = ["Silent", "Watcher"]


class Watcher(Protocol):
    """Told of every change, under the broker's lock."""

    def published(self, message: Stored) -> None:
        """A message came in."""

    def delivered(self, message: Stored) -> None:
        """A message was handed to a consumer."""

    def duplicated(self, message: Stored) -> None:
        """A message came in twice; this is the second."""

    def settled(self, message: Stored, how: str) -> None:
        """A message is gone for good: ``acked``, ``rejected``, ``purged``, ``dropped``."""

    def returned(self, message: Stored) -> None:
        """A message is back in its queue after it was delivered."""

    def reappeared(self, message: Stored) -> None:
        """A copy of a message that is still out is in its queue again."""


class Silent:
    """A watcher that watches nothing."""

    def published(self, message: Stored) -> None:
        """See `Watcher`."""

    def duplicated(self, message: Stored) -> None:
        """See `Watcher`."""

    def delivered(self, message: Stored) -> None:
        """See `Watcher`."""

    def settled(self, message: Stored, how: str) -> None:
        """See `Watcher`."""

    def returned(self, message: Stored) -> None:
        """See `Watcher`."""

    def reappeared(self, message: Stored) -> None:
        """See `Watcher`."""
