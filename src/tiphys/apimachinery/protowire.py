"""Protobuf's wire format: varints, tags, single fields, skipping.

Owns: how bytes say a number, a text or a message. Refuses: which fields a message has. Called by the codec of
Kubernetes' kinds (``apis.protobuf.plan``), of OpenAPI documents (``apis.openapi.wire``) and of spans
(``wire.otlp``). What writes a field by its number leaves out nothing unless it says so.

Source: the protocol buffers encoding guide.
"""

from __future__ import annotations

import re
import struct
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
_START_GROUP: Final = 3
END_GROUP: Final = 4
FIXED32: Final = 5
_MASK64 = (1 << 64) - 1
_SIGN64 = 1 << 63
_NEGATIVE = "proto: negative length found during unmarshaling"


class ProtobufError(ValueError):
    """Bytes that are no valid message, or a value that does not fit its field."""


_SMALL = [bytes((number,)) for number in range(128)]


def varint(number: int) -> bytes:
    """Encode an int64: negative ones as ten bytes, two's complement."""
    if 0 <= number < 128:
        return _SMALL[number]
    number &= _MASK64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number: int, wire_type: int) -> bytes:
    """Encode a field's tag."""
    return varint(number << 3 | wire_type)


def delimited(prefix: bytes, body: bytes) -> bytes:
    """Encode a length-delimited field whose tag is ``prefix``."""
    return prefix + varint(len(body)) + body


def head(number: int, size: int) -> bytes:
    """Encode what stands before so many bytes of a text or message."""
    return varint(number << 3 | BYTES) + varint(size)


def message(number: int, body: bytes) -> bytes:
    """Encode a field of bytes: a message, or what is as long as it says."""
    return head(number, len(body)) + body


def text(number: int, value: str | None) -> bytes:
    """Encode a field of text; none for an empty one, which is what a reader takes for it."""
    return message(number, value.encode()) if value else b""


def whole(number: int, value: int | None) -> bytes:
    """Encode a field of a whole number; none for zero."""
    return varint(number << 3) + varint(value) if value else b""


def switch(number: int, value: bool | None) -> bytes:
    """Encode a field that is on or off; none for off."""
    return varint(number << 3) + b"\x01" if value else b""


def fixed64(number: int, value: int) -> bytes:
    """Encode a field of eight bytes without a sign."""
    return varint(number << 3 | FIXED64) + struct.pack("<Q", value)


def double(number: int, value: float) -> bytes:
    """Encode a field of a floating-point number."""
    return varint(number << 3 | FIXED64) + struct.pack("<d", value)


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Read an unsigned varint: the number and where it ends. Raises ProtobufError."""
    result = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result & _MASK64, at
        shift += 7
        if shift > 63:
            raise ProtobufError("proto: integer overflow")
    raise ProtobufError("unexpected EOF")


def text_of(data: bytes) -> str:
    """Return a text; every byte that is part of no character becomes one that says so, as in JSON."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return re.sub("[\udc80-\udcff]", "\ufffd", data.decode(errors="surrogateescape"))


def signed(number: int) -> int:
    """Read an unsigned 64-bit number as two's complement."""
    return number - (1 << 64) if number & _SIGN64 else number


def read_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a length: where the content starts and ends. Raises ProtobufError."""
    length, at = read_varint(data, at, end)
    if at + length > end:
        raise ProtobufError("unexpected EOF" if length < _SIGN64 else _NEGATIVE)
    return at, at + length


def skip(data: bytes, at: int, end: int, wire_type: int) -> int:
    """Return where an unknown field ends: a value, or a group with what is in it. Raises ProtobufError."""
    depth = 0
    while True:
        if wire_type == _START_GROUP:
            depth += 1
        elif wire_type == END_GROUP:
            depth -= 1
            if depth < 0:
                raise ProtobufError("proto: unexpected end of group")
        else:
            at = _skip_value(data, at, end, wire_type)
        if not depth:
            return at
        key, at = read_varint(data, at, end)
        wire_type = key & 7


def _skip_value(data: bytes, at: int, end: int, wire_type: int) -> int:
    if wire_type == VARINT:
        return read_varint(data, at, end)[1]
    if wire_type == BYTES:
        return read_length(data, at, end)[1]
    size = {FIXED64: 8, FIXED32: 4}.get(wire_type)
    if size is None:
        raise ProtobufError(f"proto: illegal wireType {wire_type}")
    if at + size > end:
        raise ProtobufError("unexpected EOF")
    return at + size
