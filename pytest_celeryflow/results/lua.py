"""Just enough Lua to run the scripts that Celery registers with Redis.

Celery 5.7 counts chords in server-side scripts (`celery/backends/redis.py`,
``CHORD_PART_RETURN_LUA`` and its siblings). Writing their logic again in Python would test
our copy instead of Celery's text, and would be wrong after Celery's next change; so the text
itself is translated into Python and run.

The subset: ``local`` and assignment of several names, ``if``/``elseif``/``else``,
``for … in ipairs``, ``return``, tables as lists, indexing, calls, ``and``/``or``/``not``,
comparison, ``+ - * /`` and ``..``, comments. Anything else is refused with the line. As on a
real server, values from Redis are text, a missing one is false, and numbers that a script
returns lose their fraction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["LuaUnsupported", "compile_script"]


class LuaUnsupported(NotImplementedError):
    """A script uses a part of Lua that is not modelled."""


_TOKEN = re.compile(
    r"""(?P<skip>\s+|--\[\[.*?\]\]|--[^\n]*)|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)
    |(?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")|(?P<op>==|~=|<=|>=|\.\.|[-+*/%<>=(){}\[\],.;\#])""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset(
    "and do else elseif end false for function if in local nil not or return then true while".split()
)
#: Binary operators by how tightly they bind, loosest first.
_LEVELS: list[dict[str, str]] = [
    {"or": "or_"},
    {"and": "and_"},
    {"==": "eq", "~=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"},
    {"..": "concat"},
    {"+": "add", "-": "sub"},
    {"*": "mul", "/": "div"},
]

Call = Callable[[str, list[Any]], Any]


def compile_script(text: str) -> Callable[[Call, list[Any], list[Any]], Any]:
    """A function of ``(redis.call, KEYS, ARGV)`` that does what the script does.

    Raises:
        LuaUnsupported: The script uses something outside the subset.
    """
    source = "def script(redis_call, KEYS, ARGV):\n" + _Translator(text).program()
    namespace: dict[str, Any] = dict(_RUNTIME)
    exec(compile(source, "<lua>", "exec"), namespace)  # noqa: S102 - our own translation
    script = namespace["script"]

    def run(call: Call, keys: list[Any], args: list[Any]) -> Any:
        return _to_redis(script(call, [_text(k) for k in keys], [_text(a) for a in args]))

    return run


class _Translator:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan(text))
        self._at = 0

    def _scan(self, text: str) -> Any:
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise LuaUnsupported(self._where(position, text[position]))
            position = match.end()
            kind = match.lastgroup
            if kind == "name" and match[0] in _KEYWORDS:
                kind = "keyword"
            if kind != "skip":
                yield kind, match[0], match.start()
        yield "end", "", len(text)

    def _where(self, position: int, what: str) -> str:
        line = self._text.count("\n", 0, position) + 1
        return f"Lua script, line {line}: {what!r} is not in the subset that sim can run"

    def _peek(self) -> str:
        return str(self._tokens[self._at][1])

    def _kind(self) -> str:
        return str(self._tokens[self._at][0])

    def _next(self) -> str:
        self._at += 1
        return str(self._tokens[self._at - 1][1])

    def _accept(self, *words: str) -> str | None:
        if self._kind() in ("keyword", "op") and self._peek() in words:
            return self._next()
        return None

    def _expect(self, word: str) -> None:
        if self._accept(word) is None:
            self._refuse()

    def _refuse(self) -> Any:
        raise LuaUnsupported(self._where(self._tokens[self._at][2], self._peek()))

    def program(self) -> str:
        body = self._block(1)
        if self._kind() != "end":
            self._refuse()
        return body

    def _block(self, depth: int) -> str:
        lines: list[str] = []
        while self._kind() != "end" and self._peek() not in ("end", "else", "elseif"):
            lines.append(self._statement(depth))
            self._accept(";")
        return "\n".join(lines) if lines else "    " * depth + "pass"

    def _statement(self, depth: int) -> str:
        pad = "    " * depth
        if self._accept("local"):
            names = [self._name()]
            while self._accept(","):
                names.append(self._name())
            return f"{pad}{', '.join(names)}, = spread({self._values()}, {len(names)})" if (
                self._accept("=")
            ) else f"{pad}{' = '.join(names)} = None"
        if self._accept("if"):
            out = f"{pad}if true({self._expression()}):\n"
            self._expect("then")
            out += self._block(depth + 1)
            while self._accept("elseif"):
                out += f"\n{pad}elif true({self._expression()}):\n"
                self._expect("then")
                out += self._block(depth + 1)
            if self._accept("else"):
                out += f"\n{pad}else:\n" + self._block(depth + 1)
            self._expect("end")
            return out
        if self._accept("for"):
            names = [self._name()]
            while self._accept(","):
                names.append(self._name())
            self._expect("in")
            sequence = self._expression()
            self._expect("do")
            body = self._block(depth + 1)
            self._expect("end")
            return f"{pad}for {', '.join(names)} in {sequence}:\n{body}"
        if self._accept("return"):
            if self._peek() in ("end", "else", "elseif", ""):
                return f"{pad}return None"
            return f"{pad}return {self._expression()}"
        target = self._suffixed()
        if self._accept("="):
            return f"{pad}{target} = {self._expression()}"
        return f"{pad}{target}"

    def _name(self) -> str:
        if self._kind() != "name":
            self._refuse()
        return "l_" + self._next()

    def _values(self) -> str:
        values = [self._expression()]
        while self._accept(","):
            values.append(self._expression())
        return "[" + ", ".join(values) + "]"

    def _expression(self, level: int = 0) -> str:
        if level == len(_LEVELS):
            return self._unary()
        left = self._expression(level + 1)
        while (op := self._accept(*_LEVELS[level])) is not None:
            right = self._expression(level + 1)
            function = _LEVELS[level][op]
            if function in ("and_", "or_"):
                left = f"{function}({left}, lambda: {right})"
            else:
                left = f"{function}({left}, {right})"
        return left

    def _unary(self) -> str:
        if self._accept("not"):
            return f"(not true({self._unary()}))"
        if self._accept("-"):
            return f"(-number({self._unary()}))"
        if self._accept("#"):
            return f"len({self._unary()})"
        return self._suffixed()

    def _suffixed(self) -> str:
        out = self._primary()
        while True:
            if self._accept("("):
                arguments = "" if self._peek() == ")" else self._values()[1:-1]
                self._expect(")")
                out = f"{out}({arguments})"
            elif self._accept("["):
                out = f"at({out}, {self._expression()})"
                self._expect("]")
            elif self._accept("."):
                if out != "redis" or self._next() not in ("call", "pcall"):
                    self._refuse()
                out = "call(redis_call)"
            else:
                return out

    def _primary(self) -> str:
        kind = self._kind()
        if kind == "number":
            return self._next()
        if kind == "string":
            return repr(self._next()[1:-1])
        if word := self._accept("true", "false", "nil"):
            return {"true": "True", "false": "False", "nil": "None"}[word]
        if self._accept("("):
            inner = self._expression()
            self._expect(")")
            return f"({inner})"
        if self._accept("{"):
            values = "[]" if self._peek() == "}" else self._values()
            self._expect("}")
            return values
        if kind == "name":
            name = self._next()
            if name in ("KEYS", "ARGV", "redis", "tonumber", "tostring", "ipairs"):
                return name
            return "l_" + name
        return str(self._refuse())


# --- what the translation calls ---


def _true(value: Any) -> bool:
    return value is not None and value is not False


def _tonumber(value: Any) -> float | int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        return int(value)
    except ValueError:
        try:
            return float(value)
        except ValueError:
            return None


def _number(value: Any) -> float | int:
    number = _tonumber(value)
    if number is None:
        raise TypeError(f"attempt to perform arithmetic on {value!r}")
    return number


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)


def _spread(values: list[Any], count: int) -> list[Any]:
    return (values + [None] * count)[:count]


def _at(table: list[Any], index: Any) -> Any:
    position = int(_number(index)) - 1
    return table[position] if 0 <= position < len(table) else None


def _call(redis_call: Call) -> Callable[..., Any]:
    def call(command: str, *arguments: Any) -> Any:
        reply = redis_call(command, [_text(a) for a in arguments])
        if reply is None:
            return False
        return _text(reply) if isinstance(reply, bytes) else reply

    return call


def _to_redis(value: Any) -> Any:
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, float):
        return int(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list):
        # A table ends, for Redis, at its first nil; false is a missing reply and stays.
        cut = value.index(None) if None in value else len(value)
        return [_to_redis(v) for v in value[:cut]]
    return value


_RUNTIME: dict[str, Any] = {
    "true": _true,
    "number": _number,
    "tonumber": _tonumber,
    "tostring": _text,
    "spread": _spread,
    "at": _at,
    "call": _call,
    "ipairs": lambda table: enumerate(table, 1),
    "and_": lambda a, b: b() if _true(a) else a,
    "or_": lambda a, b: a if _true(a) else b(),
    "eq": lambda a, b: type(a) in _SAME.get(type(b), (type(b),)) and a == b,
    "ne": lambda a, b: not (type(a) in _SAME.get(type(b), (type(b),)) and a == b),
    "lt": lambda a, b: a < b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "ge": lambda a, b: a >= b,
    "concat": lambda a, b: _text(a) + _text(b),
    "add": lambda a, b: _number(a) + _number(b),
    "sub": lambda a, b: _number(a) - _number(b),
    "mul": lambda a, b: _number(a) * _number(b),
    "div": lambda a, b: _number(a) / _number(b),
}
_SAME: dict[type, tuple[type, ...]] = {int: (int, float), float: (int, float)}
