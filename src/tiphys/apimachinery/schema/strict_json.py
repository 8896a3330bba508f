"""Reads request bodies: fast, and with duplicate fields found when somebody wants to know of them.

The value always comes from orjson (the last of duplicate keys wins, as in Go). Duplicates are looked for in a
second pass, which is skipped when a count of the colons shows that no key was lost.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

import orjson

from tiphys.apimachinery.schema.json_fault import explain
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.walk import MAX_STRICT_FAULTS

_EXPLAINED_BYTES = 1 << 16
"""Faults of longer bodies are told in the parser's own words: walking them would take too long."""


class JsonError(ValueError):
    """The body is no JSON."""


def loads(body: bytes | bytearray | memoryview) -> Any:
    """Parse.

    Raises:
        JsonError: the body is no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        short = len(body) <= _EXPLAINED_BYTES
        raise JsonError(explain(bytes(body)) or str(error) if short else str(error)) from None


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


class _Pairs(list[tuple[str, Any]]):
    """An object as it was sent: every key, in order."""


def _duplicates(body: bytes) -> list[str]:
    return faults_of(body, None)


def faults_of(body: bytes, schema: Schema | None, unknown: Container[str] | None = None) -> list[str]:
    """Return the texts of duplicate and unknown fields as they follow each other in a JSON body.

    A decoder that goes by a schema looks at nothing in fields that it does not know, nor in those that read
    themselves (a schema of any type); without one it looks everywhere, and knows everything. ``unknown`` are
    the texts of unknown fields that count; without it all do.
    """
    seen: dict[str, None] = {}
    pending: list[tuple[Any, str, Schema | None]] = [(json.loads(body, object_pairs_hook=_Pairs), "", schema)]
    while pending and len(seen) < MAX_STRICT_FAULTS:
        value, path, node = pending.pop()
        if isinstance(value, str):
            seen[value] = None
        elif isinstance(value, _Pairs):
            pending += reversed(list(_object_steps(value, path, node, unknown)))
        elif isinstance(value, list):
            items = node.items if node is not None else None
            if items is not None or node is None:
                steps = [
                    (item, f"{path}[{at}]", items) for at, item in enumerate(value) if type(item) in _NESTED
                ]
                pending += reversed(steps)
    return list(seen)


_NESTED = (_Pairs, list)


def _object_steps(
    pairs: _Pairs, path: str, node: Schema | None, unknown: Container[str] | None
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
