"""Pages of the documentation as programs: what runs, which tests fail, and what pytest prints.

A Python block whose first line is ``# test_orders.py`` is that file, and pytest runs it. A later
block that begins ``# test_orders.py``, with any words after it, goes on with the file: what it
defines anew replaces what was there, imports go to the top, the rest is appended. All other
Python blocks of a page are one module. An ini block is pytest's for all files of the page.

Other files, such as ``# shop.py``, are written beside the tests.

A comment ``<!-- output of: pytest test_orders.py -->`` before a text block says that the file, as
far as the page has come, fails, and that pytest prints this. Compared is what can be the same
everywhere: from the line that failed to the end of the report, without the sections in which
pytest repeats what was logged and printed.

``<!-- first part of the output of: pytest … -->`` is that without the sections, where those tell of
real time.

``<!-- output of: python -m pytest_celeryflow … -->`` is what this command prints, beside the files as
far as the page has come; ``<!-- printed -->`` is what the blocks of the module before it print.
``<!-- passes -->`` before a console block says that its commands of pytest pass there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

__all__ = [
    "ROOT",
    "Passes",
    "Shown",
    "files",
    "module",
    "passing",
    "pieces",
    "settings",
    "shown",
    "told",
    "written_anew",
]

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(
    r"(?:^<!-- (?:(?P<short>first part of the )?output of: (?:pytest (?P<file>\S+)|"
    r"(?P<command>python -m .+?))|(?P<printed>printed)|(?P<passes>passes))"
    r" -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NAMED = re.compile(r"# ((?:\w+/)*\w+\.py)\b.*\n")
_FAILED = re.compile(
    r"^=+ FAILURES =+\n(.*?)^=+ (?:short test summary|warnings summary)", re.MULTILINE | re.DOTALL
)
_SECTION = re.compile(r"^-{3,} .* -{3,}$")
_CAPTURED = re.compile(r"^-+ Captured .*? -+\n(?:(?!^-{3,} .* -{3,}$|^_{3,} ).*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A failure that a page shows, or what a command prints.

    Attributes:
        name: The file that fails, or the command.
        source: The text of the file, as far as the page has come.
        output: What the page says is printed.
        others: The page's other files, as far as it has come.
        short: The sections of a report are left out.
    """

    name: str
    source: str
    output: str
    others: Mapping[str, str] = field(default_factory=dict)
    short: bool = False

    @property
    def is_command(self) -> bool:
        """Whether it is one of a shell rather than a test file."""
        return self.name.startswith("python -m ")


@dataclass(frozen=True)
class Passes:
    """A command of pytest that a page says passes.

    Attributes:
        name: The command.
        sources: The page's files, as far as it has come.
    """

    name: str
    sources: Mapping[str, str]


def module(page: Path) -> str:
    """The Python of a page that is in no file."""
    blocks = [b for b in _blocks(page) if b["language"] == "python" and not _NAMED.match(b["text"])]
    return "\n\n".join(block["text"] for block in blocks)


def pieces(page: Path) -> list[tuple[str, str | None]]:
    """The module in parts, each with what the page says that it prints; ``None``: nothing said."""
    parts: list[tuple[str, str | None]] = [("", None)]
    for block in _blocks(page):
        if block["language"] == "python" and not _NAMED.match(block["text"]):
            parts[-1] = (parts[-1][0] + "\n\n" + block["text"], None)
        elif block["printed"]:
            parts[-1] = (parts[-1][0], block["text"])
            parts.append(("", None))
    return parts


def settings(page: Path) -> str:
    """The ini file of a page, unless it names an app that is not on the page."""
    blocks = [block["text"] for block in _blocks(page) if block["language"] == "ini"]
    there = {name.removesuffix(".py").replace("/", ".") for name in files(page)}
    apps = {text: re.search(r"celeryflow_app = ([\w.]+):", text) for text in blocks}
    return "".join(text for text, app in apps.items() if app is None or app[1] in there)


def shown(page: Path) -> list[Shown]:
    """The failures that a page shows."""
    return [item for item in _walked(page.read_text(encoding="utf-8")) if isinstance(item, Shown)]


def passing(page: Path) -> list[Passes]:
    """The commands of pytest that a page says pass."""
    return [item for item in _walked(page.read_text(encoding="utf-8")) if isinstance(item, Passes)]


def files(page: Path) -> dict[str, str]:
    """The files of a page as they are at its end, where their tests pass."""
    text = page.read_text(encoding="utf-8")
    last: dict[str, str] = {}
    for item in _walked(text):
        if isinstance(item, Shown):
            last.pop(item.name, None)  # a failure that is not repaired
        elif not isinstance(item, Passes):
            last[item[0]] = item[1]
    return last


def told(printed: str, *, short: bool = False) -> str:
    """Of what pytest printed, what a page shows.

    Args:
        printed: What pytest printed.
        short: Leave out the sections of the report.

    Raises:
        ValueError: Nothing failed.
    """
    failures = _FAILED.search(printed)
    if failures is None:
        raise ValueError(f"nothing failed:\n{printed}")
    lines = _CAPTURED.sub("", failures[1]).splitlines()
    # A failure without a traceback begins after the line that names the test.
    first = next((n for n, line in enumerate(lines) if line.startswith(">")), 1)
    if short:
        lines = list(takewhile(lambda line: not _SECTION.match(line), lines))
    return "\n".join(line.rstrip() for line in lines[first:]).rstrip() + "\n"


def written_anew(text: str, run: Callable[[Shown], str]) -> str:
    """A page with what is printed now.

    Args:
        text: The page.
        run: What is printed for a failure or a command.
    """
    outputs = [
        run(each) if each.is_command else told(run(each), short=each.short)
        for each in _walked(text)
        if isinstance(each, Shown)
    ]
    for block in reversed(list(_BLOCK.finditer(text))):
        if block["file"] is not None or block["command"] is not None:
            text = text[: block.start("text")] + outputs.pop() + text[block.end("text") :]
    return text


def _blocks(page: Path) -> Iterator[re.Match[str]]:
    return _BLOCK.finditer(page.read_text(encoding="utf-8"))


def _walked(text: str) -> Iterator[Shown | Passes | tuple[str, str]]:
    """Each file whenever it changes, and each failure or command where it is shown."""
    now: dict[str, str] = {}
    for block in _BLOCK.finditer(text):
        named = _NAMED.match(block["text"])
        if block["language"] == "python" and named is not None:
            name = named[1]
            now[name] = _merged(now[name], block["text"]) if name in now else block["text"]
            yield name, now[name]
        elif block["file"] is not None:
            others = {name: source for name, source in now.items() if name != block["file"]}
            short = block["short"] is not None
            yield Shown(block["file"], now[block["file"]], block["text"], others, short)
        elif block["command"] is not None:
            yield Shown(block["command"], "", block["text"], dict(now))
        elif block["passes"] is not None:
            for line in block["text"].splitlines():
                yield Passes(line.removeprefix("$ "), dict(now))


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
