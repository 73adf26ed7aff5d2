"""Django's settings for the tests of this directory."""

import os

SECRET_KEY = "only for tests"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "library.sqlite3",
        "OPTIONS": {"timeout": 20},
        "TEST": {"NAME": os.environ.get("LIBRARY_DATABASE", "test.sqlite3")},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_results", "library"]

CELERY_BROKER_URL = "redis://localhost:1/0"
CELERY_RESULT_BACKEND = "django-db"
# What many projects have in the settings of their tests.
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
