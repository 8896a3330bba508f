"""Splits the text of an expression into tokens; knows literals, not grammar.

Unknown characters and broken strings are reported and skipped, so that one pass finds all of them.

Source: cel-spec, "Syntax".
"""

from __future__ import annotations

import re

from tiphys.apimachinery.cel.errors import Source
from tiphys.apimachinery.dataclass import dataclass

EOF = "<EOF>"
KEYWORDS = frozenset(("in", "true", "false", "null"))
RESERVED = frozenset(
    [
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
        "package", "namespace", "return", "var", "void", "while",
    ]
)  # fmt: skip

ESCAPED_RESERVED = {name: f"__{name}__" for name in RESERVED}
"""Fields named like reserved words may be spelled either way."""

_BLANK = re.compile(r"(?:[ \t\r\n\f]++|//[^\n]*+)++")
_NUMBER = re.compile(
    r"(?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<whole>0x[0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU]?)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPED_NAME = re.compile(r"`[A-Za-z0-9_./ -]*")
_STRING_START = re.compile(r"(?P<bytes>[bB]?)(?P<raw>[rR]?)(?P<quote>\"\"\"|'''|\"|')")
_OPERATOR = re.compile(r"==|!=|<=|>=|&&|\|\||[<>\[\]{}().,\-!?:+*/%]")
_HALVES = "=&|"
"""Characters that only stand in pairs; the wrong second one is part of what is not recognized."""

_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\'\"`?])|[xX](?P<hex>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2}))"
)

_BEGUN = re.compile(r"\\(?:[xX][0-9a-fA-F]{0,2}|u[0-9a-fA-F]{0,4}|U[0-9a-fA-F]{0,8}|[0-3][0-7]{0,2})?")


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is the operator or keyword itself, or NAME, INT, UINT, DOUBLE, STRING, BYTES, <EOF>.

    A name in backquotes is an ESCAPED NAME.
    """

    kind: str
    text: str
    offset: int
    value: object = None


def tokens(source: Source) -> list[Token]:
    """Return all tokens, the last of which is the end; faults are reported to the source."""
    text, at, found = source.text, 0, []
    while True:
        blank = _BLANK.match(text, at)
        if blank:
            at = blank.end()
        if at >= len(text):
            found.append(Token(EOF, EOF, len(text)))
            return found
        token, at = _token(source, at)
        if token is not None:
            found.append(token)


def blanks(text: str) -> list[str]:
    """Return the blanks and comments of a text between two tokens."""
    return _BLANK.findall(text)


def _token(source: Source, at: int) -> tuple[Token | None, int]:
    text = source.text
    start = _STRING_START.match(text, at)
    if start:
        return _string(source, at, start)
    number = _NUMBER.match(text, at)
    if number:
        return _number(source, at, number), number.end()
    name = _NAME.match(text, at)
    if name:
        word = name.group()
        return Token(word if word in KEYWORDS else "NAME", word, at), name.end()
    escaped = _ESCAPED_NAME.match(text, at)
    if escaped:
        end = escaped.end()
        if end == at + 1 or not text.startswith("`", end):
            return _unknown(source, at, end)
        return Token("ESCAPED NAME", text[at : end + 1], at), end + 1
    operator = _OPERATOR.match(text, at)
    if operator:
        return Token(operator.group(), operator.group(), at), operator.end()
    return _unknown(source, at, at + (1 if text[at] in _HALVES else 0))


def _unknown(source: Source, start: int, last: int) -> tuple[None, int]:
    source.report(start, f"Syntax error: token recognition error at: '{source.text[start : last + 1]}'")
    return None, last + 1


def _number(source: Source, at: int, match: re.Match[str]) -> Token:
    text = match.group()
    if match["float"] is not None:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            source.report(at, "invalid double literal")
        return Token("DOUBLE", text, at, value)
    whole = int(match["whole"], 16) if match["whole"].startswith("0x") else int(match["whole"][:4300])
    return Token("UINT" if match["unsigned"] else "INT", text, at, whole)


def _string(source: Source, at: int, start: re.Match[str]) -> tuple[Token | None, int]:
    text, quote, position = source.text, start["quote"], start.end()
    is_bytes, is_raw = bool(start["bytes"]), bool(start["raw"])
    parts: list[str | bytes] = []
    fault = ""
    while not text.startswith(quote, position):
        letter = text[position : position + 1]
        if not letter or (letter in "\r\n" and len(quote) == 1):
            return _unfinished(source, at, start, position)
        if letter == "\\" and not is_raw:
            escape = _ESCAPE.match(text, position)
            if escape is None:
                return _unfinished(source, at, start, _broken_at(text, position))
            part, fault = _unescape(escape, fault, is_bytes=is_bytes)
            parts.append(part)
            position = escape.end()
        else:
            if letter == "\r":
                position += text.startswith("\n", position + 1)
                letter = "\n"
            parts.append(letter)
            position += 1
    if fault:
        source.report(at, fault)
    end = position + len(quote)
    return _string_token(text[at:end], at, parts, is_bytes=is_bytes), end


def _unfinished(source: Source, at: int, start: re.Match[str], last: int) -> tuple[Token | None, int]:
    """A string that breaks off is the longest token it begins with: two quotes, or the letters before."""
    letters = start["bytes"] + start["raw"]
    end = at + len(letters)
    if len(start["quote"]) == 3:
        return _string_token(source.text[at : end + 2], at, [], is_bytes=bool(start["bytes"])), end + 2
    return (Token("NAME", letters, at), end) if letters else _unknown(source, at, last)


def _broken_at(text: str, position: int) -> int:
    """Return where an escape stops being one."""
    begun = _BEGUN.match(text, position)
    assert begun is not None
    return begun.end()


def _string_token(text: str, at: int, parts: list[str | bytes], *, is_bytes: bool) -> Token:
    if is_bytes:
        whole = b"".join(
            part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts
        )
        return Token("BYTES", text, at, whole)
    return Token("STRING", text, at, "".join(part for part in parts if isinstance(part, str)))


def _unescape(match: re.Match[str], fault: str, *, is_bytes: bool) -> tuple[str | bytes, str]:
    """Return what an escape stands for, and the first fault so far: no text has such a character."""
    if match["simple"]:
        return _SIMPLE[match["simple"]], fault
    digits = match["hex"] or match["short"] or match["long"]
    code = int(digits, 16) if digits else int(match["octal"], 8)
    if is_bytes:
        narrow = bool(match["hex"] or match["octal"])
        return (bytes((code,)), fault) if narrow else ("", fault or "unable to unescape string")
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return "", fault or "invalid unicode code point"
    return chr(code), fault
