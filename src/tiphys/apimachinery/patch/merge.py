"""JSON merge patch (RFC 7386) as the API server applies it.

Owns: the merge. Refuses: reading bytes and schemas. Called by the PATCH handler with decoded JSON.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.meta import Object, copy_object


def apply(obj: Object, patch: Any) -> Object:
    """Return ``obj`` with ``patch`` merged in; neither is changed.

    What the patch does not reach is the very same in both: whoever changes the result copies it first.

    Raises:
        BadRequest: the patch is not an object.

    Source: RFC 7386.
    """
    if not isinstance(patch, dict):
        raise BadRequest("Invalid JSON Patch")
    return _merged(obj, patch)


def _merged(target: Object, patch: Object) -> Object:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
            continue
        current = result.get(key)
        if isinstance(value, dict):
            result[key] = _merged(current if isinstance(current, dict) else {}, value)
        else:
            # The server also drops nulls out of the objects of a list that is new.
            result[key] = _without_nulls(value) if current is None else copy_object(value)
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
