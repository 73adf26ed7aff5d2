"""Texts about a history. Nothing here imports pytest or Celery."""
