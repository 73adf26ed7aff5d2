"""The project. Celery's app is loaded with it, so that `@shared_task` binds to it."""

from django_shop.celery import app as celery_app

__all__ = ["celery_app"]
