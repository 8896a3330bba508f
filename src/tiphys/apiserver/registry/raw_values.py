"""Values that Go keeps as the very bytes they came in (``RawExtension``): what they are stored as.

An object here holds values, which know no more than what they are: ``1e3`` is ``1000.0``, beyond 64 bits
digits are lost; nor does it know of spaces, of keys that came twice, or which letters were escaped. So that
is put back where an object is encoded for the store: from the body of the request, and from what was stored
before where the request left it. Patches take spaces out; what goes by way of Go's maps has its keys sorted
and knows numbers alone. Called by what writes. Refuses all other values.

Source: k8s.io/apimachinery ``pkg/runtime``, k8s.io/apiserver ``pkg/endpoints/handlers``, patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import orjson

from tiphys.apimachinery import go_json, go_text
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.patch import json_patch
from tiphys.apimachinery.schema import raw_text, strict_json
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.numbers import NumberText
from tiphys.apimachinery.schema.strict_json import StringText
from tiphys.apiserver.cache.feed import hint_of
from tiphys.apiserver.cache.form import dump, dump_as_sent, ordered
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.negotiation import PROTOBUF, YAML
from tiphys.apiserver.evaluating import LARGE_BYTES
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.objects import Cached

_BODIES: Final = ("application/json", "application/merge-patch+json")
"""What has its values where the object has them, and keeps their texts."""
_OPERATIONS: Final = "application/json-patch+json"
_MAPS: Final = ("application/strategic-merge-patch+json", "application/apply-patch+yaml", YAML)
_MOST: Final = 2**63 - 1
Path = tuple[Any, ...]


def stored(call: Call, obj: Object, before: Cached | None = None) -> tuple[Object, bytes | None]:
    """Return what to hand to the store: the object, and its bytes where they are not what its values say.

    Those of a large object are returned as well: whoever asks does so aside, and the store would encode it on
    the event loop. ``before`` is what it was until now.
    """
    if call.resource.definition is not None:
        return _encoded(call, obj)
    schema = machinery.schema_for(call.resource.storage)
    if not _has_raw(schema, obj):
        return _encoded(call, obj)
    made = ordered(obj)
    written = _replaced(schema, made, (), _writer(call, schema, before))
    return _encoded(call, obj) if written is made else (made, dump_as_sent(written))


def _encoded(call: Call, obj: Object) -> tuple[Object, bytes | None]:
    if call.size < LARGE_BYTES:
        return obj, None
    hint = hint_of(call.backend.table.stored(call.resource), obj)
    return hint.obj, hint.value


def is_rewritten(call: Call, obj: Object, before: Cached) -> bool:
    """Tell whether an object that is as it was says so in other bytes."""
    if call.resource.definition is not None:
        return False
    known: bytes | None = getattr(before, "value", None)
    if known is None or not _has_raw(machinery.schema_for(call.resource.storage), obj):
        return False
    _, value = stored(call, obj, before)
    return (dump(ordered(obj)) if value is None else value) != known


def _has_raw(schema: Schema, value: Any) -> bool:
    if raw_text.is_raw(schema):
        return True
    if isinstance(value, dict):
        below = raw_text.fields(schema)
        return any(_has_raw(child, value[key]) for key, child in below.items() if key in value)
    if isinstance(value, list) and schema.items is not None:
        return any(_has_raw(schema.items, item) for item in value)
    return False


Write = Callable[[Any, Path], Any]
"""Returns what is encoded in place of a value that is somewhere: the very same where it is that."""


def _writer(call: Call, schema: Schema, before: Cached | None) -> Write:
    request = call.request
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower() or _BODIES[0]
    if media_type in _MAPS and request.method != "DELETE":
        return _as_patched_maps if request.method == "PATCH" else _as_maps
    return _Texts(call, schema, before, media_type).write


def _as_maps(value: Any, _path: Path) -> Any:
    written = go_text.without_markup(go_json.written(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))
    return value if written == orjson.dumps(value) else orjson.Fragment(written)


def _as_patched_maps(value: Any, path: Path) -> Any:
    """The same, where whole numbers are of 64 bits with a sign, or none."""
    made = _as_maps(_signed(value), path)
    return value if made == value else made


def _signed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _signed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_signed(item) for item in value]
    return float(value) if type(value) is int and value > _MOST else value


class _Texts:
    """What knows how raw values were written, the latest first."""

    def __init__(self, call: Call, schema: Schema, before: Cached | None, media_type: str) -> None:
        self._call = call
        self._before = before
        self._media_type = media_type
        self._patches = call.request.method == "PATCH"
        body = call.request.body if call.request.method != "DELETE" else b""
        self._wholes: list[Any] = []
        with suppress(ValueError, RecursionError, StatusError):  # so deep a body tells nothing
            if body and media_type == PROTOBUF:
                self._wholes.append(machinery.decode_protobuf(body, call.resource.gvk))
            elif body and media_type in _BODIES:
                self._wholes.append(raw_text.with_texts(strict_json.loads(body), schema, body))
        if before is not None:
            # A write of the status leaves the rest alone, however it is written.
            self._wholes.insert(0 if call.info.subresource else len(self._wholes), before.object)

    def write(self, value: Any, path: Path) -> Any:
        for whole in self._wholes if isinstance(value, dict | list) else ():
            found = _follow(whole, path)
            if found == value and _dumped(found) == _dumped(value):
                text = raw_text.text_of(found)
                if text is not None and self._patches:
                    text = go_text.without_markup(raw_text.compact(text))
                return value if text is None else orjson.Fragment(text)
        return _raw(value, [_follow(text, path) for text in self._parts])

    @cached_property
    def _parts(self) -> list[Any]:
        """The same, with numbers and texts that know themselves how they were written."""
        request, before = self._call.request, self._before
        found = []
        with suppress(RecursionError, StatusError):
            if request.method != "DELETE" and request.body and self._media_type in (*_BODIES, _OPERATIONS):
                found.append(_read(request.body))
            if before is not None:
                found.append(_read(before.raw))
                if self._patches and self._media_type == _OPERATIONS:
                    found[0] = json_patch.apply(found[1], found[0])
        return found


def _dumped(value: Any) -> bytes:
    with suppress(orjson.JSONEncodeError):
        return orjson.dumps(value)
    return b""


def _follow(value: Any, path: Path) -> Any:
    for key in path:
        value = _at(value, key)
    return value


def _read(body: bytes) -> Any:
    return strict_json.as_written(body) if b"\\" in body else strict_json.exact(body)


def _replaced(schema: Schema, value: Any, path: Path, write: Write) -> Any:
    """Return a value with its raw values written out; the very same where there is nothing to write."""
    if raw_text.is_raw(schema):
        return write(value, path)
    steps: list[tuple[Any, Schema | None]] = []
    if isinstance(value, dict):
        steps = [(key, child) for key, child in raw_text.fields(schema).items() if key in value]
    elif isinstance(value, list):
        steps = [(index, schema.items) for index in range(len(value))]
    result = value
    for key, child in steps:
        if child is not None:
            kept = _replaced(child, value[key], (*path, key), write)
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
        if type(text) is not StringText or text != value:
            return False
        told = text.text.encode()
        return told != orjson.dumps(value) or told != go_text.without_markup(told)
    return type(value) is int and type(text) is NumberText and text.text == "-0"


def _at(value: Any, key: Any) -> Any:
    """Return what another value has in a place, None where it has not got that."""
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
