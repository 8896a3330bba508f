"""What lists of custom resources may not have twice: items of sets, keys of maps.

Asked apart from the rest of the schema: an update that finds something twice in the old object is not told.
Source: "Merge strategy" of CustomResourceDefinitions, ``x-kubernetes-list-type``.
"""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.schema.node import Schema

_NO_OBJECT = "must be an object for an array of list-type map"


def list_type_faults(value: Any, schema: Schema, path: str = "") -> list[FieldError]:
    """Return what a value, or any part of it that the schema describes, has twice."""
    faults: list[FieldError] = []
    if type(value) is dict:
        for key, item in value.items():
            child = schema.child(key)
            if child is not None:
                named = key in schema.properties
                place = f"{path}.{key}".removeprefix(".") if named else f"{path}[{key}]"
                faults += list_type_faults(item, child, place)
    elif type(value) is list:
        faults += _repeated(value, schema, path)
        if schema.items is not None:
            for index, item in enumerate(value):
                faults += list_type_faults(item, schema.items, f"{path}[{index}]")
    return faults


def _repeated(values: list[Any], schema: Schema, path: str) -> list[FieldError]:
    """Tell of the second of a kind, not of those after it. Without an item there is no key either."""
    if schema.list_type == "map":
        for index, item in enumerate(values):
            if item is not None and type(item) is not dict:
                return [field_errors.invalid(f"{path}[{index}]", item, _NO_OBJECT)]
        values = [{key: item[key] for key in schema.list_map_keys if key in (item or {})} for item in values]
    elif schema.list_type != "set":
        return []
    faults: list[FieldError] = []
    seen: dict[bytes, int] = {}
    for index, item in enumerate(values):
        identity = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] == 2:
            faults.append(field_errors.duplicate(f"{path}[{index}]", item))
    return faults
