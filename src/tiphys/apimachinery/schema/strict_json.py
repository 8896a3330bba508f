"""Reads request bodies: fast, and with duplicate fields found when somebody wants to know of them.

The value always comes from orjson (the last of duplicate keys wins, as in Go). Duplicates are looked for in a
second pass, which is skipped when a count of the colons shows that no key was lost.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from tiphys.apimachinery.schema.walk import MAX_STRICT_FAULTS


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
        raise JsonError(str(error)) from None


def loads_strict(body: bytes) -> tuple[Any, list[str]]:
    """Parse, and return the texts of duplicate fields beside the value (``duplicate field "spec.x"``).

    Raises:
        JsonError: the body is no JSON.
    """
    value = loads(body)
    if b"\\u003" not in body and _count_keys(value) == body.count(b":") - _count_colons(value):
        return value, []
    return value, _duplicates(body)


def _count_keys(value: Any) -> int:
    """Count the keys of all objects in a tree."""
    total, pending = 0, [value]
    while pending:
        item = pending.pop()
        if type(item) is dict:
            total += len(item)
            pending.extend(child for child in item.values() if type(child) is dict or type(child) is list)
        elif type(item) is list:
            pending.extend(child for child in item if type(child) is dict or type(child) is list)
    return total


def _count_colons(value: Any) -> int:
    """Count the colons inside keys and texts: those of the body that separate no key from its value.

    Only an escaped colon (``\\u003a``) could deceive the count; such bodies take the slow pass.
    """
    total, pending = 0, [value]
    while pending:
        item = pending.pop()
        if type(item) is dict:
            for key, child in item.items():
                total += key.count(":")
                if type(child) is str:
                    total += child.count(":")
                elif type(child) is dict or type(child) is list:
                    pending.append(child)
        elif type(item) is list:
            for child in item:
                if type(child) is str:
                    total += child.count(":")
                elif type(child) is dict or type(child) is list:
                    pending.append(child)
        elif type(item) is str:
            total += item.count(":")
    return total


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
