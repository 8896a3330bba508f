"""Values that Go keeps as the very text they came in (``RawExtension``): what they are stored as.

An object here holds numbers, and they know no more than how much they are: ``1e3`` is ``1000.0``, ``-0`` is
0, and beyond 64 bits digits are lost; nor do its texts know which letters were escaped. So that is put back
where an object is encoded for the store: from the body of the request, and from what was stored before where
the request left it; without one as Go writes the number. Spaces and keys that come twice are not kept. Called
by what writes. Refuses all other values.

Source: k8s.io/apimachinery ``pkg/runtime``; patches that go by way of Go's maps know numbers alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

import orjson

from tiphys.apimachinery import go_text
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.patch import json_patch
from tiphys.apimachinery.schema import strict_json
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.numbers import NumberText
from tiphys.apimachinery.schema.strict_json import StringText
from tiphys.apiserver.cache.form import dump, ordered
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.objects import Cached

_RAW: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"
_BODIES: Final = ("application/json", "application/merge-patch+json")
"""What has its values where the object has them, and keeps their texts."""
_OPERATIONS: Final = "application/json-patch+json"
_BELOW_ZERO: Final = re.compile(rb"[:,\[]\s*-0\s*[,\]}]")
_NUMBERS_ALONE: Final = ("application/strategic-merge-patch+json", "application/apply-patch+yaml")


def stored(call: Call, obj: Object, before: Cached | None = None) -> tuple[Object, bytes | None]:
    """Return what to hand to the store: the object, and its bytes where they are not what its numbers say.

    ``before`` is what it was until now.
    """
    if call.resource.definition is not None:
        return obj, None
    schema = machinery.schema_for(call.resource.storage)
    if not _fields(schema) or not (_is_odd(call, before) or _written(schema, obj, ()) is not obj):
        return obj, None
    made = ordered(obj)
    written = _written(schema, made, _texts(call, before))
    return (obj, None) if written is made else (made, dump(written))


def _is_odd(call: Call, before: Cached | None) -> bool:
    """Tell whether there may be something that our own encoder writes otherwise, fractions apart."""
    return _has_odd(call.request.body) or (before is not None and _has_odd(before.raw))


def _has_odd(body: bytes) -> bool:
    escaped = rb"\u" in body or rb"\/" in body
    return escaped or (b"-0" in body and _BELOW_ZERO.search(body) is not None)


def _texts(call: Call, before: Cached | None) -> list[Any]:
    """Return the values that know how numbers were written, the latest first."""
    request = call.request
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower() or _BODIES[0]
    if request.method == "PATCH" and media_type in _NUMBERS_ALONE:
        return []
    found = []
    with suppress(RecursionError, StatusError):  # of so deep a body, only the numbers are known
        if request.method != "DELETE" and request.body and media_type in (*_BODIES, _OPERATIONS):
            found.append(_read(request.body))
        if before is not None:
            found.append(_read(before.raw))
            if request.method == "PATCH" and media_type == _OPERATIONS:
                found[0] = json_patch.apply(found[1], found[0])
    return found


def _read(body: bytes) -> Any:
    return strict_json.as_written(body) if b"\\" in body else strict_json.exact(body)


def _written(schema: Schema, value: Any, texts: Sequence[Any]) -> Any:
    """Return a value with its raw values written out; the very same where there is nothing to write."""
    if schema.name == _RAW:
        return _raw(value, texts)
    steps: list[tuple[Any, Schema | None]] = []
    if isinstance(value, dict):
        steps = [(key, child) for key, child in _fields(schema).items() if key in value]
    elif isinstance(value, list):
        steps = [(index, schema.items) for index in range(len(value))]
    result = value
    for key, child in steps:
        if child is not None:
            kept = _written(child, value[key], [_at(text, key) for text in texts])
            if kept is not value[key]:
                result = type(value)(value) if result is value else result
                result[key] = kept
    return result


def _raw(value: Any, texts: Sequence[Any]) -> Any:
    if type(value) is float:
        told = (text.text for text in texts if type(text) is NumberText and text == value)
        return orjson.Fragment(next(told, "") or go_text.number(value))
    if type(value) is str or value == 0:
        return next((orjson.Fragment(text.text) for text in texts if _writes(text, value)), value)
    if not isinstance(value, (dict, list)):
        return value
    result = value
    for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        kept = _raw(item, [_at(text, key) for text in texts])
        if kept is not item:
            result = type(value)(value) if result is value else result
            result[key] = kept
    return result


def _writes(text: Any, value: Any) -> bool:
    """Tell whether a text says how a value was written, and that otherwise than our encoder writes it."""
    if type(value) is str:
        return type(text) is StringText and text == value and text.text.encode() != orjson.dumps(value)
    return type(value) is int and type(text) is NumberText and text.text == "-0"


def _at(value: Any, key: Any) -> Any:
    """Return what another value has in a place, None where it has not got that."""
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


@cache
def _fields(schema: Schema) -> dict[str, Schema]:
    """Return the fields at or below which there are raw values."""
    return {key: child for key, child in schema.properties.items() if _reaches(child, set())}


def _reaches(schema: Schema, seen: set[int]) -> bool:
    if schema.name == _RAW:
        return True
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    below = (*schema.properties.values(), schema.items)
    return any(_reaches(child, seen) for child in below if child is not None)
