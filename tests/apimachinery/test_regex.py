"""Patterns mean what RE2 means by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.regex import RegexError, compile_regex
from tiphys.apimachinery.short_memory import LONGEST

MATCHES: list[tuple[str, str, bool]] = [
    ("^a$", "a", True),
    ("^a$", "a\n", False),
    ("(?m)^b$", "a\nb\nc", True),
    ("(?m:^b$)|^c$", "a\nb", True),
    ("(?m:x)|^b$", "a\nb", False),
    ("(?s)a.b", "a\nb", True),
    ("a.b", "a\nb", False),
    ("(?i)ABC", "xabc", True),
    ("a(?i)b", "aB", True),
    ("a(?i)b", "AB", False),
    ("(a(?i)b)c", "aBC", False),
    ("(?i:a)b", "Ab", True),
    ("(?i:a)b", "AB", False),
    (r"^\d+$", "123", True),
    (r"^\d+$", "١٢٣", False),
    (r"^[\d]+$", "١", False),
    (r"^[^\d]+$", "١", True),
    (r"^\D$", "a", True),
    (r"^[\D]$", "1", False),
    (r"^\w+$", "é", False),
    (r"^\W$", "é", True),
    (r"^[\W]$", "_", False),
    (r"^\s$", "\u00a0", False),
    (r"^[\S]$", "\u00a0", True),
    (r"\bé", "é", False),
    (r"\bcat\b", "a cat!", True),
    (r"^\pL+$", "éa", True),
    (r"^\p{Lu}$", "É", True),
    (r"^\p{Lu}$", "é", False),
    (r"^[\p{Nd}x]+$", "٣x", True),
    (r"^\PL$", "1", True),
    ("^[[:alpha:]]+$", "abc", True),
    ("^[[:alpha:]]+$", "ab1", False),
    ("^[[:^digit:]]$", "1", False),
    ("^[a[]$", "[", True),
    ("^[]a]$", "]", True),
    ("^[^]a]$", "b", True),
    ("^[a-]$", "-", True),
    ("^[a&&b]$", "&", True),
    (r"^[\-\]]$", "]", True),
    (r"\Aa\z", "a\n", False),
    (r"^\Qa.b\E$", "a.b", True),
    (r"^\Qa.b\E$", "axb", False),
    (r"^\x41\x{1F600}$", "A😀", True),
    (r"^\.$", ".", True),
    (r"^\101$", "A", True),
    ("^a{2,3}$", "aaa", True),
    ("^a{2}?$", "aa", True),
    ("^a{,2}$", "a{,2}", True),
    ("^{a$", "{a", True),
    ("^(?P<n>a)$", "a", True),
    ("^(?<n>a)$", "a", True),
    ("^(?:a|b)*?c$", "abc", True),
    ("", "x", True),
]


@pytest.mark.parametrize(("pattern", "text", "wanted"), MATCHES)
def test_matches(pattern: str, text: str, wanted: bool) -> None:
    assert compile_regex(pattern).matches(text) is wanted


REFUSED: dict[str, str] = {
    r"(a)\1": r"invalid escape sequence: `\1`",
    "(?P<n>a)(?P=n)": "invalid or unsupported Perl syntax: `(?P`",
    "a(?=b)": "invalid or unsupported Perl syntax: `(?=`",
    "a(?!b)": "invalid or unsupported Perl syntax: `(?!`",
    "(?<=a)b": "invalid named capture: `(?<=a)b`",
    "(?<!a)b>": "invalid named capture: `(?<!a)b>`",
    "(?P<n": "invalid named capture: `(?P<n`",
    "(?P<>a)": "invalid named capture: `(?P<>`",
    "(?P<n-m>a)": "invalid named capture: `(?P<n-m>`",
    "(?i-)a": "invalid or unsupported Perl syntax: `(?i-)`",
    "(?i-s-m)a": "invalid or unsupported Perl syntax: `(?i-s-`",
    "(?x)a": "invalid or unsupported Perl syntax: `(?x`",
    "a(?": "invalid or unsupported Perl syntax: `(?`",
    "(?R)": "invalid or unsupported Perl syntax: `(?R`",
    "(?(1)a|b)": "invalid or unsupported Perl syntax: `(?(`",
    "a**?": "invalid nested repetition operator: `**?`",
    "a{2}{3}": "invalid nested repetition operator: `{2}{3}`",
    "((a{100}){100})": "invalid repeat count: `{100}`",
    "((a{10}b{20}){51})": "invalid repeat count: `{51}`",
    "(a{2,}){501}": "invalid repeat count: `{501}`",
    "a{99999999999}": "invalid repeat count: `{99999999999}`",
    "+": "missing argument to repetition operator: `+`",
    "^|+?": "missing argument to repetition operator: `+?`",
    "[z-a]": "invalid character class range: `z-a`",
    r"[\x62-\x61]": r"invalid character class range: `\x62-\x61`",
    "[]": "missing closing ]: `[]`",
    "x[^": "missing closing ]: `[^`",
    "[a-": "missing closing ]: `[a-`",
    r"[\h]": r"invalid escape sequence: `\h`",
    r"\pq": r"invalid character class range: `\pq`",
    r"\p": r"invalid character class range: `\p`",
    r"\p{L": r"invalid character class range: `\p{L`",
    r"\xg1": r"invalid escape sequence: `\xg1`",
    r"\x{}": r"invalid escape sequence: `\x{}`",
    r"\x{110000}": r"invalid escape sequence: `\x{110000}`",
    r"\x": r"invalid escape sequence: `\x`",
    r"\8": r"invalid escape sequence: `\8`",
    r"\C": r"invalid escape sequence: `\C`",
    "é\\é": "invalid escape sequence: `\\é`",
    "a)b(": "unexpected ): `a)b(`",
    "(?>a)": "invalid or unsupported Perl syntax: `(?>`",
    "(?#a)": "invalid or unsupported Perl syntax: `(?#`",
    "a++": "invalid nested repetition operator: `++`",
    "a**": "invalid nested repetition operator: `**`",
    "*a": "missing argument to repetition operator: `*`",
    "(*a)": "missing argument to repetition operator: `*`",
    "a|*": "missing argument to repetition operator: `*`",
    "a{1001}": "invalid repeat count: `{1001}`",
    "a{3,2}": "invalid repeat count: `{3,2}`",
    "(a": "missing closing ): `(a`",
    "a)": "unexpected ): `a)`",
    "[a": "missing closing ]: `[a`",
    r"\p{Nope}": r"invalid character class range: `\p{Nope}`",
    "[[:nope:]]": "invalid character class range: `[:nope:]`",
    "a\\": "trailing backslash at end of expression: ``",
    r"\Z": r"invalid escape sequence: `\Z`",
    r"\h": r"invalid escape sequence: `\h`",
}


@pytest.mark.parametrize("pattern", REFUSED)
def test_refused(pattern: str) -> None:
    with pytest.raises(RegexError) as caught:
        compile_regex(pattern)
    assert str(caught.value) == f"error parsing regexp: {REFUSED[pattern]}"


def test_depth_and_size_have_limits() -> None:
    for pattern in ("(" * 1001 + ")" * 1001, r"(\pL{30}){30}"):
        with pytest.raises(RegexError, match=r"nests too deeply|too large"):
            compile_regex(pattern)


ACCEPTED = [
    "a{1000}",
    "(a{0}){1000}",
    "(a{500}){2}",
    "a(?i)*",
    "a{01}",
    "a{2",
    "(?U)a+",
    "x*|",
]


@pytest.mark.parametrize("pattern", ACCEPTED)
def test_accepted(pattern: str) -> None:
    compile_regex(pattern)


FOUND: list[tuple[str, str, int, list[str]]] = [
    ("[0-9]+", "a1b22c333", -1, ["1", "22", "333"]),
    ("[0-9]+", "a1b22c333", 2, ["1", "22"]),
    ("[0-9]+", "a1b22c333", 0, []),
    ("a*", "baab", -1, ["", "aa", ""]),
    ("", "äb", -1, ["", "", ""]),
    ("é|ü", "éxü", -1, ["é", "ü"]),
    (r"\bx", "x xx", -1, ["x", "x"]),
    ("(?U)a+", "aaa", -1, ["a", "a", "a"]),
    ("a|ab", "ab", -1, ["a"]),
    ("x", "abc", -1, []),
]


@pytest.mark.parametrize(("pattern", "text", "most", "wanted"), FOUND)
def test_find_all(pattern: str, text: str, most: int, wanted: list[str]) -> None:
    assert compile_regex(pattern).find_all(text, most) == wanted


HOSTILE = [
    "^(a+)+$",
    "(a|a)*b",
    "^(a|aa)+$",
    "(x+x+)+y",
    "a*a*a*a*a*a*b",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(.*)*=.*",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_no_pattern_backtracks(pattern: str) -> None:
    """Each of these takes a backtracking matcher longer than the universe is old, or days at least."""
    text = "ax" * 100_000 if "x" in pattern else "a" * 200_000
    assert compile_regex(pattern).matches(text + "!") is False


@given(st.text(alphabet="ab01()[]{}|*+?^$.\\-,:<>PdpLiQEx", max_size=14))
def test_any_text_is_a_pattern_or_a_fault(pattern: str) -> None:
    """What is accepted is what RE2 takes too: then nothing is said to be too large."""
    try:
        compile_regex(pattern).find_all("ab0 \nba1")
    except RegexError as error:
        said = str(error)
    else:
        said = ""
    assert "too large" not in said


def test_patterns_are_compiled_once() -> None:
    assert compile_regex("a+b") is compile_regex("a+b")


def test_few_long_patterns_are_remembered() -> None:
    """Each may be a megabyte, and clients may send any number of them."""
    first = "a" * (LONGEST + 1)
    compiled = compile_regex(first)
    assert compile_regex(first) is compiled
    for number in range(16):
        compile_regex(f"{first}{number}")
    assert compile_regex(first) is not compiled
    short = compile_regex("a" * LONGEST)
    for number in range(16):
        compile_regex(f"b{number}")
    assert compile_regex("a" * LONGEST) is short
