"""Values that Go keeps as the very bytes they came in (``RawExtension``): what they are, and their text.

Such a value is a map or a list as any other, and whoever encodes it for other eyes asks for its text: spaces,
keys that come twice, numbers and letters as they were written. A copy of it knows nothing, and one that was
changed is not believed. Where there may be such values a schema says. Pure.

Source: k8s.io/apimachinery ``pkg/runtime``, RawExtension.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from json import JSONDecoder
from typing import Any, Final

import orjson

from tiphys.apimachinery.schema import strict_json
from tiphys.apimachinery.schema.node import Schema

_RAW: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"
_SPACES: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[ \t\r\n]+')
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Any = JSONDecoder()
_scan = _DECODER.scan_once


class RawMap(dict[str, Any]):
    """A map that knows how it was written."""

    __slots__ = ("text",)
    text: bytes


class RawList(list[Any]):
    """A list that knows how it was written."""

    __slots__ = ("text",)
    text: bytes


def kept(text: bytes) -> Any:
    """Return the value of a text, which maps and lists keep where it is not what is written of them anyway.

    Raises:
        ValueError: it is no JSON.
    """
    value = strict_json.loads(text)
    made: RawMap | RawList
    if type(value) is dict:
        made = RawMap(value)
    elif type(value) is list:
        made = RawList(value)
    else:
        return value
    if orjson.dumps(value) == text:
        return value
    made.text = text
    return made


def text_of(value: Any) -> bytes | None:
    """Return how a value was written, None where that is not known or not true any more."""
    if isinstance(value, RawMap | RawList) and says(value.text, value):
        return value.text
    return None


def dumps(value: Any) -> bytes:
    """Encode a value that may have such values in it: as they were written."""
    return orjson.dumps(value, default=_written, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def _written(value: Any) -> Any:
    text = text_of(value)
    if text is not None:
        return orjson.Fragment(text)
    return dict(value) if isinstance(value, dict) else list(value)


def says(text: bytes, value: Any) -> bool:
    """Tell whether a text is one of this very value."""
    try:
        return orjson.dumps(strict_json.loads(text)) == orjson.dumps(value)
    except (ValueError, RecursionError, orjson.JSONEncodeError):
        return False


def is_raw(schema: Schema) -> bool:
    """Tell whether values of a schema are kept as they came."""
    return schema.name == _RAW


@cache
def fields(schema: Schema) -> dict[str, Schema]:
    """Return the fields at or below which there are raw values."""
    return {key: child for key, child in schema.properties.items() if _reaches(child, set())}


def _reaches(schema: Schema, seen: set[int]) -> bool:
    if is_raw(schema):
        return True
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    below = (*schema.properties.values(), schema.items)
    return any(_reaches(child, seen) for child in below if child is not None)


def with_texts(value: Any, schema: Schema, body: bytes) -> Any:
    """Return what a body says, its raw values with their texts; the very same where there are none.

    Raises:
        ValueError: the body is no JSON. RecursionError: it nests too deep.
    """
    with suppress(UnicodeDecodeError):
        text = body.decode()
        return _grafted(value, schema, text, _past(text, 0))
    return value


def _grafted(value: Any, schema: Schema, text: str, at: int) -> Any:
    if is_raw(schema):
        _, end = _scan(text, at)
        found = kept(text[at:end].encode())
        return found if type(found) in (RawMap, RawList) and found == value else value
    result = value
    if isinstance(value, dict) and text[at] == "{":
        below = fields(schema)
        places = {key: place for key, place in _members(text, at) if key in below} if below else {}
        steps: list[tuple[Any, Schema, int]] = [
            (key, below[key], place) for key, place in places.items() if key in value
        ]
    elif isinstance(value, list) and text[at] == "[" and schema.items is not None:
        steps = [(index, schema.items, place) for index, place in enumerate(_items(text, at))]
    else:
        steps = []
    for key, child, place in steps:
        made = _grafted(value[key], child, text, place)
        if made is not value[key]:
            result = type(value)(value) if result is value else result
            result[key] = made
    return result


def _past(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _members(text: str, at: int) -> Iterator[tuple[str, int]]:
    """Yield the keys of an object of well-formed JSON, each with where its value begins."""
    at = _past(text, at + 1)
    while text[at] != "}":
        key, at = _scan(text, at)
        at = _past(text, _past(text, at) + 1)
        yield key, at
        _, at = _scan(text, at)
        at = _past(text, at)
        if text[at] == ",":
            at = _past(text, at + 1)


def _items(text: str, at: int) -> Iterator[int]:
    """Yield where the items of a list of well-formed JSON begin."""
    at = _past(text, at + 1)
    while text[at] != "]":
        yield at
        _, at = _scan(text, at)
        at = _past(text, at)
        if text[at] == ",":
            at = _past(text, at + 1)


def compact(text: bytes) -> bytes:
    """Return well-formed JSON without spaces: the very same where there are none."""
    lines = b"\n" in text or b"\t" in text or b"\r" in text  # no string has them
    if not lines and (b" " not in text or b" " not in _STRINGS.sub(b"", text)):
        return text
    return _SPACES.sub(_without, text)


def _without(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b""
