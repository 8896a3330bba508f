"""What Go's decoder says of JSON that does not tell a version and a kind, before it knows any type. Pure."""

from __future__ import annotations

from typing import Any, Final

from tiphys.apimachinery.schema.mismatch import json_kind

NO_KIND: Final = "couldn't get version/kind; json parse error"
"""What is said of bodies that are no JSON, or do not tell these as texts."""
TYPE_FIELDS: Final = ("kind", "apiVersion")
_TYPE_META: Final = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


def no_object(value: Any) -> str:
    """Return what is said of a value that is no object."""
    return f"json: cannot unmarshal {json_kind(value)} into Go value of type {_TYPE_META}"


def no_text(obj: dict[str, Any]) -> str:
    """Return what is said of a kind or version that is no text; empty where both are, or are not there."""
    for word in TYPE_FIELDS:
        if obj.get(word) is not None and not isinstance(obj[word], str):
            found = json_kind(obj[word])
            return f"json: cannot unmarshal {found} into Go struct field .{word} of type string"
    return ""
