"""The lowest layer of the protobuf codec: varints, tags, skipping.

Owns: the wire format. Refuses: messages. Called by ``protobuf_plan`` and ``protobuf_special``.

Source: the protocol buffers encoding guide.
"""

from __future__ import annotations

from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
_MASK64 = (1 << 64) - 1
_SIGN64 = 1 << 63


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
            break
    raise ProtobufError("bad varint")


def signed(number: int) -> int:
    """Read an unsigned 64-bit number as two's complement."""
    return number - (1 << 64) if number & _SIGN64 else number


def read_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a length: where the content starts and ends. Raises ProtobufError."""
    length, at = read_varint(data, at, end)
    if at + length > end:
        raise ProtobufError("unexpected end of data")
    return at, at + length


def skip(data: bytes, at: int, end: int, wire_type: int) -> int:
    """Return where an unknown field ends. Raises ProtobufError."""
    if wire_type == VARINT:
        return read_varint(data, at, end)[1]
    if wire_type == BYTES:
        return read_length(data, at, end)[1]
    size = {FIXED64: 8, FIXED32: 4}.get(wire_type)
    if size is None or at + size > end:
        raise ProtobufError(f"bad field of wire type {wire_type}")
    return at + size
