"""JSON patches: ``JSONPatch{op: ...}``, and ``jsonpatch.escapeKey('example.com/a')`` for keys of pointers.

Source: "Mutating Admission Policy" and RFC 6901.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function
from tiphys.apimachinery.cel.types import DYN, STRING, object_of
from tiphys.apimachinery.cel.values import Duration, Struct, Timestamp, Uint, is_list

_NAME = "JSONPatch"
_ZEROS = {"op": "", "path": "", "from": "", "value": None}
_GO_TYPES: dict[type, str] = {
    type(None): "structpb.NullValue", bool: "bool", int: "int64", Uint: "uint64", float: "float64",
    bytes: "[]uint8", Timestamp: "time.Time", Duration: "time.Duration",
}  # fmt: skip


def _patch(given: dict[str, Any]) -> Struct:
    """Make a patch: texts that are empty are as good as not given, a value of null is not."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if name != "value" and type(value) is not str:
            raise EvaluationError(f"unexpected type {_go_type(value)} for {_NAME}Type '{name}' field")
        if name == "value" or value:
            fields[name] = value
    return Struct(_NAME, fields, _ZEROS)


def _go_type(value: Any) -> str:
    found = _GO_TYPES.get(type(value))
    return found or ("[]ref.Val" if is_list(value) else "map[ref.Val]ref.Val")


PATCH = object_of(_NAME, {"op": STRING, "path": STRING, "from": STRING, "value": DYN}, _patch)


def _escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


LIBRARY = Library(
    "kubernetes.jsonpatch",
    (
        function(
            "jsonpatch_escapekey_string",
            "jsonpatch.escapeKey",
            (STRING,),
            STRING,
            _escape_key,
            price=prices.READ,
        ),
    ),
)
