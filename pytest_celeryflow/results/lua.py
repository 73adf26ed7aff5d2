"""Just enough Lua to run the scripts that Celery registers with Redis.

Celery 5.7 counts chords in server-side scripts (`celery/backends/redis.py`,
``CHORD_PART_RETURN_LUA`` and its siblings). Writing their logic again in Python would test
our copy instead of Celery's text, and would be wrong after Celery's next change; so the text
itself is translated into Python and run.

The subset: ``local`` names in the block where they are declared, assignment to one of them,
``if``/``elseif``/``else``, ``for … in ipairs``, ``return`` of one value, tables as lists,
indexing, ``redis.call``, ``tonumber``, ``tostring``, ``and``/``or``/``not``, comparison,
``+ - * /`` and ``..``, comments. Anything else is refused with the line, globals among it, as
a real server refuses them. As there, values from Redis are text, a missing one is false, and
numbers that a script returns lose their fraction.
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
_GIVEN = frozenset({"KEYS", "ARGV", "tonumber", "tostring", "ipairs"})
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
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
        return _to_redis(script(call, [_argument(k) for k in keys], [_argument(a) for a in args]))

    return run


class _Translator:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan(text))
        self._at = 0
        #: Names that are declared, block by block, and what they are called in Python.
        self._scopes: list[dict[str, str]] = []
        self._declared = 0

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
        self._scopes.append({})
        lines = []
        while self._kind() != "end" and self._peek() not in ("end", "else", "elseif"):
            lines.append(self._statement(depth))
            self._accept(";")
        self._scopes.pop()
        return "\n".join(lines) if lines else "    " * depth + "pass"

    def _declare(self, name: str) -> str:
        self._declared += 1
        self._scopes[-1][name] = f"l{self._declared}_{name}"
        return self._scopes[-1][name]

    def _known(self, name: str) -> str | None:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), None)

    def _statement(self, depth: int) -> str:
        pad = "    " * depth
        if self._accept("local"):
            names = self._names()
            # The values are read before the names are declared: they may hide others.
            values = self._values() if self._accept("=") else "[]"
            places = ", ".join(map(self._declare, names))
            return f"{pad}{places}, = spread({values}, {len(names)})"
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
            names = self._names()
            self._expect("in")
            if self._peek() != "ipairs":
                self._refuse()
            sequence = self._expression()
            self._expect("do")
            self._scopes.append({})
            places = ", ".join(map(self._declare, names))
            body = self._block(depth + 1)
            self._scopes.pop()
            self._expect("end")
            return f"{pad}for {places}, in pairs_of({sequence}, {len(names)}):\n{body}"
        if self._accept("return"):
            if self._peek() in ("end", "else", "elseif", ""):
                return f"{pad}return None"
            return f"{pad}return {self._expression()}"
        if self._kind() == "name" and self._tokens[self._at + 1][1] == "=":
            target = self._known(self._peek()) or self._refuse()
            self._next()
            self._expect("=")
            return f"{pad}{target} = {self._expression()}"
        if self._peek() != "redis":
            self._refuse()
        return pad + self._suffixed()

    def _names(self) -> list[str]:
        names = [self._name()]
        while self._accept(","):
            names.append(self._name())
        return names

    def _name(self) -> str:
        if self._kind() != "name":
            self._refuse()
        return self._next()

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
                if out != "redis" or self._peek() != "call":
                    self._refuse()
                self._next()
                out = "call(redis_call)"
            else:
                return out

    def _primary(self) -> str:
        kind = self._kind()
        if kind == "number":
            return self._next()
        if kind == "string":
            return self._string()
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
            name = self._peek()
            place = self._known(name)
            if place is None and (name in _GIVEN or (name == "redis" and self._tokens[self._at + 1][1] == ".")):
                place = name
            if place is not None:
                self._next()
                return place
        return str(self._refuse())

    def _string(self) -> str:
        text = self._peek()[1:-1]
        for escape in re.findall(r"\\(.)", text, re.DOTALL):
            if escape not in _ESCAPES:
                self._refuse()
        self._next()
        return repr(re.sub(r"\\(.)", lambda found: _ESCAPES[found[1]], text))


# --- what the translation calls ---


def _true(value: Any) -> bool:
    return value is not None and value is not False


_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


def _tonumber(value: Any) -> float | int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return int(number) if number.is_integer() else number


def _number(value: Any) -> float:
    """A number for arithmetic, which Lua does in doubles."""
    number = _tonumber(value)
    if number is None:
        raise TypeError(f"attempt to perform arithmetic on {value!r}")
    return float(number)


def _text(value: Any, digits: int = 14) -> str:
    """Text as ``..`` makes it of strings and numbers; ``redis.call`` keeps more digits."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"{_tostring(value)} is neither a string nor a number")
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def _argument(value: Any) -> str:
    """A key or an argument as redis-py sends it."""
    return _text(value) if isinstance(value, bytes) else str(value)


def _tostring(value: Any) -> str:
    words = {None: "nil", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return "table" if isinstance(value, list) else _text(value)


def _equal(a: Any, b: Any) -> bool:
    """Lua's ``==``: numbers by value, tables by identity, and never across types."""
    if isinstance(a, list) or isinstance(b, list):
        return a is b
    numbers = {type(a), type(b)} <= {int, float}
    return (numbers or type(a) is type(b)) and a == b


def _spread(values: list[Any], count: int) -> list[Any]:
    return (values + [None] * count)[:count]


def _pairs_of(table: Any, count: int) -> Any:
    """What ``ipairs`` goes through: up to the first nil."""
    for number, value in enumerate(table, 1):
        if value is None:
            return
        yield (number, value)[:count]


def _at(table: list[Any], index: Any) -> Any:
    position = int(_number(index)) - 1
    return table[position] if 0 <= position < len(table) else None


def _call(redis_call: Call) -> Callable[..., Any]:
    def call(command: str, *arguments: Any) -> Any:
        reply = redis_call(command, [_text(a, 17) for a in arguments])
        if reply is None:
            return False
        if isinstance(reply, list):
            return [False if item is None else _text(item) for item in reply]
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
    "tostring": _tostring,
    "spread": _spread,
    "at": _at,
    "call": _call,
    "ipairs": lambda table: table,
    "pairs_of": _pairs_of,
    "and_": lambda a, b: b() if _true(a) else a,
    "or_": lambda a, b: a if _true(a) else b(),
    "eq": _equal,
    "ne": lambda a, b: not _equal(a, b),
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
