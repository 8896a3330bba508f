"""Patterns mean what RE2 means by them."""

from __future__ import annotations

import re

import pytest

from tiphys.apimachinery.cel.regex import RegexError, compile_regex

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
    assert (compile_regex(pattern).search(text) is not None) is wanted


REFUSED: dict[str, str] = {
    r"(a)\1": r"invalid escape sequence: `\1`",
    "(?P<n>a)(?P=n)": "invalid or unsupported Perl syntax: `(?P`",
    "a(?=b)": "invalid or unsupported Perl syntax: `(?=`",
    "a(?!b)": "invalid or unsupported Perl syntax: `(?!`",
    "(?<=a)b": "invalid or unsupported Perl syntax: `(?<`",
    "(?>a)": "invalid or unsupported Perl syntax: `(?>`",
    "(?#a)": "invalid or unsupported Perl syntax: `(?#`",
    "a++": "invalid nested repetition operator: `+`",
    "a**": "invalid nested repetition operator: `*`",
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


def test_bad_range_is_refused() -> None:
    with pytest.raises(RegexError):
        compile_regex("[z-a]")


def test_patterns_are_compiled_once() -> None:
    assert compile_regex("a+b") is compile_regex("a+b")
    assert isinstance(compile_regex("a"), re.Pattern)
