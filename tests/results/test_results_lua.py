"""`lua`: the subset runs as a real server runs it, and the rest is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_celeryflow.results.lua import LuaUnsupported, compile_script


def nothing(command: str, arguments: list) -> None:
    """A server that knows no command."""
    raise AssertionError(f"{command} {arguments}")


def run(text: str, *args: object) -> object:
    return compile_script(text)(nothing, [], list(args))


SCRIPTS = [
    "return 1 + 2 * 3 - 4 / 2",
    "return (1 + 2) * 3",
    "return 7 / 2",
    "return -7 / 2",
    "return 'a' .. 'b' .. 1 .. 2.5",
    "return 10 / 2 .. ''",
    "return 1000000 * 1000000000 .. ''",
    "return 1 / 3 .. ''",
    "return tostring(nil) .. tostring(true) .. tostring(1.5)",
    r"return 'it\'s' .. \"\\n\" .. '\\\\'".replace(r"\"", '"').replace(r"\\n", r"\n"),
    "return {1, 'two', 3.9, false, true}",
    "return {1, nil, 3}",
    "return {{1, 2}, {'a'}}",
    "return nil",
    "return false",
    "return",
    "local a, b, c = 1, 2 return {a, b, tostring(c)}",
    "local a = 1 if a == 1 then local a = 2 end return a",
    "local a = 1 if a == 1 then a = 2 end return a",
    "local a = 1 local a = a + 1 return a",
    "local n = 0 for _, v in ipairs({1, 2, 3}) do n = n + v end return n",
    "local n = 0 for i in ipairs({5, 5, nil, 5}) do n = n + i end return n",
    "local s = '' for i, v in ipairs({'a', 'b'}) do s = s .. i .. v end return s",
    "if nil then return 1 elseif 0 then return 2 else return 3 end",
    "if false then return 1 elseif nil then return 2 else return 3 end",
    "if not nil and not false then return 'yes' end",
    "return nil or 'default'",
    "return false and 1 or 2",
    "return 1 and 2",
    "return 1 == 1.0 and 'same'",
    "return '1' == 1 and 'same' or 'other'",
    "return true == 1 and 'same' or 'other'",
    "return nil == false and 'same' or 'other'",
    "return {} == {} and 'same' or 'other'",
    "return 1 < 2 and 2 <= 2 and 3 > 2 and 3 >= 3 and 1 ~= 2 and 'all'",
    "return 'a' < 'b' and 1 or 0",
    "return tonumber('12') + tonumber(' 1.5 ') + tonumber('1e2')",
    "return tonumber('1_000') or 'no number'",
    "return tonumber('x') or 'no number'",
    "return tonumber(nil or '7')",
    "return '3' + '4'",
    "return #{1, 2, 3} + #'four'",
    "return ({5, 6})[2]",
    "return ({5, 6})[3] or 'none'",
    "return ARGV[1] .. ARGV[2] .. tostring(ARGV[3])",
    "--[[ a long\ncomment ]] return 1 -- and a short one",
    "local x = 1; local y = 2; return x + y;",
    "local at, len, is = 1, 2, 3 return at + len + is",
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_script_replies_as_on_a_real_server(real, text: str) -> None:
    """Values, truth, scopes, text of numbers: the same reply, or the same lack of one."""
    arguments = ["one", "2"]
    assert run(text, *arguments) == real.eval(text, 0, *arguments)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.data())
def test_arithmetic_replies_as_on_a_real_server(real, data) -> None:
    """Random expressions of numbers, comparisons and logic."""
    number = st.integers(-9, 9).map(lambda n: f"({n})" if n < 0 else str(n))

    def grow(inner):
        return st.tuples(inner, st.sampled_from("+ - *".split()), inner).map(
            lambda parts: f"({' '.join(parts)})"
        )

    value = st.recursive(number, grow, max_leaves=6)
    test = st.tuples(value, st.sampled_from("== ~= < <= > >=".split()), value).map(" ".join)
    logic = st.recursive(
        test, lambda t: st.tuples(t, st.sampled_from(["and", "or"]), t).map(" ".join), max_leaves=4
    )
    text = f"return {{{data.draw(value)}, {data.draw(logic)}, {data.draw(value)} .. ''}}"
    # Lua 5.1 keeps 0 and -0 of one script as a single constant, whichever comes first.
    ours, theirs = (
        [b"0" if part == b"-0" else part for part in reply]
        for reply in (run(text), real.eval(text, 0))
    )
    assert ours == theirs


def test_commands_reach_the_server_as_text() -> None:
    """Arguments of `redis.call` are text, numbers among them; a missing reply is false."""
    asked = []

    def call(command, arguments):
        asked.append((command, arguments))

    text = "if not redis.call('GET', KEYS[1], 3, 4 / 2, 0.5) then return 'none' end"
    assert compile_script(text)(call, [b"k"], []) == b"none"
    assert asked == [("GET", ["k", "3", "2", "0.5"])]


@pytest.mark.parametrize("argument", ["nil", "true", "{}"])
def test_arguments_of_a_command_are_strings_or_numbers(argument: str) -> None:
    """As on a server, anything else is an error."""
    with pytest.raises(TypeError, match="neither a string nor a number"):
        run(f"return redis.call('GET', {argument})")


def test_bytes_that_are_not_text_come_back_unchanged() -> None:
    """Results may be compressed or pickled."""
    raw = bytes(range(256))
    assert compile_script("return ARGV[1]")(nothing, [], [raw]) == raw


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("while true do end", 1, "while"),
        ("local x = 1\nrepeat until x", 2, "repeat"),
        ("local x\n\nx = y", 3, "y"),
        ("x = 1", 1, "x"),
        ("for i = 1, 3 do end", 1, "="),
        ("for k, v in pairs({}) do end", 1, "pairs"),
        ("local f = function() end", 1, "function"),
        ("return 2 ^ 3", 1, "^"),
        ("return 7 % 2", 1, "%"),
        ("return {a = 1}", 1, "a"),
        ("return 1, 2", 1, ","),
        ("return cjson.encode({})", 1, "cjson"),
        ("redis.pcall('GET', 'k')", 1, "pcall"),
        ("redis.log(1, 'x')", 1, "log"),
        ("local t = {}\nt[1] = 2", 2, "t"),
        ("return ('x'):upper()", 1, ":"),
        ("return [[long]]", 1, "["),
        (r"return '\065'", 1, r"'\065'"),
        ("goto done", 1, "goto"),
        ("1 + 1", 1, "1"),
        ("if true then", 1, ""),
    ],
)
def test_what_is_not_in_the_subset_is_refused_with_its_line(text, line, what) -> None:
    """At compile time, in words that name the line and the first thing not understood."""
    with pytest.raises(LuaUnsupported) as refused:
        compile_script(text)
    assert str(refused.value).startswith(f"Lua script, line {line}: {what!r} ")


def test_a_name_ends_with_its_block() -> None:
    """What was local to a branch is unknown after it."""
    with pytest.raises(LuaUnsupported, match="line 1: 'a'"):
        compile_script("if true then local a = 1 end return a")
