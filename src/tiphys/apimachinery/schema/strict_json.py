"""Reads request bodies: fast, and with duplicate fields found when somebody wants to know of them.

The value always comes from orjson (the last of duplicate keys wins, as in Go). Duplicates are looked for in a
second pass, which is skipped when a count of the colons shows that no key was lost.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from tiphys.apimachinery.schema.json_fault import explain
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


class _Marked(dict[str, Any]):
    """An object that remembers which of its keys came more than once."""

    repeated: tuple[str, ...] = ()


def _mark(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) == len(pairs):
        return dict(pairs)
    marked = _Marked(pairs)
    seen: set[str] = set()
    repeated = dict.fromkeys(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    marked.repeated = tuple(repeated)
    return marked


def _duplicates(body: bytes) -> list[str]:
    faults: list[str] = []
    _collect(json.loads(body, object_pairs_hook=_mark), "", faults)
    return faults[:MAX_STRICT_FAULTS]


def _collect(value: Any, path: str, faults: list[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value, _Marked):
            faults.extend(f'duplicate field "{path}{key}"' for key in value.repeated)
        for key, child in value.items():
            if isinstance(child, dict):
                _collect(child, f"{path}{key}.", faults)
            elif isinstance(child, list):
                _collect(child, f"{path}{key}", faults)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _collect(child, f"{path}[{index}].", faults)


class _Pairs(list[tuple[str, Any]]):
    """An object as it was sent: every key, in order."""


def in_document_order(body: bytes, faults: list[str]) -> list[str]:
    """Sort faults (``unknown field "spec.x"``, ``duplicate field ...``) by where they stand in the body."""
    places: dict[str, int] = {}
    _place(json.loads(body, object_pairs_hook=_Pairs), "", places)
    return sorted(faults, key=lambda fault: places.get(fault, len(places)))


def _place(value: Any, path: str, places: dict[str, int]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, child in value:
            word = "duplicate" if key in seen else "unknown"
            seen.add(key)
            places.setdefault(f'{word} field "{path}{key}"', len(places))
            _place(child, f"{path}{key}" if type(child) is list else f"{path}{key}.", places)
    elif type(value) is list:
        for index, child in enumerate(value):
            _place(child, f"{path}[{index}].", places)
