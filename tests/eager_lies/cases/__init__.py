"""The cases, by what they are about, in the order of the page."""

from tests.eager_lies.cases import context, data, failures, order, time
from tests.eager_lies.lie import Lie

__all__ = ["SECTIONS"]

_MODULES = {
    "What tasks are given": data,
    "Order": order,
    "Failures": failures,
    "What a task knows and may do": context,
    "Time": time,
}

#: Heading -> cases, in the order in which they are written.
SECTIONS: dict[str, list[Lie]] = {
    heading: [each for each in vars(module).values() if isinstance(each, Lie)]
    for heading, module in _MODULES.items()
}
