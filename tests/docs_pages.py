"""Pages of the documentation as programs: what runs, which tests fail, and what pytest prints.

A Python block whose first line is ``# test_orders.py`` is that file, and pytest runs it. A later
block that begins ``# test_orders.py``, with any words after it, goes on with the file: what it
defines anew replaces what was there, imports go to the top, the rest is appended. All other
Python blocks of a page are one module. An ini block is pytest's for all files of the page.

A comment ``<!-- output of: pytest test_orders.py -->`` before a text block says that the file, as
far as the page has come, fails, and that pytest prints this. Compared is what can be the same
everywhere: from the line that failed to the end of the report, without the sections in which
pytest repeats what was logged and printed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Shown", "files", "module", "settings", "shown", "told", "written_anew"]

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(
    r"(?:^<!-- output of: pytest (?P<file>\S+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NAMED = re.compile(r"# (test_\w+\.py)\b.*\n")
_FAILED = re.compile(
    r"^=+ FAILURES =+\n(.*?)^=+ (?:short test summary|warnings summary)", re.MULTILINE | re.DOTALL
)
_CAPTURED = re.compile(r"^-+ Captured .*? -+\n(?:(?!^-{3,} .* -{3,}$|^_{3,} ).*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A failure that a page shows.

    Attributes:
        name: The file that fails.
        source: Its text, as far as the page has come.
        output: What the page says pytest prints.
    """

    name: str
    source: str
    output: str


def module(page: Path) -> str:
    """The Python of a page that is in no file."""
    blocks = [b for b in _blocks(page) if b["language"] == "python" and not _NAMED.match(b["text"])]
    return "\n\n".join(block["text"] for block in blocks)


def settings(page: Path) -> str:
    """The ini file of a page, unless it names an app, which no page has."""
    blocks = [block["text"] for block in _blocks(page) if block["language"] == "ini"]
    return "".join(text for text in blocks if "celeryflow_app" not in text)


def shown(page: Path) -> list[Shown]:
    """The failures that a page shows."""
    return [item for item in _walked(page.read_text(encoding="utf-8")) if isinstance(item, Shown)]


def files(page: Path) -> dict[str, str]:
    """The files of a page as they are at its end, where their tests pass."""
    text = page.read_text(encoding="utf-8")
    last: dict[str, str] = {}
    for item in _walked(text):
        if isinstance(item, Shown):
            last.pop(item.name)
        else:
            last[item[0]] = item[1]
    return last


def told(printed: str) -> str:
    """Of what pytest printed, what a page shows.

    Raises:
        ValueError: Nothing failed.
    """
    failures = _FAILED.search(printed)
    if failures is None:
        raise ValueError(f"nothing failed:\n{printed}")
    lines = _CAPTURED.sub("", failures[1]).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(">"))
    return "\n".join(line.rstrip() for line in lines[first:]).rstrip() + "\n"


def written_anew(text: str, run: Callable[[str, str], str]) -> str:
    """A page with what pytest prints now.

    Args:
        text: The page.
        run: Given the name and the text of a file, what pytest prints.
    """
    outputs = [told(run(s.name, s.source)) for s in _walked(text) if isinstance(s, Shown)]
    for block in reversed(list(_BLOCK.finditer(text))):
        if block["file"] is not None:
            text = text[: block.start("text")] + outputs.pop() + text[block.end("text") :]
    return text


def _blocks(page: Path) -> Iterator[re.Match[str]]:
    return _BLOCK.finditer(page.read_text(encoding="utf-8"))


def _walked(text: str) -> Iterator[Shown | tuple[str, str]]:
    """Each file whenever it changes, and each failure where it is shown."""
    now: dict[str, str] = {}
    for block in _BLOCK.finditer(text):
        named = _NAMED.match(block["text"])
        if block["language"] == "python" and named is not None:
            name = named[1]
            now[name] = _merged(now[name], block["text"]) if name in now else block["text"]
            yield name, now[name]
        elif block["file"] is not None:
            yield Shown(block["file"], now[block["file"]], block["text"])


def _merged(old: str, new: str) -> str:
    imports, rest = [], []
    for node, text in _statements(new):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(text)
            continue
        there = {_name(n): t for n, t in _statements(old) if _name(n) is not None}
        if _name(node) in there:
            old = old.replace(there[_name(node)], text, 1)
        else:
            rest.append(text)
    return "\n".join([*imports, old, *("\n" + text for text in rest)])


def _statements(source: str) -> Iterator[tuple[ast.stmt, str]]:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        yield node, "\n".join(lines[first - 1 : node.end_lineno])


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return getattr(node, "name", None)
