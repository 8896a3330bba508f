"""RE2's patterns on Python's ``re``: the same texts match, and what RE2 refuses is refused.

Refused: back references, look-around, possessive and nested repetition, counts over 1000. Classes such as
``\\d`` are ASCII, ``$`` is the end of the text. Python's matcher backtracks, RE2's does not.

Source: the RE2 syntax page.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from itertools import groupby

_DIGIT, _WORD, _BLANK = "0-9", "0-9A-Za-z_", r"\t\n\f\r "
_PERL = {"d": _DIGIT, "w": _WORD, "s": _BLANK}
_NOT_PERL = {
    "D": r"\x00-/:-\U0010ffff",
    "W": r"\x00-/:-@\[-^`\{-\U0010ffff",
    "S": r"\x00-\x08\x0b\x0e-\x1f!-\U0010ffff",
}
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9", "graph": r"!-\x7e", "lower": "a-z", "print": r" -\x7e", "punct": r"!-/:-@\[-`\{-\x7e",
    "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": _WORD, "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_NOT_POSIX = {
    "alnum": r"\x00-/:-@\[-`\{-\U0010ffff", "digit": r"\x00-/:-\U0010ffff",
    "space": r"\x00-\x08\x0e-\x1f!-\U0010ffff",
}  # fmt: skip
_LETTERS = {"a": "\\x07", "f": "\\f", "t": "\\t", "n": "\\n", "r": "\\r", "v": "\\v"}
_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]*))?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>")
_HEX = re.compile(r"\\x(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2}))")
_CATEGORY = re.compile(r"\\([pP])(?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))")
_MAX_REPEAT = 1000
_IN_CLASS = frozenset("[]\\-&|~^")


class RegexError(ValueError):
    """A pattern that RE2 would not take."""


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> re.Pattern[str]:
    """Return a pattern of ``re`` that does what RE2 does.

    Raises:
        RegexError: RE2 has no such syntax.
    """
    translated = _Translator(pattern).run()
    try:
        return re.compile(translated)
    except (re.error, OverflowError, RecursionError) as error:
        raise RegexError(f"error parsing regexp: {error}") from error


class _Translator:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._multiline = [False]
        self._closers: list[str] = []
        self._repeatable = False
        self._repeated = False

    def run(self) -> str:
        while self._at < len(self._text):
            self._step()
        if self._closers:
            raise self._fault("missing closing ): `" + self._text + "`")
        return "".join(self._out)

    def _fault(self, why: str) -> RegexError:
        return RegexError(f"error parsing regexp: {why}")

    def _emit(self, text: str, *, repeatable: bool = True, repeated: bool = False) -> None:
        self._out.append(text)
        self._repeatable, self._repeated = repeatable, repeated

    def _step(self) -> None:
        letter = self._text[self._at]
        match letter:
            case "\\":
                self._escape()
            case "[":
                self._class()
            case "(":
                self._open()
            case ")":
                self._close()
            case "*" | "+" | "?" | "{":
                self._repeat(letter)
            case "$":
                self._at += 1
                self._emit("$" if self._multiline[-1] else r"\Z")
            case "|":
                self._at += 1
                self._emit("|", repeatable=False)
            case _:
                self._at += 1
                self._emit(letter)

    def _repeat(self, letter: str) -> None:
        if letter == "{":
            match = _REPEAT.match(self._text, self._at)
            if match is None:
                self._at += 1
                self._emit(r"\{")
                return
            shown = match.group()
            low, high = int(match[1][:9]), int((match[2] or "0")[:9])
            if low > _MAX_REPEAT or high > _MAX_REPEAT or (match[2] and high < low):
                raise self._fault(f"invalid repeat count: `{shown}`")
        else:
            shown = letter
        if not self._repeatable:
            raise self._fault(f"missing argument to repetition operator: `{shown}`")
        if self._repeated:
            raise self._fault(f"invalid nested repetition operator: `{shown}`")
        self._at += len(shown)
        lazy = self._text.startswith("?", self._at)
        self._at += lazy
        self._emit(shown + ("?" if lazy else ""), repeated=True)

    def _open(self) -> None:
        named = _NAMED.match(self._text, self._at)
        flags = _FLAGS.match(self._text, self._at)
        if named:
            self._at = named.end()
            self._push(f"(?P<{named[1]}>", ")", self._multiline[-1])
        elif flags:
            self._at = flags.end()
            self._set_flags(flags)
        elif self._text.startswith("(?", self._at):
            raise self._fault(f"invalid or unsupported Perl syntax: `{self._text[self._at : self._at + 3]}`")
        else:
            self._at += 1
            self._push("(", ")", self._multiline[-1])

    def _push(self, opening: str, closing: str, multiline: bool) -> None:
        self._emit(opening, repeatable=False)
        self._closers.append(closing)
        self._multiline.append(multiline)

    def _set_flags(self, flags: re.Match[str]) -> None:
        on, off = flags[1], flags[2] or ""
        if set(on + off) - set("imsU") or "U" in on or not (on or off or flags[3] == ":"):
            raise self._fault(f"invalid or unsupported Perl syntax: `{flags.group()}`")
        multiline = ("m" in on or self._multiline[-1]) and "m" not in off
        minus = f"-{off}" if off else ""
        opening = f"(?{on}{minus}:"
        if flags[3] == ":":
            self._push(opening, ")", multiline)
        elif self._closers:
            # Flags without a group hold to the end of the group that they stand in.
            self._emit(opening, repeatable=False)
            self._closers[-1] += ")"
            self._multiline[-1] = multiline
        else:
            self._multiline[-1] = multiline
            rest = _Translator(self._text[self._at :])
            rest._multiline = [multiline]
            self._at = len(self._text)
            self._emit(f"{opening}{rest.run()})")

    def _close(self) -> None:
        if not self._closers:
            raise self._fault(f"unexpected ): `{self._text}`")
        self._at += 1
        self._multiline.pop()
        self._emit(self._closers.pop())

    def _escape(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "Q":
            end = self._text.find(r"\E", self._at)
            literal = self._text[self._at + 2 : end if end >= 0 else len(self._text)]
            self._at = end + 2 if end >= 0 else len(self._text)
            for letter in literal:
                self._emit(re.escape(letter))
        elif following in _PERL or following in _NOT_PERL:
            self._at += 2
            self._emit(f"[{_PERL.get(following) or _NOT_PERL[following]}]")
        elif following in ("b", "B"):
            self._at += 2
            self._emit(f"(?a:\\{following})")
        elif following in ("A", "z"):
            self._at += 2
            self._emit(r"\A" if following == "A" else r"\Z")
        elif following in ("p", "P"):
            self._emit(f"[{self._category()}]")
        else:
            self._emit(self._single())

    def _category(self) -> str:
        match = _CATEGORY.match(self._text, self._at)
        if match is None:
            raise self._fault(f"invalid character class range: `{self._text[self._at : self._at + 3]}`")
        ranges = _category_ranges(match[3] or match[4], (match[1] == "P") != (match[2] == "^"))
        if ranges is None:
            raise self._fault(f"invalid character class range: `{match.group()}`")
        self._at = match.end()
        return ranges

    def _single(self) -> str:
        """Read an escape that stands for one character, as it is written inside and outside of classes."""
        text, at = self._text, self._at
        following = text[at + 1 : at + 2]
        if not following:
            raise self._fault("trailing backslash at end of expression: ``")
        code = _HEX.match(text, at)
        if code:
            value = int(code[1] or code[2], 16)
            if value > sys.maxunicode:
                raise self._fault(f"invalid escape sequence: `{code.group()}`")
            self._at = code.end()
            return f"\\U{value:08x}"
        octal = re.compile(r"\\(0[0-7]{0,2}|[1-7][0-7]{1,2})").match(text, at)
        if octal:
            self._at = octal.end()
            return f"\\U{int(octal[1], 8):08x}"
        if following in _LETTERS:
            self._at += 2
            return _LETTERS[following]
        if following.isalnum() or ord(following) > 127:
            raise self._fault(f"invalid escape sequence: `\\{following}`")
        self._at += 2
        return f"\\U{ord(following):08x}"

    def _class(self) -> None:
        start = self._at
        self._at += 1
        parts = ["["]
        if self._text.startswith("^", self._at):
            parts.append("^")
            self._at += 1
        first = True
        while first or not self._text.startswith("]", self._at):
            if self._at >= len(self._text):
                raise self._fault(f"missing closing ]: `{self._text[start:]}`")
            parts.append(self._class_part())
            first = False
        self._at += 1
        self._emit("".join(parts) + "]")

    def _class_part(self) -> str:
        text, at = self._text, self._at
        posix = re.compile(r"\[:(\^?)([a-z]+):\]").match(text, at)
        if posix:
            table = _NOT_POSIX if posix[1] else _POSIX
            if posix[2] not in table:
                raise self._fault(f"invalid character class range: `{posix.group()}`")
            self._at = posix.end()
            return table[posix[2]]
        following = text[at + 1 : at + 2]
        if text[at] == "\\" and following in _PERL:
            self._at += 2
            return _PERL[following]
        if text[at] == "\\" and following in _NOT_PERL:
            self._at += 2
            return _NOT_PERL[following]
        if text[at] == "\\" and following in ("p", "P") and following:
            return self._category()
        low = self._class_letter()
        if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
            self._at += 1
            if self._at >= len(self._text):
                raise self._fault(f"missing closing ]: `{text}`")
            return f"{low}-{self._class_letter()}"
        return low

    def _class_letter(self) -> str:
        letter = self._text[self._at]
        if letter == "\\":
            return self._single()
        self._at += 1
        return f"\\{letter}" if letter in _IN_CLASS else letter


@lru_cache(maxsize=64)
def _category_ranges(name: str, negated: bool) -> str | None:
    """Return the characters of a general category (``L``, ``Lu``) as the inside of a class."""
    if not any(known.startswith(name) for known in _CATEGORIES):
        return None
    return "".join(
        f"\\U{start:08x}-\\U{end:08x}"
        for start, end, category in _runs()
        if category.startswith(name) != negated
    )


@lru_cache(maxsize=1)
def _runs() -> tuple[tuple[int, int, str], ...]:
    """Return all runs of characters of one category."""
    runs: list[tuple[int, int, str]] = []
    for block in _ASSIGNED:
        for category, codes in groupby(block, lambda code: unicodedata.category(chr(code))):
            run = list(codes)
            runs.append((run[0], run[-1], category))
    return (*runs, *_UNIFORM)


_ASSIGNED = (range(0x32400), range(0xE0000, 0xE0200))
_UNIFORM = ((0x32400, 0xDFFFF, "Cn"), (0xE0200, 0xEFFFF, "Cn"), (0xF0000, sys.maxunicode, "Co"))
"""The planes beyond have nothing in them, or private use only."""
_CATEGORIES = frozenset(
    [
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf",
        "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co",
    ]
)  # fmt: skip
