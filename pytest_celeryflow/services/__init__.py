"""Real services beside a test: find or start them, keep a test apart in them, stop them."""

from pytest_celeryflow.services.isolation import own_keys
from pytest_celeryflow.services.missing import ServiceMissing
from pytest_celeryflow.services.rabbitmq import RabbitMQ, find_rabbitmq
from pytest_celeryflow.services.redis import find_redis, start_redis
from pytest_celeryflow.services.server import PrivateRedis, Redis
from pytest_celeryflow.services.worker import Worker

__all__ = [
    "PrivateRedis",
    "RabbitMQ",
    "Redis",
    "ServiceMissing",
    "Worker",
    "find_rabbitmq",
    "find_redis",
    "own_keys",
    "start_redis",
]
