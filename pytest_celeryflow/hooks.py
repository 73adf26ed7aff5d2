"""Where the plugin listens in, and what it sees of flows; loads nothing.

The plugin imports it at once, so that it is the same one for all, also where tests run pytest within
pytest and modules that were loaded there are loaded anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["open_flows", "opened", "ran", "recent_flows"]

#: Called with each flow when it is opened.
opened: list[Callable[[Any], None]] = []

#: Called with a flow and a canvas when `Flow.run` is done: with its `Run`, or with what publishing
#: raised.
ran: list[Callable[[Any, Any, Any], None]] = []

#: The flows that are open, oldest first.
open_flows: list[Any] = []

#: The flow that was opened last, after those that were open when it was; for reports.
recent_flows: list[Any] = []
