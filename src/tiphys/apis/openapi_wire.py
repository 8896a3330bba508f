"""Protobuf fields as the OpenAPI documents of gnostic need them: texts, switches, named pairs, any value.

Owns: the fields that both versions' schemas share. Refuses: what a document consists of. Called by
``openapi_proto`` (v2) and ``openapi_proto_v3``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

Node = dict[str, Any]
Buffer = bytes | memoryview


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def prefix(number: int, size: int) -> bytes:
    """Return what stands before so many bytes of a message."""
    return varint(number << 3 | 2) + varint(size)


def message(number: int, payload: bytes) -> bytes:
    return prefix(number, len(payload)) + payload


def text(number: int, value: str | None) -> bytes:
    return message(number, value.encode()) if value else b""


def texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(message(number, value.encode()) for value in values)


def boolean(number: int, value: bool | None) -> bytes:
    return varint(number << 3) + b"\x01" if value else b""


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def counts(node: Node, numbers: Mapping[str, int]) -> bytes:
    """Write the whole numbers of a node; zero is what is read when there is none."""
    return b"".join(
        varint(number << 3) + varint(node[key]) for key, number in numbers.items() if node.get(key)
    )


def any_value(value: Any) -> bytes:
    """Write any JSON as YAML text, which it is."""
    return text(2, orjson.dumps(value).decode())


def named(number: int, pairs: Iterable[tuple[str, Any]], encode: Callable[[Any], bytes]) -> bytes:
    """Write a map as gnostic does: repeated messages of a name (1) and a value (2)."""
    return b"".join(message(number, text(1, name) + message(2, encode(value))) for name, value in pairs)


def extensions(number: int, node: Node) -> bytes:
    return named(number, ((key, value) for key, value in node.items() if key.startswith("x-")), any_value)
