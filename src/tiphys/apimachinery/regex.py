"""Patterns as the API means them: Go's ``regexp`` in syntax, meaning and words, run by RE2 in linear time.

Owns: what is a pattern at all (``_Syntax`` reads it as Go does and says what is wrong in Go's words), and
searching. No text and no pattern makes a search backtrack. Source: the RE2 syntax page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import re2
from re2 import _re2  # pyright: ignore[reportAttributeAccessIssue]  (an extension without stubs)

from tiphys.apimachinery.short_memory import LONGEST

_MAX_REPEAT: Final = 1000
_MAX_DEPTH: Final = 1000
_REPEAT = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}")
_HEX = re.compile(r"x(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2}))")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_NAMED_CLASS = re.compile(r"\[:(.*?):\]", re.DOTALL)
_LETTERS: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_PERL: Final = frozenset("dDsSwW")
_POSIX: Final = frozenset(
    (
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
        "upper", "word", "xdigit",
    )
)  # fmt: skip


class RegexError(ValueError):
    """A pattern that Go would not take; the text is Go's."""

    def __init__(self, why: str, shown: str) -> None:
        super().__init__(f"error parsing regexp: {why}: `{shown}`")


def _options() -> re2.Options:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return options


class Regex:
    """A compiled pattern."""

    __slots__ = ("_matcher", "pattern")

    def __init__(self, pattern: str) -> None:
        _Syntax(pattern).check()
        self.pattern = pattern
        self._matcher = _re2.RE2(_bytes(pattern), _options())
        if not self._matcher.ok():  # RE2 gives patterns less room than Go does
            raise RegexError("expression too large", pattern)

    def matches(self, text: str) -> bool:
        """Tell whether it matches anywhere in a text."""
        raw = _bytes(text)
        return bool(self._matcher.Match(_re2.RE2.Anchor.UNANCHORED, raw, 0, len(raw))[0][0] >= 0)

    def find_all(self, text: str, most: int = -1) -> list[str]:
        """Return what it matches, from left to right, at most so many times unless ``most`` is negative."""
        raw = _bytes(text)
        found: list[str] = []
        for start, end in self._spans(raw):
            if 0 <= most <= len(found):
                break
            found.append(raw[start:end].decode("utf-8", "surrogatepass"))
        return found

    def _spans(self, raw: bytes) -> Iterator[tuple[int, int]]:
        """Yield the matches in bytes. An empty one right behind another is none."""
        at, before = 0, -1
        while at <= len(raw):
            start, end = self._matcher.Match(_re2.RE2.Anchor.UNANCHORED, raw, at, len(raw))[0]
            if start < 0:
                return
            if end > start or start != before:
                yield start, end
            before = end
            at = end if end > at else _next(raw, at)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _next(raw: bytes, at: int) -> int:
    """Return where the character after the one at ``at`` begins."""
    at += 1
    while at < len(raw) and raw[at] & 0xC0 == 0x80:
        at += 1
    return at


def compile_regex(pattern: str) -> Regex:
    """Return a compiled pattern. Many short ones are remembered and a few long ones: clients may send any.

    Raises:
        RegexError: it is none.
    """
    return (_compile_short if len(pattern) <= LONGEST else _compile_long)(pattern)


_compile_short = lru_cache(maxsize=1024)(Regex)
_compile_long = lru_cache(maxsize=16)(Regex)


class _Syntax:
    """Reads a pattern as Go does, to refuse what Go refuses."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._operand = False
        """Whether there is something that a repetition can repeat."""
        self._repeat = -1
        """Where the repetition right before begins, if there is one."""
        self._groups: list[int] = []
        """For each open group, how often what is in it is repeated at most."""
        self._counts = 1
        self._inner = 1
        """How often the operand repeats its innermost part."""

    def check(self) -> None:
        """Raises RegexError."""
        steps = {"\\": self._escape, "[": self._class, "(": self._open, ")": self._close, "|": self._bar}
        while self._at < len(self._text):
            letter = self._text[self._at]
            before = self._repeat
            self._repeat = -1
            if letter in "*+?{":
                self._repetition(letter, before)
            elif letter in steps:
                steps[letter]()
            else:
                self._at += 1
                self._pushed()
        if self._groups:
            raise RegexError("missing closing )", self._text)

    def _pushed(self, inner: int = 1) -> None:
        self._counts = max(self._counts, inner)
        self._operand, self._inner = True, inner

    def _repetition(self, letter: str, before: int) -> None:
        start, count = self._at, 0
        match = _REPEAT.match(self._text, start) if letter == "{" else None
        if letter == "{" and match is None:
            self._at += 1
            self._pushed()
            return
        end = start + 1 if match is None else match.end()
        if match is not None:
            count = self._count(match)
        end += self._text.startswith("?", end)
        if before >= 0:
            raise RegexError("invalid nested repetition operator", self._text[before:end])
        shown = self._text[start:end]
        if not self._operand:
            raise RegexError("missing argument to repetition operator", shown)
        inner = self._inner * max(count, 1)
        if count > 1 and inner > _MAX_REPEAT:
            raise RegexError("invalid repeat count", shown)
        self._at, self._repeat = end, start
        self._pushed(inner)

    def _count(self, match: re.Match[str]) -> int:
        """Return how many copies a repetition makes."""
        least = int(match[1][:9])
        most = int(match[3][:9]) if match[3] else (least if match[2] is None else -1)
        if least > _MAX_REPEAT or most > _MAX_REPEAT or 0 <= most < least:
            raise RegexError("invalid repeat count", match.group())
        return least if most < 0 else most

    def _bar(self) -> None:
        self._at += 1
        self._operand = False

    def _open(self) -> None:
        if self._text.startswith("(?", self._at):
            self._flags()
            return
        self._at += 1
        self._group()

    def _group(self) -> None:
        if len(self._groups) >= _MAX_DEPTH:
            raise RegexError("expression nests too deeply", self._text)
        self._groups.append(self._counts)
        self._counts, self._operand = 1, False

    def _close(self) -> None:
        if not self._groups:
            raise RegexError("unexpected )", self._text)
        self._at += 1
        inner, self._counts = self._counts, self._groups.pop()
        self._pushed(inner)

    def _flags(self) -> None:
        text, start = self._text, self._at
        named = 4 if text.startswith("(?P<", start) else 3 if text.startswith("(?<", start) else 0
        if named and len(text) - start > named:
            end = text.find(">", start)
            if end < 0:
                raise RegexError("invalid named capture", text[start:])
            if not _NAME.fullmatch(text, start + named, end):
                raise RegexError("invalid named capture", text[start : end + 1])
            self._at = end + 1
            self._group()
            return
        at, minus, seen = start + 2, False, False
        while at < len(text):
            letter = text[at]
            at += 1
            if letter in "imsU":
                seen = True
            elif letter == "-" and not minus:
                minus, seen = True, False
            elif letter in ":)" and (seen or not minus):
                self._at = at
                if letter == ":":
                    self._group()
                return
            else:
                break
        raise RegexError("invalid or unsupported Perl syntax", text[start:at])

    def _escape(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "Q":
            end = self._text.find(r"\E", self._at + 2)
            quoted = self._text[self._at + 2 : end if end >= 0 else len(self._text)]
            self._at = end + 2 if end >= 0 else len(self._text)
            if quoted:
                self._pushed()
            return
        if following in ("p", "P"):
            self._category()
        elif following and (following in _PERL or following in "AbBz"):
            self._at += 2
        else:
            self._single()
        self._pushed()

    def _category(self) -> None:
        text, start = self._text, self._at
        end = start + 3
        if text.startswith("{", start + 2):
            end = text.find("}", start) + 1
            if not end:
                raise RegexError("invalid character class range", text[start:])
        shown = text[start:end]
        if len(shown) < 3 or not _knows(shown):
            raise RegexError("invalid character class range", shown)
        self._at = end

    def _single(self) -> int:
        """Read an escape that stands for one character; return its code."""
        text, start = self._text, self._at
        self._at += 1
        if self._at >= len(text):
            raise RegexError("trailing backslash at end of expression", "")
        letter = text[self._at]
        found = _HEX.match(text, self._at)
        octal = _OCTAL.match(text, self._at)
        code = -1
        if found is not None:
            code = int(found[1] or found[2], 16)
            self._at = found.end()
        elif octal is not None:
            code = int(octal.group(), 8)
            self._at = octal.end()
        else:
            self._at += 1
            if letter in _LETTERS:
                code = _LETTERS[letter]
            elif letter.isascii() and not letter.isalnum():
                code = ord(letter)
            elif letter == "x":
                self._at = self._bad_hex(start)
        if not 0 <= code <= sys.maxunicode:
            raise RegexError("invalid escape sequence", text[start : self._at])
        return code

    def _bad_hex(self, start: int) -> int:
        """Return where a broken hexadecimal escape is given up."""
        text, at = self._text, start + 2
        if not text.startswith("{", at):
            return min(at + 2, len(text))
        at += 1
        while at < len(text) and text[at] in "0123456789abcdefABCDEF":
            at += 1
        return min(at + 1, len(text))

    def _class(self) -> None:
        text, start = self._text, self._at
        self._at += 1
        if text.startswith("^", self._at):
            self._at += 1
        first = True
        while first or not text.startswith("]", self._at):
            first = False
            self._member(start)
        self._at += 1
        self._pushed()

    def _member(self, start: int) -> None:
        text, at = self._text, self._at
        named = _NAMED_CLASS.match(text, at)
        following = text[at + 1 : at + 2]
        if named is not None:
            if named[1].removeprefix("^") not in _POSIX:
                raise RegexError("invalid character class range", named.group())
            self._at = named.end()
        elif text.startswith((r"\p", r"\P"), at):
            self._category()
        elif text.startswith("\\", at) and following and following in _PERL:
            self._at += 2
        else:
            low = self._letter(start)
            if text.startswith("-", self._at) and text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                if self._letter(start) < low:
                    raise RegexError("invalid character class range", text[at : self._at])

    def _letter(self, start: int) -> int:
        if self._at >= len(self._text):
            raise RegexError("missing closing ]", self._text[start:])
        letter = self._text[self._at]
        if letter == "\\":
            return self._single()
        self._at += 1
        return ord(letter)


@lru_cache(maxsize=256)
def _knows(category: str) -> bool:
    """Ask RE2 whether there is such a class of characters (``\\p{Greek}``)."""
    return bool(_re2.RE2(_bytes(category), _options()).ok())
