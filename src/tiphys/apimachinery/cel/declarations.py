"""What a schema says of a value, in CEL's terms: its type, how large it can get, and how JSON becomes it.

Objects show what their schema declares and nothing else; what has no type there (unknown fields that are
kept) has none here, and no expression can name it. Names of fields are escaped where CEL could not spell
them.

Source: "Validation rules" of CustomResourceDefinitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from tiphys.apimachinery.cel import types as t
from tiphys.apimachinery.cel.fitting import (
    array,
    content,
    day,
    mapping,
    moment,
    number,
    span,
    text,
    truth,
    whole,
    whole_or_text,
    within_container,
)
from tiphys.apimachinery.cel.lexer import KEYWORDS, RESERVED
from tiphys.apimachinery.cel.typed import TypedList, TypedMap, TypedMapList, TypedObject, TypedSet, Wrap
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.schema.node import MISSING, Schema

MAX_REQUEST_BYTES = 3 * 1024 * 1024
"""Nothing that is sent can be larger, so nothing in it can."""

_SIZES = {"date-time": (21, 32), "date": (12, 12), "duration": (3, 32)}
"""The least and the most bytes of a formatted string, with quotes."""
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[.\-/]")
_SPELLABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True, eq=False)
class Declaration:
    """A type with its bounds.

    ``size`` is the most characters, bytes, items or entries; ``least`` is the fewest bytes in JSON.
    """

    type: t.Type
    size: int = 0
    least: int = 2
    wrap: Wrap | None = None
    key: Declaration | None = None
    element: Declaration | None = None
    fields: Mapping[str, Declaration] | None = None
    known: bool = field(default=True)
    """Whether the size is known at all; plain variables have none."""


def plain(type_: t.Type) -> Declaration:
    """Declare a value of which only the type is known."""
    return Declaration(type_, known=False)


def escape(name: str) -> str | None:
    """Return a field's name as expressions spell it; None where they cannot."""
    if name in RESERVED or name in KEYWORDS:
        return f"__{name}__"
    escaped = _ESCAPED.sub(lambda match: _ESCAPES[match.group()], name)
    return escaped if _SPELLABLE.fullmatch(escaped) else None


def declare(
    schema: Schema, *, name: str = "object", root: bool = False, within: tuple[Schema, ...] = ()
) -> Declaration | None:
    """Declare the values of a schema; None for those that have no type.

    ``root`` is true for whole resources, whose kind, apiVersion and names are always there. ``name`` is the
    name of the object's type; those inside have it as a prefix. A schema inside of itself (``within``) is an
    object without fields, or there would be no end.
    """
    if any(schema is outer for outer in within):
        return object_declaration(name, {})
    within = (*within, schema)
    if schema.int_or_string:
        limit = schema.constraints.get("maxLength")
        size = MAX_REQUEST_BYTES - 2 if limit is None else max(limit, 0) * 4
        return Declaration(t.DYN, size, 1, wrap=whole_or_text)
    if root:
        schema = with_identity(schema)
    match schema.type:
        case "array":
            return _list(schema, name, within)
        case "object":
            return _object(schema, name, within) if schema.additional is None else _map(schema, name, within)
        case "string":
            return _string(schema)
        case "boolean":
            return Declaration(t.BOOL, 0, 4, wrap=truth)
        case "number":
            return Declaration(t.DOUBLE, 0, 1, wrap=number)
        case "integer":
            return Declaration(t.INT, 0, 1, wrap=whole)
    return None


def with_identity(schema: Schema) -> Schema:
    """Return a resource's schema with kind, apiVersion and its metadata's names."""
    name = Schema(type="string")
    meta = Schema(type="object", properties={"name": name, "generateName": name})
    own = {"kind": name, "apiVersion": name, "metadata": meta}
    return Schema(
        type="object",
        properties={**schema.properties, **own},
        required=schema.required,
        preserve_unknown=schema.preserve_unknown,
        constraints=schema.constraints,
    )


def _list(schema: Schema, name: str, within: tuple[Schema, ...]) -> Declaration | None:
    if schema.items is None:
        return None
    item = declare(schema.items, name=f"{name}.@idx", root=schema.items.embedded_resource, within=within)
    if item is None:
        return None
    limit = schema.constraints.get("maxItems")
    size = (MAX_REQUEST_BYTES - 2) // (item.least + 1) if limit is None else max(limit, 0)
    wrap: Wrap
    inner = within_container(item.wrap, nullable=schema.items.nullable)
    if schema.list_type == "map":
        keys = tuple(escape(key) or key for key in schema.list_map_keys)
        wrap = lambda raw: TypedMapList(array(raw), inner, keys)  # noqa: E731
    else:
        view = TypedSet if schema.list_type == "set" else TypedList
        wrap = lambda raw: view(array(raw), inner)  # noqa: E731
    return Declaration(t.list_of(item.type), size, 2, wrap, element=item)


def _map(schema: Schema, name: str, within: tuple[Schema, ...]) -> Declaration | None:
    assert schema.additional is not None
    value = declare(
        schema.additional, name=f"{name}.@elem", root=schema.additional.embedded_resource, within=within
    )
    if value is None:
        return None
    limit = schema.constraints.get("maxProperties")
    size = (MAX_REQUEST_BYTES - 2) // (value.least + 6) if limit is None else max(limit, 0)
    inner = within_container(value.wrap, nullable=schema.additional.nullable)
    wrap = lambda raw: TypedMap(mapping(raw), inner)  # noqa: E731
    key = Declaration(t.STRING)
    return Declaration(t.map_of(t.STRING, value.type), size, 2, wrap, key=key, element=value)


def _object(schema: Schema, name: str, within: tuple[Schema, ...]) -> Declaration:
    fields: dict[str, Declaration] = {}
    wraps: dict[str, tuple[str, Wrap | None]] = {}
    least = 2
    for key, child in schema.properties.items():
        declared = declare(child, name=f"{name}.{key}", root=child.embedded_resource, within=within)
        if declared is None:
            continue
        if key in schema.required and child.default is MISSING:
            least += len(key) + declared.least + 4
        escaped = escape(key)
        if escaped is not None:
            fields[escaped] = declared
            wraps[escaped] = (key, declared.wrap)
    return object_declaration(name, fields, wraps, least)


def object_declaration(
    name: str,
    fields: Mapping[str, Declaration],
    wraps: Mapping[str, tuple[str, Wrap | None]] | None = None,
    least: int = 2,
) -> Declaration:
    """Declare an object by its fields, where no schema does."""
    shown = wraps if wraps is not None else {key: (key, one.wrap) for key, one in fields.items()}
    type_ = t.object_of(name, {key: one.type for key, one in fields.items()})
    return Declaration(type_, 0, least, lambda raw: TypedObject(mapping(raw), shown), fields=fields)


def _string(schema: Schema) -> Declaration:
    limit = schema.constraints.get("maxLength")
    least, most = _SIZES.get(schema.format or "", (2, MAX_REQUEST_BYTES - 2))
    match schema.format:
        case "byte":
            return Declaration(t.BYTES, most if limit is None else max(limit, 0), 2, content)
        case "duration":
            return Declaration(t.DURATION, most, least, span)
        case "date":
            return Declaration(t.TIMESTAMP, most, least, day)
        case "date-time" | "micro-time":
            least, most = _SIZES["date-time"]
            return Declaration(t.TIMESTAMP, most, least, moment)
    if limit is not None:
        return Declaration(t.STRING, max(limit, 0) * 4, least, text)
    if schema.enum:
        return Declaration(t.STRING, _longest(schema.enum), least, text)
    return Declaration(t.STRING, most, least, text)


def _longest(values: Iterable[Any]) -> int:
    return max((len(value.encode()) for value in values if isinstance(value, str)), default=0)
