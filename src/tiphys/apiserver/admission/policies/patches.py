"""What a mutation makes of an object: an apply configuration merged in, or a list of JSON patches. Pure.

Owns: the forms that expressions give, and what of them is refused. The caller decodes and keeps the result.

Source: the "Mutating Admission Policy" page; structured merge, KEP-555.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.apimachinery.cel import EvaluationError, to_json
from tiphys.apimachinery.cel.values import ListView, MapView, Struct, find
from tiphys.apimachinery.errors import StatusError, TiphysError
from tiphys.apimachinery.managedfields.compare import applied_fields
from tiphys.apimachinery.managedfields.fieldset import FieldsError
from tiphys.apimachinery.managedfields.merging import merged
from tiphys.apimachinery.managedfields.structure import Shape, root_shape
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.patch import json_patch
from tiphys.apimachinery.schema.node import Schema


class CannotPatch(TiphysError):
    """What a mutation gives does not fit the object."""


def apply_configuration(obj: Object, configuration: Struct, schema: Schema | None) -> Object:
    """Return an object with what a configuration says, merged as server-side apply does.

    Raises:
        CannotPatch: it names types that do not fit its fields, fields that are not there, or anything that
            would be replaced as a whole.
    """
    _check_names(configuration)
    applied = _plain(configuration)
    applied |= {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind")}
    shape = root_shape(schema)
    try:
        applied_fields(applied, schema)
    except FieldsError as error:
        raise CannotPatch(
            f"error applying patch: failed to convert patch object to typed object: {error}"
        ) from error
    whole = list(_atomics(applied, shape, ""))
    if whole:
        raise CannotPatch(
            "error applying patch: invalid ApplyConfiguration: "
            f"may not mutate atomic arrays, maps or structs: {', '.join(whole)}"
        )
    result: Object = merged(obj, applied, shape)
    return result


def apply_patches(obj: Object, patches: Iterable[Struct]) -> Object:
    """Return an object with patches applied; the object itself where a ``test`` among them fails.

    Raises:
        CannotPatch: one of them does not apply.
    """
    operations = [_operation(one) for one in patches]
    try:
        result: Object = json_patch.apply(obj, operations)
    except StatusError as error:
        cause = error.__cause__
        if isinstance(cause, json_patch.TestFailed):
            return obj
        raise CannotPatch(f"JSON Patch: {cause or error.message}") from error
    return result


def _operation(patch: Struct) -> Object:
    given = patch.fields
    made: Object = {key: given.get(key, "") for key in ("op", "path")}
    if given.get("from"):
        made["from"] = given["from"]
    if "value" in given:
        value = given["value"]
        if isinstance(value, Struct):
            _check_names(value)
        made["value"] = _plain(value)
    return made


def _plain(value: Any) -> Any:
    try:
        return to_json(value)
    except EvaluationError as error:
        raise CannotPatch(
            f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}"
        ) from error


def _check_names(root: Struct) -> None:
    """An object at a field must be of the type that is called by the field's path."""
    wrong = list(_wrong_names(root, root.type_name))
    if wrong:
        raise CannotPatch("type mismatch: " + "\n".join(wrong))


def _wrong_names(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Struct):
        if value.type_name != path:
            yield (
                f'unexpected type name "{value.type_name}", expected "{path}", which matches field name path '
                "from root Object type"
            )
        for name, item in value.fields.items():
            yield from _wrong_names(item, f"{path}.{name}")
    elif isinstance(value, list | ListView):
        for item in value:
            yield from _wrong_names(item, path)
    elif isinstance(value, dict | MapView):
        for key in value:
            yield from _wrong_names(find(value, key), path)


def _atomics(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Yield the paths of what is replaced as a whole: others' parts of it would be lost unseen."""
    if isinstance(value, dict):
        if not shape.walked_map:
            yield path
        for key, item in value.items():
            if key in shape.declared:
                yield from _atomics(item, shape.child(key), f"{path}.{key}")
    elif isinstance(value, list):
        if not shape.list_kind:
            yield path
        for index, item in enumerate(value):
            yield from _atomics(item, shape.item, f"{path}[{index}]")
