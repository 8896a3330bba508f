"""``application/vnd.kubernetes.protobuf``: built-in objects to bytes and back.

Owns: the envelope, the choice of a message for a kind, watch frames. Refuses: custom resources and Tables
(JSON only). Called by the API server's negotiation and by clients.

Bytes are the magic ``k8s\\0`` and a ``runtime.Unknown`` that names the kind and holds the message. A frame of
a watch is a length of four bytes, big-endian, and a bare ``WatchEvent``, whose object has the magic.

Source: API concepts, protobuf encoding.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import orjson

from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.meta import GVK, Object, gvk_of, split_api_version
from tiphys.apimachinery.protowire import (
    BYTES,
    VARINT,
    ProtobufError,
    delimited,
    tag,
    varint,
)
from tiphys.apimachinery.schema import raw_text
from tiphys.apis.protobuf.plan import Plans, delimited_fields, raw_fields
from tiphys.apis.protobuf.special import ABSENT, RAW, Fields
from tiphys.apis.schemas import wire_facts

MAGIC: Final = b"k8s\x00"
CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"
_TYPE_META, _RAW = tag(1, BYTES), tag(2, BYTES)
_TAIL = delimited(tag(3, BYTES), b"") + delimited(tag(4, BYTES), b"")
_NO_MAGIC = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
_SCHEMA = "apiextensions.v1.JSONSchemaProps"
_ONE, _TWO = tag(1, BYTES), tag(2, BYTES)
_ALLOWS = tag(1, VARINT)
_UNKNOWN: Final[Fields] = {
    1: (BYTES, "TypeMeta"), 2: (BYTES, "Raw"), 3: (BYTES, "ContentEncoding"), 4: (BYTES, "ContentType"),
}  # fmt: skip
_NAMES: Final[Fields] = {1: (BYTES, "APIVersion"), 2: (BYTES, "Kind")}
_OR_BOOL: Final[Fields] = {1: (VARINT, "Allows"), 2: (BYTES, "Schema")}
_OR_LIST: Final[Fields] = {1: (BYTES, "Schema"), 2: (BYTES, "JSONSchemas")}
_OR_TEXTS: Final[Fields] = {1: (BYTES, "Schema"), 2: (BYTES, "Property")}


class EnvelopeError(ProtobufError):
    """Bytes that no kind can be read from."""


class MessageError(ProtobufError):
    """Bytes that are no message of the kind that they name; ``registered`` is False where there is none."""

    def __init__(self, text: str, gvk: GVK, *, registered: bool = True) -> None:
        super().__init__(text)
        self.gvk = gvk
        self.registered = registered


class _Codec:
    """The table and its plans."""

    def __init__(self) -> None:
        facts = wire_facts()
        self._kinds: dict[str, str] = facts["kinds"]
        self.plans = Plans(
            facts["messages"],
            {
                "runtime.RawExtension": (_encode_embedded, _decode_embedded),
                "apiextensions.v1.JSONSchemaPropsOrBool": (self._encode_or_bool, self._decode_or_bool),
                "apiextensions.v1.JSONSchemaPropsOrArray": (self._encode_or_list, self._decode_or_list),
                "apiextensions.v1.JSONSchemaPropsOrStringArray": (
                    self._encode_or_list,
                    self._decode_or_texts,
                ),
            },
        )

    def message_of(self, gvk: GVK) -> str | None:
        """Return the message of a kind; options and the like are of every group."""
        return self._kinds.get(f"{gvk.api_version}/{gvk.kind}") or self._kinds.get(f"*/{gvk.kind}")

    def _encode_or_bool(self, value: Any) -> bytes:
        if isinstance(value, bool):
            return _ALLOWS + (b"\x01" if value else b"\x00")
        return _ALLOWS + b"\x01" + delimited(_TWO, self.plans[_SCHEMA].encode(value))

    def _decode_or_bool(self, data: bytes, at: int, end: int, depth: int) -> Any:
        raw = raw_fields(data, at, end, _OR_BOOL)
        schema = raw.get(2)
        if isinstance(schema, bytes):
            return self.plans[_SCHEMA].decode(schema, 0, len(schema), depth + 1)
        return bool(raw.get(1))

    def _encode_or_list(self, value: Any) -> bytes:
        if isinstance(value, list):
            return b"".join(
                delimited(_TWO, item.encode() if isinstance(item, str) else self.plans[_SCHEMA].encode(item))
                for item in value
            )
        return delimited(_ONE, self.plans[_SCHEMA].encode(value))

    def _decode_or_list(self, data: bytes, at: int, end: int, depth: int) -> Any:
        schema, items = _schema_and_items(data, at, end, _OR_LIST)
        plan = self.plans[_SCHEMA]
        if schema is not None:
            return plan.decode(schema, 0, len(schema), depth + 1)
        return [plan.decode(item, 0, len(item), depth + 1) for item in items]

    def _decode_or_texts(self, data: bytes, at: int, end: int, depth: int) -> Any:
        schema, items = _schema_and_items(data, at, end, _OR_TEXTS)
        if schema is not None:
            return self.plans[_SCHEMA].decode(schema, 0, len(schema), depth + 1)
        return [item.decode(errors="replace") for item in items]


def _schema_and_items(data: bytes, at: int, end: int, fields: Fields) -> tuple[bytes | None, list[bytes]]:
    schema: bytes | None = None
    items = []
    for number, value in delimited_fields(data, at, end, fields):
        if number == 1:
            schema = value
        else:
            items.append(value)
    return schema, items


def _encode_embedded(value: Any) -> bytes:
    text = raw_text.text_of(value)
    return delimited(_ONE, without_markup(orjson.dumps(value)) if text is None else text)


def _decode_embedded(data: bytes, at: int, end: int, _depth: int) -> Any:
    raw = raw_fields(data, at, end, RAW).get(1)
    if not isinstance(raw, bytes) or not raw:
        return ABSENT
    if raw.startswith(MAGIC):
        return decode(raw)
    try:
        return raw_text.kept(raw)
    except ValueError as error:
        raise ProtobufError(f"invalid JSON in a raw extension: {error}") from error


@cache
def _codec() -> _Codec:
    return _Codec()


def supports(gvk: GVK) -> bool:
    """Tell whether a kind (or list, or kind of options) has a protobuf form."""
    return _codec().message_of(gvk) is not None


def _message_of(gvk: GVK) -> str:
    message = _codec().message_of(gvk)
    if message is None:
        raise MessageError(f"no protobuf form of {gvk.api_version} {gvk.kind}", gvk, registered=False)
    return message


def encode(obj: Object, gvk: GVK | None = None) -> bytes:
    """Encode an object with its envelope; ``gvk`` None takes what the object says.

    Raises:
        ProtobufError: the kind has no protobuf form, or a value does not fit its field.
    """
    gvk = gvk or gvk_of(obj)
    return wrap(_codec().plans[_message_of(gvk)].encode(obj), gvk)


def encode_message(obj: Object, gvk: GVK) -> bytes:
    """Encode without the envelope: as an item of a list, say. Raises ProtobufError."""
    return _codec().plans[_message_of(gvk)].encode(obj)


def wrap(message: bytes, gvk: GVK) -> bytes:
    """Put an encoded message into its envelope."""
    type_meta = delimited(_ONE, gvk.api_version.encode()) + delimited(_TWO, gvk.kind.encode())
    return MAGIC + delimited(_TYPE_META, type_meta) + delimited(_RAW, message) + _TAIL


def items_of(value: Object) -> bytes:
    """Return the items of a list as they stand in its message. Raises ProtobufError."""
    gvk = gvk_of(value)
    bare = {**value, "metadata": {}}
    return encode_message(bare, gvk)[len(encode_message({**bare, "items": []}, gvk)) :]


def around_items(empty: Object, size: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind so many bytes of items, of a list that is given without them.

    Raises ProtobufError.
    """
    gvk = gvk_of(empty)
    head = encode_message(empty, gvk)
    type_meta = delimited(_ONE, gvk.api_version.encode()) + delimited(_TWO, gvk.kind.encode())
    length = varint(len(head) + size)
    return MAGIC + delimited(_TYPE_META, type_meta) + _RAW + length + head, _TAIL


def decode(data: bytes, default: GVK | None = None) -> Object:
    """Decode bytes with their envelope; ``default`` has the kind and version that an envelope does not name.

    Raises:
        EnvelopeError: no kind can be read. MessageError: it is unknown, or has no such message.
    """
    gvk, body = _opened(data, default or GVK("", "", ""))
    plan = _codec().plans[_message_of(gvk)]
    try:
        found = plan.decode(body, 0, len(body))
    except ProtobufError as error:
        raise MessageError(str(error), gvk) from error
    return {"kind": gvk.kind, "apiVersion": gvk.api_version, **found}


def kind_in(data: bytes, default: GVK) -> GVK:
    """Return the kind that bytes with their envelope name, known or not. Raises EnvelopeError."""
    return _opened(data, default)[0]


def _opened(data: bytes, default: GVK) -> tuple[GVK, bytes]:
    """Return the kind and the message in an envelope. Raises EnvelopeError."""
    if not data:
        raise EnvelopeError("empty data")
    if not data.startswith(MAGIC):
        raise EnvelopeError(_NO_MAGIC)
    if len(data) == len(MAGIC):
        raise EnvelopeError("empty body")
    try:
        unknown = raw_fields(data, len(MAGIC), len(data), _UNKNOWN)
        type_meta = unknown.get(1, b"")
        assert isinstance(type_meta, bytes)
        version, kind = _named(type_meta)
    except ProtobufError as error:
        raise EnvelopeError(str(error)) from error
    body = unknown.get(2, b"")
    assert isinstance(body, bytes)
    group, number = split_api_version(version) if version else (default.group, default.version)
    gvk = GVK(group, number, kind or default.kind)
    for word, value in (("Kind", gvk.kind), ("apiVersion", gvk.version)):
        if not value:
            shown = f"runtime.TypeMeta{{APIVersion:{json.dumps(version)}, Kind:{json.dumps(kind)}}}"
            raise EnvelopeError(f"Object '{word}' is missing in '{shown}'")
    return gvk, body


def _named(type_meta: bytes) -> tuple[str, str]:
    fields = raw_fields(type_meta, 0, len(type_meta), _NAMES)
    texts = (fields.get(number, b"") for number in (1, 2))
    version, kind = (text.decode(errors="replace") if isinstance(text, bytes) else "" for text in texts)
    return version, kind


def watch_frame(type_: str, enveloped: bytes) -> bytes:
    """Frame one watch event; ``enveloped`` is the object as ``encode`` gives it."""
    event = delimited(_ONE, type_.encode()) + delimited(_TWO, delimited(_ONE, enveloped))
    return len(event).to_bytes(4, "big") + event


def read_watch_frame(data: bytes) -> tuple[str, Object, int] | None:
    """Read a watch event from the front of ``data``: type, object, bytes used; None until it is whole.

    Raises:
        ProtobufError: the bytes are no watch event.
    """
    if len(data) < 4:
        return None
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < end:
        return None
    event = _codec().plans["meta.v1.WatchEvent"].decode(bytes(data[4:end]), 0, end - 4)
    return event.get("type", ""), event.get("object", {}), end
