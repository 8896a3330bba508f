"""Validates custom resources against their schema: every fault at once, worded as the API words it.

A ``Validator`` belongs to one schema version and keeps compiled patterns and subschemas. CEL rules
(``x-kubernetes-validations``) are not looked at here, nor is what lists have twice (``list_types``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.regex import RegexError, compile_regex
from tiphys.apimachinery.schema import formats
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.correlation import TYPE_FIELDS, Partners, unchanged
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apimachinery.schema.numbers import broken, number_faults, place

Faults = list[FieldError]


def type_name(value: Any) -> str:
    """Return the JSON schema type of a value, by how a number was written."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


class Validator:
    """Checks values against one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._subschemas: dict[int, Schema] = {}

    def validate(self, obj: dict[str, Any], old: Any = MISSING) -> Faults:
        """Return the faults of a whole object.

        Parts that are as they were in ``old`` have none, whatever the schema says by now.
        """
        faults: Faults = []
        self._node(obj, self._schema, "", faults, old)
        return faults

    def validate_value(self, value: Any, path: str) -> Faults:
        """Return the faults of a part that the schema describes (a default, say)."""
        faults: Faults = []
        self._node(value, self._schema, path, faults)
        return faults

    def _node(
        self,
        value: Any,
        schema: Schema,
        path: str,
        faults: Faults,
        old: Any = MISSING,
    ) -> None:
        if (value is None and schema.nullable) or (old is not MISSING and unchanged(value, old, schema)):
            return
        if not _has_type(value, schema):  # the rest is told as well
            expected = "integer,string" if schema.int_or_string else schema.type or ""
            faults.append(_wrong_type(path, expected, type_name(value)))
        if schema.enum is not None and value not in schema.enum:
            faults.append(
                field_errors.not_supported(place(path), value, [_shown(item) for item in schema.enum])
            )
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            faults.extend(number_faults(value, schema, path))
        if schema.constraints:
            self._constraints(value, schema, path, faults)
        if type(value) is dict:
            self._object(value, schema, path, faults, old)
        elif type(value) is list:
            self._list(value, schema, path, faults, old)
        elif type(value) is str and schema.format and not formats.valid(schema.format, value):
            faults.append(_wrong_type(path, schema.format, value))

    def _object(
        self,
        value: dict[str, Any],
        schema: Schema,
        path: str,
        faults: Faults,
        old: Any,
    ) -> None:
        before = old if type(old) is dict else {}
        for key in schema.required:
            if key not in value:
                faults.append(field_errors.required(_join(path, key)))
        for key, item in value.items():
            child = schema.child(key)
            if child is not None:
                inner = _join(path, key) if key in schema.properties else f"{path}.{key}".removeprefix(".")
                known = path or key not in TYPE_FIELDS
                self._node(item, child, inner, faults, before.get(key, MISSING) if known else MISSING)

    def _list(self, values: list[Any], schema: Schema, path: str, faults: Faults, old: Any) -> None:
        if schema.items is not None:
            partners = Partners(old, schema)
            for index, item in enumerate(values):
                self._node(item, schema.items, f"{path}[{index}]", faults, partners.of(item, index))

    def _constraints(self, value: Any, schema: Schema, path: str, faults: Faults) -> None:
        rules = schema.constraints
        if type(value) is str:
            faults.extend(self._text_faults(value, rules, path))
        elif type(value) is list:
            faults.extend(_size_faults(len(value), rules, path, "Items", "items"))
        elif type(value) is dict:
            faults.extend(_size_faults(len(value), rules, path, "Properties", "properties"))
        self._combinations(value, rules, path, faults)

    def _text_faults(self, value: str, rules: dict[str, Any], path: str) -> Iterable[FieldError]:
        least, most, pattern = rules.get("minLength"), rules.get("maxLength"), rules.get("pattern")
        if most is not None and len(value) > most:
            yield field_errors.too_long(place(path), most)
        if least is not None and len(value) < least:
            yield broken(path, value, f"should be at least {least} chars long")
        if pattern is not None:
            shown = _mismatch(pattern, value)
            if shown:
                yield broken(path, value, f"should match '{shown}'")

    def _combinations(self, value: Any, rules: dict[str, Any], path: str, faults: Faults) -> None:
        for key, judge in _COMBINATIONS.items():
            if key in rules:
                parts = rules[key] if isinstance(rules[key], list) else [rules[key]]
                results = [self._subfaults(value, part, path) for part in parts]
                text = judge(sum(1 for result in results if not result), len(results))
                if text:
                    faults.append(field_errors.invalid("<nil>", "", f'"{path}" {text}'))
                if key == "allOf":
                    faults.extend(fault for result in results for fault in result)
                elif text and key != "not" and all(results):  # the first stands for all alternatives
                    faults.extend(results[0])

    def _subfaults(self, value: Any, source: dict[str, Any], path: str) -> Faults:
        schema = self._subschemas.get(id(source))
        if schema is None:
            schema = self._subschemas[id(source)] = build_custom(source)
            if "type" not in source:
                schema.type = None
        faults: Faults = []
        self._node(value, schema, path, faults)
        return faults


def _mismatch(pattern: str, value: str) -> str:
    """Return how a pattern that a value does not match is shown, empty for one that it does."""
    try:
        return "" if compile_regex(pattern).matches(value) else pattern
    except RegexError as error:
        return f"{pattern}, but pattern is invalid: {error}"


def _judge_one(valid: int, _count: int) -> str:
    if valid == 1:
        return ""
    found = "Found none valid" if valid == 0 else f"Found {valid} valid alternatives"
    return f"must validate one and only one schema (oneOf). {found}"


def _judge_all(valid: int, count: int) -> str:
    if valid == count:
        return ""
    return f"must validate all the schemas (allOf){'' if valid else '. None validated'}"


_COMBINATIONS: dict[str, Callable[[int, int], str]] = {
    "allOf": _judge_all,
    "anyOf": lambda valid, _: "" if valid else "must validate at least one schema (anyOf)",
    "oneOf": _judge_one,
    "not": lambda valid, _: "must not validate the schema (not)" if valid else "",
}


def _has_type(value: Any, schema: Schema) -> bool:
    whole = type(value) is float and value.is_integer()
    if schema.int_or_string:
        return whole or type(value) in (int, str)
    if schema.type is None:
        return True
    found = type_name(value)
    if found == schema.type:
        return True
    return whole if schema.type == "integer" else schema.type == "number" and found == "integer"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _wrong_type(path: str, wanted: str, found: str) -> FieldError:
    text = f'{path} in body must be of type {wanted}: "{found}"'
    return field_errors.type_invalid(place(path), found, text)


def _size_faults(size: int, rules: dict[str, Any], path: str, suffix: str, noun: str) -> Iterable[FieldError]:
    least, most = rules.get(f"min{suffix}"), rules.get(f"max{suffix}")
    if most is not None and size > most:
        yield field_errors.too_many(place(path), size, most)
    if least is not None and size < least:
        yield broken(path, size, f"should have at least {least} {noun}")
