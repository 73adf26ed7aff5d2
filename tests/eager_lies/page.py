"""The page "Where eager lies", made of the cases and of what comes of running them.

After a change, or with a new version of Celery, make it anew and read the difference:

    python -m tests.eager_lies.page
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.eager_lies.cases import SECTIONS
from tests.eager_lies.lie import Lie

__all__ = ["NEWEST", "PAGE", "tables", "written"]

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "explanation" / "where-eager-lies.md"

#: The version of Celery that the page's tables are made with.
NEWEST = (5, 7)

_HEAD = """\
# Where eager lies

`task_always_eager` calls a task where you call `delay()`. No message is made, no worker is asked. A
test that passes eagerly has shown that your functions work together; what a worker does with them
it has not shown.

Below are {count} workflows that do one thing eagerly and another in a worker, in Celery 5.4, 5.5, 5.6 and
5.7. Each is a test of this project, which is run on the lowest and the newest version, and its table is
what [`compare_modes`](../how-to/compare.md) prints with the newest. The second column is mode `worker`, a real worker in
a thread, wherever that can show the difference; where it takes an hour, a process that is killed or
two tasks at one moment, it is mode `sim`. The code that is named is that of Celery 5.7.

To see what your own workflow does, [mark its test with `compare=True`](../how-to/compare.md).

| what eager mode makes believe | differs in |
|---|---|
{rows}
"""

_CASE = """\
### {title}

* **Eagerly.** {eager}
* **In a worker.** {worker}

```py
{source}
```

```text
{table}
```

{why}{options}

Celery 5.4 to 5.7: `pytest 'tests/eager_lies/test_eager_lies.py::test_it_differs[{name}]'`
"""

_TABLE = re.compile(r"```text\n(.*?)\n```\n\n[^`]*`[^\n]*\n\nCelery 5.4 to 5.7: `pytest '[^\[]+\[(\w+)\]'`", re.DOTALL)


def written(table: Callable[[Lie], str]) -> str:
    """The page.

    Args:
        table: Given a case, its table.
    """
    cases = [case for section in SECTIONS.values() for case in section]
    rows = "\n".join(f"| [{c.title}](#{_anchor(c.title)}) | {_areas(c)} |" for c in cases)
    parts = [_HEAD.format(count=len(cases), rows=rows)]
    for heading, section in SECTIONS.items():
        parts.append(f"## {heading}\n")
        parts += [
            _CASE.format(
                title=case.title,
                eager=_one_line(case.eager),
                worker=_one_line(case.worker),
                source=case.source(),
                table=table(case),
                why=f"Why: {case.why}.",
                options=_options(case),
                name=case.name,
            )
            for case in section
        ]
    return "\n".join(parts)


def tables(text: str) -> dict[str, str]:
    """Name of a case -> its table, as the page has it."""
    return {name: table for table, name in _TABLE.findall(text)}


def _areas(case: Lie) -> str:
    return ", ".join(dict.fromkeys(what.partition(" of ")[0] for what in case.differs)).replace(
        "errback alert called", "errbacks"
    )


def _options(case: Lie) -> str:
    """What the modes were given, where they were given something."""
    given = [("eager", case.eager_options), (case.against, case.options)]
    said = [
        f"`{mode}` with `{', '.join(f'{name}={value!r}' for name, value in options.items())}`"
        for mode, options in given
        if options
    ]
    return f" Mode {', '.join(said)}." if said else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _anchor(title: str) -> str:
    """The anchor that GitHub and MyST give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(written(lambda case: str(case.compared())), encoding="utf-8")
