"""The strings extension, version 2: what strings can do besides the standard.

Positions count characters; ASCII functions leave all other letters alone.

Source: cel-go's extension "Strings".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.library.formatting import check_format, format_text
from tiphys.apimachinery.cel.types import DYN, INT, STRING, list_of

_BLANKS = "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029)))
_BLANKS += "\u202f\u205f\u3000"
_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_QUOTED = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
    '"': '\\"',
}  # fmt: skip


def _in_range(index: int, least: int, most: int) -> None:
    if not least <= index <= most:
        raise EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    _in_range(index, 0, len(text))
    return text[index : index + 1]


def _not_negative(index: int) -> None:
    if index < 0:
        raise EvaluationError(f"index out of range: {index}")


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    _not_negative(start)
    return text.find(part, start)


def _last_index_of(text: str, part: str, end: int | None = None) -> int:
    if end is None:
        return text.rfind(part) if part else len(text)
    if not part:
        return end
    _not_negative(end)
    return -1 if end >= len(text) else text.rfind(part, 0, end + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count if count >= 0 else -1)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        _in_range(start, 0, len(text))
        return text[start:]
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    _in_range(start, 0, len(text))
    _in_range(end, 0, len(text))
    return text[start:end]


def _join(items: Any, separator: str = "") -> str:
    parts = list(items)
    if not all(isinstance(part, str) for part in parts):
        raise EvaluationError("no such overload: join")
    return separator.join(parts)


def _quote(text: str) -> str:
    return '"' + "".join(_QUOTED.get(letter, letter) for letter in text) + '"'


def _mapped(table: dict[int, int]) -> Callable[[str], str]:
    return lambda text: text.translate(table)


_STRINGS = list_of(STRING)
LIBRARY = Library(
    "cel.lib.ext.strings",
    (
        member("string_char_at_int", "charAt", (STRING, INT), STRING, _char_at),
        member("string_index_of_string", "indexOf", (STRING, STRING), INT, _index_of, price=prices.WALKED),
        member(
            "string_index_of_string_int",
            "indexOf",
            (STRING, STRING, INT),
            INT,
            _index_of,
            price=prices.WALKED,
        ),
        member(
            "string_last_index_of_string",
            "lastIndexOf",
            (STRING, STRING),
            INT,
            _last_index_of,
            price=prices.WALKED,
        ),
        member(
            "string_last_index_of_string_int",
            "lastIndexOf",
            (STRING, STRING, INT),
            INT,
            _last_index_of,
            price=prices.WALKED,
        ),
        member("string_lower_ascii", "lowerAscii", (STRING,), STRING, _mapped(_LOWER), price=prices.MAPPED),
        member("string_upper_ascii", "upperAscii", (STRING,), STRING, _mapped(_UPPER), price=prices.MAPPED),
        member(
            "string_replace_string_string",
            "replace",
            (STRING, STRING, STRING),
            STRING,
            _replace,
            price=prices.REPLACED,
        ),
        member(
            "string_replace_string_string_int",
            "replace",
            (STRING, STRING, STRING, INT),
            STRING,
            _replace,
            price=prices.REPLACED,
        ),
        member("string_split_string", "split", (STRING, STRING), _STRINGS, _split, price=prices.SPLIT),
        member(
            "string_split_string_int", "split", (STRING, STRING, INT), _STRINGS, _split, price=prices.SPLIT
        ),
        member("string_substring_int", "substring", (STRING, INT), STRING, _substring, price=prices.MAPPED),
        member(
            "string_substring_int_int",
            "substring",
            (STRING, INT, INT),
            STRING,
            _substring,
            price=prices.MAPPED,
        ),
        member(
            "string_trim", "trim", (STRING,), STRING, lambda text: text.strip(_BLANKS), price=prices.MAPPED
        ),
        member("list_join", "join", (_STRINGS,), STRING, _join, price=prices.STRUNG),
        member("list_join_string", "join", (_STRINGS, STRING), STRING, _join, price=prices.STRUNG),
        member(
            "string_format",
            "format",
            (STRING, list_of(DYN)),
            STRING,
            format_text,
            price=prices.FORMATTED,
            check=check_format,
        ),
        function("strings_quote", "strings.quote", (STRING,), STRING, _quote, price=prices.QUOTED),
    ),
)
