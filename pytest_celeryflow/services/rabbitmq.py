"""A real RabbitMQ that somebody else runs: whether there is one, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pytest_celeryflow.services.missing import ServiceMissing
from pytest_celeryflow.services.reaching import check_url, where, why_not

__all__ = ["RabbitMQ", "find_rabbitmq"]

VARIABLE = "CELERYFLOW_RABBITMQ_URL"

#: Where a RabbitMQ listens that nobody configured, and its account for the same machine.
_LOCAL = "amqp://guest:guest@127.0.0.1:5672//"

_REMEDY = (
    f"Start one (docker run -p 5672:5672 rabbitmq, or apt install rabbitmq-server), or name one "
    f"in {VARIABLE}."
)


@dataclass(frozen=True, repr=False)
class RabbitMQ:
    """A RabbitMQ that answers.

    Attributes:
        url: As Celery's ``broker_url``.
        private: Whether it is this process's own; it never is.
    """

    url: str
    private: bool = False

    def __repr__(self) -> str:
        return f"<RabbitMQ {where(self.url)}>"


def find_rabbitmq(url: str | None = None) -> RabbitMQ:
    """A real RabbitMQ: one that is named, or the one of this machine.

    In this order: the URL given here; the one in the environment variable
    ``CELERYFLOW_RABBITMQ_URL``; ``amqp://guest:guest@127.0.0.1:5672//``. One that is named and
    does not answer is an error, never a reason to take another. None is ever started.

    Args:
        url: As Celery's ``broker_url``.

    Raises:
        ServiceMissing: It does not answer, or none does; it says what was tried.

    Example:
        >>> find_rabbitmq()  # doctest: +SKIP
        <RabbitMQ 127.0.0.1:5672>
    """
    tried = []
    for source, named in (("url", url), (VARIABLE, os.environ.get(VARIABLE))):
        if not named:
            tried.append(f"{source}: not given")
            continue
        check_url(source, named, "RabbitMQ", ("amqp://", "amqps://", "pyamqp://"))
        reason = why_not(named)
        if reason is None:
            return RabbitMQ(named)
        what = f"{source} names one that does not answer: {reason}"
        raise ServiceMissing("RabbitMQ", [what], _REMEDY)
    reason = why_not(_LOCAL)
    if reason is None:
        return RabbitMQ(_LOCAL)
    raise ServiceMissing("RabbitMQ", [*tried, f"this machine's: {reason}"], _REMEDY)
