"""Protobuf fields as the OpenAPI documents of gnostic need them: texts, switches, named pairs, any value.

Owns: the fields that both versions' schemas share. Refuses: what a document consists of. Called by
``proto`` (v2) and ``proto_v3``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from tiphys.apimachinery.protowire import message, text, whole

Node = dict[str, Any]
Buffer = bytes | memoryview


def texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(message(number, value.encode()) for value in values)


def counts(node: Node, numbers: Mapping[str, int]) -> bytes:
    """Write the whole numbers of a node; zero is what is read when there is none."""
    return b"".join(whole(number, node.get(key)) for key, number in numbers.items())


def any_value(value: Any) -> bytes:
    """Write any JSON as YAML text, which it is."""
    return text(2, orjson.dumps(value).decode())


def named(number: int, pairs: Iterable[tuple[str, Any]], encode: Callable[[Any], bytes]) -> bytes:
    """Write a map as gnostic does: repeated messages of a name (1) and a value (2)."""
    return b"".join(message(number, text(1, name) + message(2, encode(value))) for name, value in pairs)


def extensions(number: int, node: Node) -> bytes:
    return named(number, ((key, value) for key, value in node.items() if key.startswith("x-")), any_value)
