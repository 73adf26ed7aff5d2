"""Where the plugin listens in; loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["came", "published"]

#: Called with each canvas that `Flow.run` is about to publish, and its app.
published: list[Callable[[Any, Any], None]] = []

#: Called with the same canvas when `Flow.run` is done: with its `Run`, or with what publishing
#: raised.
came: list[Callable[[Any, Any], None]] = []
