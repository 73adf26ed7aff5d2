"""Settings, as they run in production; tests change nothing but what pytest-django does.

Environment:
    DATABASE_URL: ``postgres://user:password@host:port/name``; SQLite without it.
    SHOP_BROKER: where Celery's messages go.
    SHOP_BANK: the address of the bank's API.
    SHOP_SECRET_KEY: Django's secret.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from celery.schedules import crontab

BASE_DIR = Path(__file__).resolve().parent.parent


def database(url: str | None) -> dict[str, object]:
    """Django's settings of a database."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE_DIR / "shop.sqlite3",
            # Who begins a transaction waits for the one who writes, instead of failing later.
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
            # In memory, SQLite locks whole tables against other threads, and waits for none.
            "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
        }
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError(f"DATABASE_URL must begin with postgres://, not {parts.scheme}://")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
    }


DATABASES = {"default": database(os.environ.get("DATABASE_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "only for development")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "testserver"]
ROOT_URLCONF = "django_shop.urls"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django_celery_results",
    "shop.apps.ShopConfig",
]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

DEFAULT_FROM_EMAIL = "shop@example.org"
MANAGERS = [("Mae", "mae@example.org")]

SHOP_BANK = os.environ.get("SHOP_BANK", "https://bank.example.org/charges")

CELERY_BROKER_URL = os.environ.get("SHOP_BROKER", "redis://localhost:6379/0")
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TIMEZONE = TIME_ZONE
# Every task can be run twice without harm, so that a lost worker loses no order.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 300
# A chord calls its errback once, when all of its header is over and something in it has failed.
CELERY_TASK_ALLOW_ERROR_CB_ON_CHORD_HEADER = False
# Redis hands a message out again when it stays unacknowledged for so long; the longest wait of
# this shop is that of `charge` for its next try.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 6 * 3600}
CELERY_BEAT_SCHEDULE = {
    "give up orders that nobody paid": {
        "task": "shop.tasks.give_up_stale_orders",
        "schedule": crontab(minute=0),
    },
    "tell the managers about yesterday": {
        "task": "shop.tasks.report_sales",
        "schedule": crontab(hour=6, minute=0),
    },
}
