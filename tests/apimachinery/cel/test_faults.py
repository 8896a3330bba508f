"""What does not compile, and what is said of it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.apimachinery.cel import (
    Budget,
    CompileError,
    CostExceeded,
    Environment,
    EvaluationError,
    InstantiationError,
    ResultTypeError,
    types,
)
from tiphys.apimachinery.cel.parser import MAX_LENGTH

ENVIRONMENT = Environment(
    {
        "i": types.INT,
        "s": types.STRING,
        "l": types.list_of(types.INT),
        "m": types.map_of(types.STRING, types.INT),
        "o": types.object_of("thing", {"name": types.STRING, "size": types.INT}),
        "d": types.DYN,
    }
)
EXPECTED = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', "
    "NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)

FAULTS: dict[str, list[tuple[int, str]]] = {
    # names in backquotes, which the API leaves off
    "o.`name`": [(3, "unsupported syntax: '`'")],
    "o.?`a-b`.c": [(4, "unsupported syntax: '`'")],
    "has(o.`name`)": [(7, "unsupported syntax: '`'")],
    "`a b`": [(1, f"Syntax error: mismatched input '`a b`' expecting {EXPECTED}")],
    "o.`name`()": [
        (3, "unsupported syntax: '`'"),
        (9, "Syntax error: mismatched input '(' expecting <EOF>"),
    ],
    "o.`$b`": [
        (3, "Syntax error: token recognition error at: '`$'"),
        (6, "Syntax error: token recognition error at: '`'"),
    ],
    # messages by name
    "google.protobuf.Timestamp{second: 1}": [(33, "undefined field 'second'")],
    "google.protobuf.Int64Value{value: 'a'}": [
        (33, "expected type of field 'value' is 'int' but provided type is 'string'")
    ],
    "google.protobuf.Int64Value{value: 1} == 'a'": [
        (38, "found no matching overload for '_==_' applied to '(wrapper(int), string)'")
    ],
    "google.protobuf.Int65Value{}": [
        (27, "undeclared reference to 'google.protobuf.Int65Value' (in container '')")
    ],
    # syntax
    "": [(1, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}")],
    "1 +": [(4, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}")],
    "*@a | b": [
        (1, f"Syntax error: extraneous input '*' expecting {EXPECTED}"),
        (2, "Syntax error: token recognition error at: '@'"),
        (5, "Syntax error: token recognition error at: '| '"),
        (7, "Syntax error: extraneous input 'b' expecting <EOF>"),
    ],
    "i in [1]\n&& in.😁": [
        (13, f"Syntax error: extraneous input 'in' expecting {EXPECTED}"),
        (16, "Syntax error: token recognition error at: '😁'"),
        (17, "Syntax error: no viable alternative at input '.'"),
    ],
    "i && && i": [(6, f"Syntax error: extraneous input '&&' expecting {EXPECTED}")],
    "--": [
        (3, "Syntax error: no viable alternative at input '-'"),
        (3, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "?": [
        (1, f"Syntax error: mismatched input '?' expecting {EXPECTED}"),
        (2, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "in": [
        (1, f"Syntax error: mismatched input 'in' expecting {EXPECTED}"),
        (3, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "1 + +": [
        (5, f"Syntax error: mismatched input '+' expecting {EXPECTED}"),
        (6, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "i + ) + *": [
        (5, f"Syntax error: mismatched input ')' expecting {EXPECTED}"),
        (9, f"Syntax error: mismatched input '*' expecting {EXPECTED}"),
        (10, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "(1 + ) * (2": [
        (6, f"Syntax error: mismatched input ')' expecting {EXPECTED}"),
        (12, "Syntax error: missing ')' at '<EOF>'"),
    ],
    "s. .a + * 2": [
        (4, "Syntax error: no viable alternative at input '. .'"),
        (9, f"Syntax error: extraneous input '*' expecting {EXPECTED}"),
    ],
    "s.in": [
        (3, "Syntax error: no viable alternative at input '.in'"),
        (5, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "s.?1": [(4, "Syntax error: mismatched input '1' expecting {IDENTIFIER, ESC_IDENTIFIER}")],
    "i ? 1": [(6, "Syntax error: mismatched input '<EOF>' expecting ':'")],
    "i ? 1 2": [(7, "Syntax error: missing ':' at '2'")],
    "!": [(2, f"Syntax error: extraneous input '<EOF>' expecting {EXPECTED}")],
    "-!i": [(2, "Syntax error: no viable alternative at input '-!'")],
    "!-i": [(3, "Syntax error: no viable alternative at input '-i'")],
    "size(": [
        (6, "Syntax error: mismatched input '<EOF>' expecting " + EXPECTED.replace("'(', ", "'(', ')', "))
    ],
    "size(1 2)": [(8, "Syntax error: extraneous input '2' expecting ')'")],
    "[1 2]": [(4, "Syntax error: extraneous input '2' expecting {']', ','}")],
    "[1, )]": [(5, "Syntax error: extraneous input ')' expecting ']'")],
    "{'a': 1": [(8, "Syntax error: mismatched input '<EOF>' expecting {'}', ','}")],
    "m[?i": [(5, "Syntax error: missing ']' at '<EOF>'")],
    "f{{a}}": [
        (3, "Syntax error: extraneous input '{' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"),
        (5, "Syntax error: mismatched input '}' expecting ':'"),
        (6, "Syntax error: extraneous input '}' expecting <EOF>"),
    ],
    "for + + while +": [
        (1, "reserved identifier: for"),
        (7, f"Syntax error: extraneous input '+' expecting {EXPECTED}"),
        (9, "reserved identifier: while"),
        (16, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    '{"a": 1}."a"': [(10, "Syntax error: no viable alternative at input '.\"a\"'")],
    "{a}": [(3, "Syntax error: mismatched input '}' expecting ':'")],
    "m[d{b}]": [(6, "Syntax error: mismatched input '}' expecting ':'")],
    '"\\xFh"': [
        (1, "Syntax error: token recognition error at: '\"\\xFh'"),
        (6, "Syntax error: token recognition error at: '\"'"),
        (7, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    # strings that break off begin with shorter tokens
    '"""s\ni': [
        (3, "Syntax error: token recognition error at: '\"s\n'"),
        (6, "Syntax error: extraneous input 'i' expecting <EOF>"),
    ],
    "r'''s\ni": [
        (4, "Syntax error: token recognition error at: ''s\n'"),
        (7, "Syntax error: extraneous input 'i' expecting <EOF>"),
    ],
    'r"s\ni"': [
        (2, "Syntax error: token recognition error at: '\"s\n'"),
        (5, "Syntax error: extraneous input 'i' expecting <EOF>"),
        (6, "Syntax error: token recognition error at: '\"'"),
    ],
    '"s\ri"': [
        (1, "Syntax error: token recognition error at: '\"s\r'"),
        (5, "Syntax error: token recognition error at: '\"'"),
    ],
    r"'\udead' == '\ufffd'": [(1, "invalid unicode code point")],
    r"i == 1 || '\U00110000' == s": [(11, "invalid unicode code point")],
    r"b'\u00ff' == b'\U000000ff'": [(1, "unable to unescape string"), (14, "unable to unescape string")],
    r"@ + '\udead'": [
        (1, "Syntax error: token recognition error at: '@'"),
        (3, f"Syntax error: extraneous input '+' expecting {EXPECTED}"),
        (5, "invalid unicode code point"),
    ],
    r'"\a\b\> x"': [
        (1, r"""Syntax error: token recognition error at: '"\a\b\>'"""),
        (10, "Syntax error: token recognition error at: '\"'"),
    ],
    "[1, 2": [(6, "Syntax error: mismatched input '<EOF>' expecting {']', ','}")],
    "l.all(x, x > 1": [(15, "Syntax error: missing ')' at '<EOF>'")],
    "i | i": [
        (3, "Syntax error: token recognition error at: '| '"),
        (5, "Syntax error: extraneous input 'i' expecting <EOF>"),
    ],
    "s = 'test'": [
        (3, "Syntax error: token recognition error at: '= '"),
        (5, "Syntax error: extraneous input ''test'' expecting <EOF>"),
    ],
    "-": [
        (2, "Syntax error: no viable alternative at input '-'"),
        (2, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "1 2": [(3, "Syntax error: extraneous input '2' expecting <EOF>")],
    "1 2 3": [(3, "Syntax error: mismatched input '2' expecting <EOF>")],
    "(1": [(3, "Syntax error: missing ')' at '<EOF>'")],
    "s.": [(3, "Syntax error: no viable alternative at input '.'")],
    "'abc": [
        (1, "Syntax error: token recognition error at: ''abc'"),
        (5, f"Syntax error: mismatched input '<EOF>' expecting {EXPECTED}"),
    ],
    "0xFFFFFFFFFFFFFFFFF": [(1, "invalid int literal")],
    "9223372036854775808": [(1, "invalid int literal")],
    "0xFFFFFFFFFFFFFFFFFu": [(1, "invalid uint literal")],
    "1.99e90000009": [(1, "invalid double literal")],
    "i + for": [(5, "reserved identifier: for")],
    "as + while": [(1, "reserved identifier: as"), (6, "reserved identifier: while")],
    # macros
    "has(m)": [(5, "invalid argument to has() macro")],
    "has(m['a'])": [(6, "invalid argument to has() macro")],
    "l.map(__result__, 1)": [(7, "iteration variable overwrites accumulator variable")],
    "l.all(i, __result__, true)": [(10, "iteration variable overwrites accumulator variable")],
    "l.all(m.x, true)": [(8, "argument must be a simple name")],
    "l.exists(1, true)": [(10, "argument must be a simple name")],
    "l.map(1 + 1, 2)": [(9, "argument is not an identifier")],
    "l.filter(1, true)": [(10, "argument is not an identifier")],
    "l.map(var, var)": [
        (7, "reserved identifier: var"),
        (7, "argument is not an identifier"),
        (12, "reserved identifier: var"),
    ],
    ".import": [(1, "reserved identifier: import")],
    "import{}": [(7, "undeclared reference to 'import' (in container '')")],
    # references
    "foo": [(1, "undeclared reference to 'foo' (in container '')")],
    "foo.bar": [(1, "undeclared reference to 'foo' (in container '')")],
    "foo(1)": [(4, "undeclared reference to 'foo' (in container '')")],
    "s.foo(1)": [(6, "undeclared reference to 'foo' (in container '')")],
    "l.all(x, y)": [(10, "undeclared reference to 'y' (in container '')")],
    "l.all(x, true) && x > 1": [(19, "undeclared reference to 'x' (in container '')")],
    "a + b": [
        (1, "undeclared reference to 'a' (in container '')"),
        (5, "undeclared reference to 'b' (in container '')"),
    ],
    "Thing{x: 1}": [(6, "undeclared reference to 'Thing' (in container '')")],
    "cel.bind(x, 1, 2)": [
        (1, "undeclared reference to 'cel' (in container '')"),
        (9, "undeclared reference to 'bind' (in container '')"),
        (10, "undeclared reference to 'x' (in container '')"),
    ],
    # types
    "o.nothing": [(2, "undefined field 'nothing'")],
    "has(o.nothing)": [(4, "undefined field 'nothing'")],
    "o.?nothing": [(2, "undefined field 'nothing'")],
    "i.field": [(2, "type 'int' does not support field selection")],
    "i + s": [(3, "found no matching overload for '_+_' applied to '(int, string)'")],
    "i == s": [(3, "found no matching overload for '_==_' applied to '(int, string)'")],
    "1 == 1.0": [(3, "found no matching overload for '_==_' applied to '(int, double)'")],
    "!i": [(1, "found no matching overload for '!_' applied to '(int)'")],
    "i && true": [(1, "expected type 'bool' but found 'int'")],
    "i || true || [s]": [
        (1, "expected type 'bool' but found 'int'"),
        (14, "expected type 'bool' but found 'list(string)'"),
    ],
    "(i && true) == i": [(2, "expected type 'bool' but found 'int'")],
    "i ? 1 : 2": [(3, "found no matching overload for '_?_:_' applied to '(int, int, int)'")],
    "true ? 1 : 'a'": [(6, "found no matching overload for '_?_:_' applied to '(bool, int, string)'")],
    "s.startsWith(1)": [(13, "found no matching overload for 'startsWith' applied to 'string.(int)'")],
    "l['a']": [(2, "found no matching overload for '_[_]' applied to '(list(int), string)'")],
    "m[1]": [(2, "found no matching overload for '_[_]' applied to '(map(string, int), int)'")],
    "1 in s": [(3, "found no matching overload for '@in' applied to '(int, string)'")],
    "size(1)": [(5, "found no matching overload for 'size' applied to '(int)'")],
    "[1, 'a']": [(5, "expected type 'int' but found 'string'")],
    "{'a': 1, 'b': 'c'}": [(15, "expected type 'int' but found 'string'")],
    "{'a': 1, 2: 3}": [(10, "expected type 'string' but found 'int'")],
    "[?1]": [(3, "expected type 'optional_type(int)' but found 'int'")],
    "i.all(x, true)": [
        (1, "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)")
    ],
    "l.all(x, x)": [(10, "expected type 'bool' but found 'int'")],
    "i.exists(x, i)": [
        (1, "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"),
        (13, "expected type 'bool' but found 'int'"),
    ],
    # variables without a type are shown as what they become
    "[].map(x, [].map(y, x in y && y in x))": [
        (33, "found no matching overload for '@in' applied to '(list(dyn), dyn)'")
    ],
    "[].length": [(3, "type 'list(_var0)' does not support field selection")],
    "[].foo([]) + [1].sum([])": [
        (7, "undeclared reference to 'foo' (in container '')"),
        (21, "found no matching overload for 'sum' applied to 'list(int).(list(dyn))'"),
    ],
    # after an element that does not fit, the next one is what the others must be like
    "[1, 'a', 2.0, 2.0, 3]": [
        (5, "expected type 'int' but found 'string'"),
        (20, "expected type 'double' but found 'int'"),
    ],
    "[?x]": [
        (3, "undeclared reference to 'x' (in container '')"),
        (3, "expected type 'optional_type(!error!)' but found '!error!'"),
    ],
    # what cannot be made
    "int{}": [(4, "'int' is not a message type")],
    "optional_type{}": [(14, "'optional_type' is not a message type")],
    "s{x: y}": [
        (2, "'string' is not a type"),
        (4, "unexpected failed resolution of 's'"),
        (6, "undeclared reference to 'y' (in container '')"),
    ],
    "[i].map(x, x{})": [(13, "'int' is not a type")],
    "nothing{x: y}": [(8, "undeclared reference to 'nothing' (in container '')")],
    "null + 1": [(6, "found no matching overload for '_+_' applied to '(null, int)'")],
    # literals that cannot be right
    "duration('x') == duration('1s')": [(10, "invalid duration argument")],
    "duration('-9223372036854775809ns') == duration('1s')": [(10, "invalid duration argument")],
    "duration('9223372036854775808ns') == duration('1s')": [(10, "invalid duration argument")],
    "timestamp('x') == timestamp(1)": [(11, "invalid timestamp argument")],
    "s.matches('(')": [(11, "invalid matches argument")],
    # templates that are written out, with arguments that are
    "'%s %s'.format([s])": [(15, "index 1 out of range")],
    "'%s'.format([s, s])": [
        (12, "too many arguments supplied to string.format (expected 1, got 2)"),
    ],
    "'%'.format([])": [(11, "unexpected end of string")],
    "'%E'.format([1.0])": [
        (12, 'could not parse formatting clause: unrecognized formatting clause "E"'),
    ],
    "'%.34'.format([1.0])": [
        (
            14,
            "could not parse formatting clause: error while parsing precision: "
            "could not find end of precision specifier",
        ),
    ],
    "'%s %d'.format([dyn(i), s])": [
        (25, "error during formatting: decimal clause can only be used on integers, was given string")
    ],
    "'%d'.format([null])": [
        (14, "error during formatting: decimal clause can only be used on integers, was given null_type")
    ],
    "'%f'.format([duration('1s')])": [
        (
            22,
            "error during formatting: fixed-point clause can only be used on doubles, "
            "was given google.protobuf.Duration",
        )
    ],
    "'%s'.format([[[d], [o]]])": [
        (
            21,
            "error during formatting: string clause can only be used on strings, bools, bytes, ints, "
            "doubles, maps, lists, types, durations, and timestamps, was given thing",
        )
    ],
    # only where all types fit
    "i + 'a' + duration('x')": [(3, "found no matching overload for '_+_' applied to '(int, string)'")],
    r"s.matches('(a)\\1')": [(11, "invalid matches argument")],
    "s.matches('a(?=b)')": [(11, "invalid matches argument")],
}


@pytest.mark.parametrize("expression", FAULTS)
def test_fault(expression: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(expression)
    found = [(issue.offset + 1, issue.message) for issue in caught.value.issues]
    assert found == FAULTS[expression]


def test_faults_point_at_their_place() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("i > 1 &&\n\to.nme == 'x' && s > 2")
    assert str(caught.value) == (
        "ERROR: <input>:2:3: undefined field 'nme'\n"
        " |  o.nme == 'x' && s > 2\n"
        " | ..^\n"
        "ERROR: <input>:2:20: found no matching overload for '_>_' applied to '(string, int)'\n"
        " |  o.nme == 'x' && s > 2\n"
        " | ...................^"
    )


def test_wide_letters_have_wide_dots() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("'é' + 1")
    assert str(caught.value).splitlines()[-1] == " | .．..^"


def test_expected_type() -> None:
    assert ENVIRONMENT.compile("i > 1", types.BOOL).result == types.BOOL
    with pytest.raises(ResultTypeError, match="must evaluate to bool"):
        ENVIRONMENT.compile("i", types.BOOL)
    with pytest.raises(ResultTypeError):
        ENVIRONMENT.compile("d", types.BOOL)


@pytest.mark.parametrize("call", ["find(')')", "findAll(')')", "findAll(')', 1)"])
def test_patterns_that_are_written_out_are_made_before_anything_runs(call: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(f"'a'.{call} == d")
    why = "error parsing regexp: unexpected ): `)`"
    assert caught.value.told() == f"program instantiation failed: {why}"


def test_folded_constants_must_have_values() -> None:
    with pytest.raises(InstantiationError, match=r"^type conversion error"):
        ENVIRONMENT.compile("int('x') == 1")


def test_faults_of_syntax_are_bounded() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("+ " * 60)
    assert len(caught.value.issues) == 32
    assert caught.value.issues[-1].message == "Syntax error: error recovery attempt limit exceeded: 30"
    with pytest.raises(CompileError, match="error recovery token lookahead limit exceeded: 256"):
        ENVIRONMENT.compile("i " * 400)


@pytest.mark.parametrize("text", ["@" * 150, "@ 1 * " * 200])
def test_after_a_hundred_faults_of_syntax_none_is_told(text: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("as + " + text)
    assert str(caught.value).endswith("\n1 more errors were truncated")
    issues = caught.value.issues
    assert len(issues) == 100
    assert {issue.message.split(":")[0] for issue in issues} == {"Syntax error"}


def test_where_reading_ends_what_follows_is_not_told() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("as " + "i " * 400 + "@")
    assert [issue.message for issue in caught.value.issues] == [
        "error recovery token lookahead limit exceeded: 256",
        "Syntax error: mismatched input 'i' expecting <EOF>",
    ]


def test_a_hundred_faults_are_told() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(" + ".join(["x"] * 103))
    lines = str(caught.value).split("\n")
    assert len(lines) == 301
    assert lines[-1] == "3 more errors were truncated"


def test_long_lines_are_not_shown() -> None:
    told = "ERROR: <input>:2:1: undeclared reference to 'x' (in container '')"
    for blanks, shown in ((16_383, 2), (16_384, 0)):
        with pytest.raises(CompileError) as caught:
            ENVIRONMENT.compile("i ==\nx" + " " * blanks)
        lines = str(caught.value).split("\n")
        assert (lines[0], len(lines) - 1) == (told, shown)


def test_length_is_bounded() -> None:
    with pytest.raises(CompileError, match=f"exceeds limit: size: {MAX_LENGTH + 1}, limit {MAX_LENGTH}"):
        ENVIRONMENT.compile(" " * MAX_LENGTH + "1")


_WORDS = (
    "i s l m d o 1 2u 1.5 'a' b'x' null true ( ) [ ] { } . , : ? + - * / % < >= == ! && || has( all( x "
    ".map(x, .? [? size( ' \" \\ @ = | é matches( timestamp( .format( optional.of("
)
_PIECES = st.sampled_from([*_WORDS.split(" "), " in ", "\n"])


@settings(max_examples=60, database=None)
@given(st.one_of(st.text(max_size=30), st.lists(_PIECES, max_size=14).map("".join)))
def test_any_text_is_a_program_or_a_fault(text: str) -> None:
    try:
        program = ENVIRONMENT.compile(text)
        program.cost_estimate()
    except CompileError as error:
        if str(error) == "no expression":
            raise
        return
    values = {"i": 1, "s": "a", "l": [1, 2], "m": {"a": 1}, "d": {"x": [1]}, "o": {"name": "n", "size": 1}}
    with contextlib.suppress(EvaluationError, CostExceeded):
        program.evaluate(values, Budget(per_call=10_000))
