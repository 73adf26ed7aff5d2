"""kombu's own transports, whose messages are told to the test. They wait as kombu does."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, pyamqp

from pytest_celeryflow.live.ledger import Ledger
from pytest_celeryflow.live.rabbitmq import RabbitConnection

__all__ = ["RABBITMQ", "REDIS", "ToldRabbitTransport"]

#: As ``broker_transport``.
RABBITMQ, REDIS = "celeryflow-told-rabbitmq", "celeryflow-told-redis"
TRANSPORT_ALIASES.setdefault(RABBITMQ, f"{__name__}:ToldRabbitTransport")
TRANSPORT_ALIASES.setdefault(REDIS, f"{__name__}:ToldRedisTransport")


class ToldRabbitTransport(pyamqp.Transport):
    """AMQP, with the ledger's prefix on every name."""

    Connection = RabbitConnection


if find_spec("redis") is not None:
    from kombu.transport import redis

    from pytest_celeryflow.live.redis import ToldRedisChannel

    class ToldRedisTransport(redis.Transport):
        """Redis."""

        Channel = ToldRedisChannel

        def __init__(self, client: Any, **kwargs: Any) -> None:
            super().__init__(client, **kwargs)
            self.ledger = Ledger.open[client.transport_options["celeryflow"]]
