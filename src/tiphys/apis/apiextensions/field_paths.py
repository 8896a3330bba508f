"""Follows paths of names through a schema, as rules and selectable fields have them: ``.a['b.c']``. Pure.

Source: apiextensions.k8s.io/v1, ``ValidationRule.fieldPath`` and ``SelectableField.jsonPath``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from tiphys.apimachinery.schema.node import Schema

_TOKEN = re.compile(r"[.\[\]]|'(?:[^'\\]|\\.)*'|[^.\[\]]+", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def follow(path: str, schema: Schema, *, brackets: bool = True) -> tuple[tuple[str, ...], Schema]:
    """Return the steps of a path as faults show them (``.field``, ``[key]``), and the node that they lead to.

    Raises:
        ValueError: they lead nowhere, or are none; without ``brackets`` names stand after dots only.
    """
    steps: list[str] = []
    tokens = iter(_TOKEN.findall(path))
    for token in tokens:
        if token not in (".", "["):
            raise ValueError(f"expected [ or . but got: {token}")
        if token == "[" and not brackets:
            raise ValueError("array notation is not allowed")
        name = _next(tokens)
        if token == "[":
            name = _unquoted(name)
        if schema.properties:
            child, step = schema.properties.get(name), f".{name}"
        else:
            child, step = schema.additional, f"[{name}]"
        if child is None:
            raise ValueError("does not refer to a valid field")
        if token == "[" and (end := _next(tokens)) != "]":
            raise ValueError(f"expected ] but got {end}")
        steps.append(step)
        schema = child
    return tuple(steps), schema


def _next(tokens: Iterator[str]) -> str:
    token = next(tokens, None)
    if token is None:
        raise ValueError("unexpected end of JSON path")
    return token


@lru_cache(maxsize=256)
def _unquoted(text: str) -> str:
    if len(text) < 2 or text[0] != "'" or text[-1] != "'":
        raise ValueError(f"expected single quoted string but got {text}")
    text = text[1:-1]
    for letter in _ESCAPE.findall(text):
        if letter not in _ESCAPES:
            raise ValueError(f"invalid string literal: invalid escape char \\{letter}")
    return _ESCAPE.sub(lambda match: _ESCAPES[match[1]], text)
