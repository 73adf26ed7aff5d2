"""Where the plugin listens in; loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["opened", "ran"]

#: Called with each flow when it is opened.
opened: list[Callable[[Any], None]] = []

#: Called with a flow and a canvas when `Flow.run` is done: with its `Run`, or with what publishing
#: raised.
ran: list[Callable[[Any, Any, Any], None]] = []
