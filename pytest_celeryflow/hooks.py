"""Where the plugin listens in; loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["published"]

#: Called with each canvas that `Flow.run` is about to publish, and its app.
published: list[Callable[[Any, Any], None]] = []
