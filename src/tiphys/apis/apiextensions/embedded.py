"""Objects that custom objects embed (``x-kubernetes-embedded-resource``): whole, with metadata in shape.

Pure. Called for objects by the API server, which knows whether a schema embeds anything at all, and for the
defaults of definitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tiphys.apimachinery import field_errors, names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis import schemas
from tiphys.apis.meta_validation import validate_meta

_IDENTITY = ("apiVersion", "kind")


class Misshapen(DecodeError):
    """What makes an embedded object one cannot be read."""

    def __init__(self, fault: FieldError) -> None:
        super().__init__(str(fault))
        self.fault = fault


def shape(value: Any, schema: Schema, faults: list[str], path: str = "") -> None:
    """Bring the metadata of embedded objects into shape, in place; add the texts of unknown fields.

    Raises:
        Misshapen: metadata is none.
    """
    for item, child, place in _parts(value, schema, path):
        if child.embedded_resource:
            faults += _shape_one(item, place)
        shape(item, child, faults, place)


def _shape_one(item: Any, place: str) -> list[str]:
    if type(item) is not dict:
        return []
    for key in _IDENTITY:
        if key in item and not isinstance(item[key], str):
            raise Misshapen(field_errors.invalid(_join(place, key), item[key], "must be a string"))
    if item.get("metadata") is None:
        return []
    at = _join(place, "metadata")
    return [text.replace('"', f'"{at}.', 1) for text in _shaped(item["metadata"], at)]


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def value_faults(value: Any, schema: Schema, path: str, *, root: bool) -> list[FieldError]:
    """Return every fault of the objects in a value, and of itself where it is the ``root`` of one.

    One that cannot be read is the only fault. The value is brought into shape, in place.
    """
    try:
        if root:
            _shape_one(value, path)
        shape(value, schema, [], path)
    except Misshapen as error:
        return [error.fault]
    own = _faults_of_one(value, path) if root and type(value) is dict else []
    return own + embedded_faults(value, schema, path)


def mend(obj: Object, schema: Schema, *, embeds: bool) -> None:
    """Bring metadata into shape, in place, that others stored: a field of the wrong type goes."""
    metadata = obj.get("metadata")
    obj["metadata"] = metadata = _mended(metadata) if isinstance(metadata, dict) else {}
    if not metadata.get("generation"):
        metadata["generation"] = 1
    if embeds:
        _mend_embedded(obj, schema)


def _mend_embedded(value: Any, schema: Schema) -> None:
    for item, child, _ in _parts(value, schema, ""):
        if child.embedded_resource and type(item) is dict:
            for key in _IDENTITY:
                if key in item and not isinstance(item[key], str):
                    del item[key]
            if "metadata" in item:
                if isinstance(item["metadata"], dict):
                    item["metadata"] = _mended(item["metadata"])
                else:
                    del item["metadata"]
        _mend_embedded(item, child)


def _mended(metadata: Object) -> Object:
    made: Object = copy_object(metadata)
    try:
        decode_check(made, schemas.object_meta(), "Ignore")
    except DecodeError:
        made = {}
        for key, value in metadata.items():
            field = {key: copy_object(value)}
            with suppress(DecodeError):
                decode_check(field, schemas.object_meta(), "Ignore")
                made |= field
    return made


def _shaped(metadata: Any, place: str) -> list[str]:
    given = copy_object(metadata) if type(metadata) is dict else metadata
    try:
        if type(metadata) is not dict:
            found = _JSON_KINDS.get(type(metadata), "number")
            raise DecodeError(f"json: cannot unmarshal {found} into Go value of type v1.ObjectMeta")
        return decode_check(metadata, schemas.object_meta(), "Strict")
    except DecodeError as error:
        raise Misshapen(field_errors.invalid(place, given, str(error))) from error


_JSON_KINDS: dict[type, str] = {list: "array", str: "string", bool: "bool"}


def embedded_faults(value: Any, schema: Schema, path: str = "") -> list[FieldError]:
    """Return every fault of what makes embedded objects objects."""
    faults: list[FieldError] = []
    for item, child, place in _parts(value, schema, path):
        if child.embedded_resource and type(item) is dict:
            faults += _faults_of_one(item, place)
        faults += embedded_faults(item, child, place)
    return faults


def _faults_of_one(item: Object, place: str) -> list[FieldError]:
    faults = _identity_faults(item, place)
    if isinstance(item.get("metadata"), dict):
        faults += _metadata_faults(item["metadata"], _join(place, "metadata"))
    return faults


def _identity_faults(item: Object, place: str) -> list[FieldError]:
    faults = [field_errors.required(_join(place, key)) for key in _IDENTITY if key not in item]
    for key in _IDENTITY:
        given, at = item.get(key), _join(place, key)
        if key not in item:
            continue
        if not isinstance(given, str):
            faults.append(field_errors.invalid(at, given, "must be a string"))
        elif not given:
            faults.append(field_errors.invalid(at, given, "must not be empty"))
        elif key == "apiVersion":
            if given.count("/") > 1:
                faults.append(field_errors.invalid(at, given, f"unexpected GroupVersion string: {given}"))
        elif texts := names.is_dns1035_label(given.lower()):
            hint = "may have mixed case, but should otherwise match: "
            faults.append(field_errors.invalid(at, given, hint + ",".join(texts)))
    return faults


def _metadata_faults(metadata: Object, place: str) -> list[FieldError]:
    named = {"metadata": {**metadata, "name": metadata.get("name") or "fakename"}}
    namespaced = bool(metadata.get("namespace"))
    return validate_meta(named, namespaced=namespaced, validate_name=names.is_path_segment_name, path=place)


def _parts(value: Any, schema: Schema, path: str) -> Iterator[tuple[Any, Schema, str]]:
    """Yield the parts of a container that the schema describes, with their paths."""
    if type(value) is dict:
        for key, item in value.items():
            child = schema.child(key)
            if child is not None:
                named = key in schema.properties
                yield item, child, f"{path}.{key}".removeprefix(".") if named else f"{path}[{key}]"
    elif type(value) is list and schema.items is not None:
        for index, item in enumerate(value):
            yield item, schema.items, f"{path}[{index}]"
