"""What is wrong with bytes that are no JSON, in the words that Kubernetes' own parser has for it.

Pure. Called only once parsing has failed, so it is written to be short, not fast. Source: RFC 8259 for the
grammar; the texts are part of the API's answers.
"""

from __future__ import annotations

import re

_SPACE = b" \t\r\n"
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = (b"true", b"false", b"null")
_ENDS = "unexpected end of JSON input"


class _Fault(Exception):
    """Ends the walk; bears the text."""


def explain(body: bytes) -> str:
    """Return the fault of a body, empty when its grammar is right."""
    try:
        at = _value(body, _skip(body, 0), "looking for beginning of value")
        at = _skip(body, at)
        if at < len(body):
            _refuse(body, at, "after top-level value")
    except _Fault as fault:
        return str(fault)
    except RecursionError:
        return "exceeded max depth"
    return ""


def _refuse(body: bytes, at: int, where: str) -> None:
    if at >= len(body):
        raise _Fault(_ENDS)
    char = chr(body[at])
    quoted = {"'": "'\\''", '"': "'\"'"}.get(char) or f"'{_escaped(char)}'"
    raise _Fault(f"invalid character {quoted} {where}")


def _escaped(char: str) -> str:
    """Show one byte as Go quotes it: what cannot be printed by its number, short for ASCII."""
    if char >= "\x7f" and not char.isprintable():
        return "\\x7f" if char == "\x7f" else f"\\u{ord(char):04x}"
    return char if char > "\x7f" else char.encode("unicode_escape").decode()


def _skip(body: bytes, at: int) -> int:
    while at < len(body) and body[at] in _SPACE:
        at += 1
    return at


def _value(body: bytes, at: int, where: str) -> int:
    start = body[at : at + 1]
    if start == b"{":
        return _object(body, _skip(body, at + 1))
    if start == b"[":
        return _array(body, _skip(body, at + 1))
    if start == b'"':
        return _string(body, at)
    if start == b"-" or start.isdigit():
        return _number(body, at)
    word = next((one for one in _WORDS if start and one.startswith(start)), None)
    if word is None:
        _refuse(body, at, where)
        return at
    for offset, expected in enumerate(word):
        if body[at + offset : at + offset + 1] != bytes((expected,)):
            _refuse(body, at + offset, f"in literal {word.decode()} (expecting '{chr(expected)}')")
    return at + len(word)


def _object(body: bytes, at: int) -> int:
    if body[at : at + 1] == b"}":
        return at + 1
    while True:
        if body[at : at + 1] != b'"':
            _refuse(body, at, "looking for beginning of object key string")
        at = _skip(body, _string(body, at))
        if body[at : at + 1] != b":":
            _refuse(body, at, "after object key")
        at = _skip(body, _value(body, _skip(body, at + 1), "looking for beginning of value"))
        if body[at : at + 1] == b"}":
            return at + 1
        if body[at : at + 1] != b",":
            _refuse(body, at, "after object key:value pair")
        at = _skip(body, at + 1)


def _array(body: bytes, at: int) -> int:
    if body[at : at + 1] == b"]":
        return at + 1
    while True:
        at = _skip(body, _value(body, at, "looking for beginning of value"))
        if body[at : at + 1] == b"]":
            return at + 1
        if body[at : at + 1] != b",":
            _refuse(body, at, "after array element")
        at = _skip(body, at + 1)


def _string(body: bytes, at: int) -> int:
    found = _STRING.match(body, at)
    end = found.end() if found else at
    if body[end : end + 1] == b'"':
        return end + 1
    if body[end : end + 1] != b"\\":
        _refuse(body, end, "in string literal")
    if body[end + 1 : end + 2] != b"u":
        _refuse(body, end + 1, "in string escape code")
    digits = re.compile(rb"[0-9a-fA-F]*").match(body, end + 2)
    _refuse(body, digits.end() if digits else end + 2, "in \\u hexadecimal character escape")
    return end


def _number(body: bytes, at: int) -> int:
    found = _NUMBER.match(body, at)
    if found is None:
        _refuse(body, at + 1, "in numeric literal")
        return at
    end = found.end()
    after = body[end : end + 1]
    if after == b"." and b"." not in found.group() and b"e" not in found.group().lower():
        _refuse(body, end + 1, "after decimal point in numeric literal")
    if after in (b"e", b"E") and b"e" not in found.group().lower():
        sign = body[end + 1 : end + 2] in (b"+", b"-")
        _refuse(body, end + 1 + sign, "in exponent of numeric literal")
    return end
