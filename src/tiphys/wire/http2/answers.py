"""Heads of answers as header blocks of HTTP/2: each field that repeats itself is encoded once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiphys.wire.http2 import hpack
from tiphys.wire.message import pairs_of

_REMEMBERED: Final = 1024
_LONGEST: Final = 256
_OF_CONNECTIONS: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length", "date"}
)
"""They say nothing here, or are said by the server itself."""
_VARYING: Final = frozenset({"audit-id", "etag"})

_fields: dict[tuple[str, str], bytes] = {}
_LENGTH: Final = hpack.encode_name("content-length")


def block(status: int, headers: Mapping[str, str]) -> bytes:
    """Encode status and headers, to be gone on with."""
    parts = [_field(":status", str(status))]
    parts += [_fields.get(pair) or _field(*pair) for pair in pairs_of(headers)]
    return b"".join(parts)


def length(count: int) -> bytes:
    """Encode the length of a body."""
    digits = b"%d" % count
    return b"%b%c%b" % (_LENGTH, len(digits), digits)


def date(text: str) -> bytes:
    """Encode the time of an answer."""
    return hpack.encode_field("date", text)


def last_value(value: bytes) -> bytes:
    """Encode the value of the field whose name a block ends with."""
    return hpack.string(value)


def _field(name: str, value: str) -> bytes:
    lower = name.lower()
    if lower in _OF_CONNECTIONS:
        return b""
    if not value.isprintable():
        value = value.replace("\r", " ").replace("\n", " ").replace("\0", " ")
    encoded = hpack.encode_field(lower, value)
    if lower not in _VARYING and len(value) <= _LONGEST:
        if len(_fields) >= _REMEMBERED:
            _fields.clear()
        _fields[name, value] = encoded
    return encoded
