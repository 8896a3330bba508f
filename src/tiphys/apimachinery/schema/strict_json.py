"""Reads request bodies: fast, and with duplicate fields found when somebody wants to know of them.

The value always comes from orjson: the last of duplicate keys wins, which is right where nothing is known of
a type (``doubled`` is for the others). Duplicates are looked for in a second pass, which is skipped when a
count of the colons shows that no key was lost.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Container, Iterator
from json import decoder as json_decoder
from json import scanner as json_scanner
from typing import Any, Final

import orjson

from tiphys.apimachinery.schema.json_fault import explain
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.numbers import NumberText
from tiphys.apimachinery.schema.walk import MAX_STRICT_FAULTS

_EXPLAINED_BYTES = 1 << 16
"""Faults of longer bodies are told in the parser's own words: walking them would take too long."""


_SURE_DIGITS: Final = 19
"""So long are whole numbers of 64 bits that are read as such."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class JsonError(ValueError):
    """The body is no JSON."""


class TooLarge(JsonError):
    """A number in the body is more than can be held."""


class Pairs(list[tuple[str, Any]]):
    """An object as it was sent: every key, in order."""


def loads(body: bytes | bytearray | memoryview) -> Any:
    """Parse.

    Raises:
        JsonError: the body is no JSON, or a number in it is ``TooLarge``.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        fault = explain(bytes(body)) if len(body) <= _EXPLAINED_BYTES else ""
        try:
            if not fault:  # bytes that are no characters Go takes
                return _sound(_read(bytes(body)))
        except TooLarge:
            raise
        except (ValueError, RecursionError):
            pass
        raise JsonError(fault or str(error)) from None


def exact(body: bytes) -> Any:
    """Return the value of a well-formed body with fractions as they were written, for texts of faults."""
    return _sound(_read(body, NumberText))


_SCANNER: Any = json_scanner
_DECODER: Any = json_decoder
"""With what is known of neither's types: the parser in Python, and how it reads a text."""


class StringText(str):
    """A text that knows how it was written, quotes and escapes and all."""

    text: str

    def __new__(cls, value: str, text: str) -> StringText:
        made = super().__new__(cls, value)
        made.text = text
        return made


def as_written(body: bytes) -> Any:
    """Return the same with texts that know which of their letters were escaped. Slow: nothing here is C."""
    decoder: Any = json.JSONDecoder(parse_constant=_no_number, parse_float=NumberText, parse_int=_whole_text)
    decoder.parse_string = _written_string
    decoder.scan_once = _SCANNER.py_make_scanner(decoder)  # the only one that asks for these
    return _sound(decoder.decode(body.decode(errors="surrogateescape")))


def _written_string(text: str, at: int, *strict: bool) -> tuple[str, int]:
    value, end = _DECODER.scanstring(text, at, *strict)
    return (StringText(value, text[at - 1 : end]) if "\\" in text[at:end] else value), end


def _whole_text(digits: str) -> float:
    """A whole number that is not written as itself is one that knows how it was: too long, or below zero."""
    return int(digits) if len(digits) <= _SURE_DIGITS and digits != "-0" else NumberText(digits)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise TooLarge(f"json: cannot unmarshal number {text} into Go value of type float64")
    return number


def _read(body: bytes, fraction: Callable[[str], float] = _finite, pairs: type[Pairs] | None = None) -> Any:
    """Parse at leisure. Every byte that is part of no character becomes one that says so, as in Go."""
    text = _SURROGATES.sub("\ufffd", body.decode(errors="surrogateescape"))

    def whole(digits: str) -> float:
        return int(digits) if len(digits) <= _SURE_DIGITS else fraction(digits)

    known = _whole_text if fraction is NumberText else whole
    return json.loads(
        text, parse_constant=_no_number, parse_float=fraction, parse_int=known, object_pairs_hook=pairs
    )


def _no_number(word: str) -> Any:
    raise JsonError(f"invalid character '{word[0]}' looking for beginning of value")


def _sound(value: Any) -> Any:
    """Return a value whose texts have no halves of characters."""
    if isinstance(value, StringText):
        return StringText(_SURROGATES.sub("\ufffd", value), value.text)
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, Pairs):
        return Pairs((_sound(key), _sound(inner)) for key, inner in value)
    if isinstance(value, dict):
        return {_sound(key): _sound(inner) for key, inner in value.items()}
    return [_sound(inner) for inner in value] if isinstance(value, list) else value


def loads_strict(body: bytes) -> tuple[Any, list[str]]:
    """Parse, and return the texts of duplicate fields beside the value (``duplicate field "spec.x"``).

    Raises:
        JsonError: the body is no JSON.
    """
    value = loads(body)
    if b"\\u003" not in body and _count_colons(value) == body.count(b":"):
        return value, []
    return value, _duplicates(body)


def _count_colons(value: Any) -> int:
    """Count the colons of the value as it would be sent: one a key, and those inside keys and texts.

    Each lost key is one less than in the body. Only an escaped colon (``\\u003a``) could deceive the count;
    such bodies take the slow pass, as do trees too deep to write.
    """
    try:
        return orjson.dumps(value).count(b":")
    except orjson.JSONEncodeError:
        return -1


def pairs_of(body: bytes) -> Any:
    """Return a well-formed body with all its keys: its objects are ``Pairs``."""
    return _sound(_read(body, pairs=Pairs))


def _duplicates(body: bytes) -> list[str]:
    return faults_of(body, None)


def faults_of(body: bytes, schema: Schema | None, unknown: Container[str] | None = None) -> list[str]:
    """Return the texts of duplicate and unknown fields as they follow each other in a JSON body.

    A decoder that goes by a schema looks at nothing in fields that it does not know, nor in those that read
    themselves (a schema of any type); without one it looks everywhere, and knows everything. ``unknown`` are
    the texts of unknown fields that count; without it all do.
    """
    seen: dict[str, None] = {}
    pending: list[tuple[Any, str, Schema | None]] = [(pairs_of(body), "", schema)]
    while pending and len(seen) < MAX_STRICT_FAULTS:
        value, path, node = pending.pop()
        if isinstance(value, str):
            seen[value] = None
        elif isinstance(value, Pairs):
            pending += reversed(list(_object_steps(value, path, node, unknown)))
        elif isinstance(value, list):
            items = node.items if node is not None else None
            if items is not None or node is None:
                steps = [
                    (item, f"{path}[{at}]", items) for at, item in enumerate(value) if type(item) in _NESTED
                ]
                pending += reversed(steps)
    return list(seen)


_NESTED = (Pairs, list)


def _object_steps(
    pairs: Pairs, path: str, node: Schema | None, unknown: Container[str] | None
) -> Iterator[tuple[Any, str, Schema | None]]:
    """Yield faults and what to look at next, in order."""
    keys: set[str] = set()
    before = f"{path}." if path else ""
    for key, value in pairs:
        child = None if node is None else node.child(key)
        where = f"{before}{key}"
        if node is not None and child is None:
            fault = f'unknown field "{where}"'
            if unknown is None or fault in unknown:
                yield fault, "", None
            continue
        if key in keys:
            yield f'duplicate field "{where}"', "", None
        keys.add(key)
        if type(value) in _NESTED and (child is None or child.any_value or not _reads_itself(child)):
            yield value, where, None if child is None or child.any_value else child


def _reads_itself(node: Schema) -> bool:
    return node.type is None or node.preserve_unknown
