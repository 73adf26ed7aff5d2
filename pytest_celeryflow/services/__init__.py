"""Real services beside a test: find or start them, keep a test apart in them, stop them."""

from pytest_celeryflow.services.missing import ServiceMissing
from pytest_celeryflow.services.redis import PrivateRedis, Redis, find_redis, start_redis

__all__ = ["PrivateRedis", "Redis", "ServiceMissing", "find_redis", "start_redis"]
