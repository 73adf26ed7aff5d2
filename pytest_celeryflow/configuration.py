"""Lay settings over an app's own, whatever it was configured from.

An app that reads its settings under a prefix (``config_from_object("django.conf:settings",
namespace="CELERY")``) looks for the prefixed name in all its sources first, up to Celery 5.6: there,
``app.conf.update(result_backend=…)`` does not outrank ``CELERY_RESULT_BACKEND``. So both names are
set. Relies on `celery/utils/collections.py:ConfigurationView._to_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["lay_over"]


def lay_over(conf: Any, settings: Mapping[str, Any]) -> None:
    """Let an app's configuration say what the settings say, by Celery's lower-case names."""
    names = 2 if conf.prefix else 1
    conf.update(
        {key: value for name, value in settings.items() for key in conf._to_keys(name)[:names]}
    )
