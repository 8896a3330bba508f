"""What each node of a definition's schema may say, wherever it stands: supported keys, lists, maps, defaults.

Pure. Structure is the matter of ``structural_rules``, the rules in CEL that of ``rule_faults``; faults carry
the API's own wording.

Source: apiextensions.k8s.io/v1 JSONSchemaProps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.apiextensions.rule_faults import text_faults
from tiphys.apis.apiextensions.shown import said, shown_items, shown_schema

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_META_FIELDS = ("metadata", "kind", "apiVersion")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_SET_EVEN_IF_EMPTY = ("additionalItems", "dependencies", "$ref")
_UNREADABLE = frozenset({"id", "$schema", "$ref", "patternProperties", "dependencies", "definitions"})
_EXTENSIONS = (
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)  # fmt: skip
_EXTENSIONS_IF_SAID = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type")
_ROOT_WITH_STATUS = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum",
    "MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required",
    "Items", "Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations",
)  # fmt: skip
"""What the root may say though the schema of a status alone is cut out of it."""

_WITH_STATUS = "if the status subresource is enabled"

Faults = Iterator[FieldError]


@dataclass(frozen=True, slots=True)
class Demands:
    """Rules that came later than others: what broke one before an update may go on breaking it."""

    types: bool = True
    atomic_sets: bool = True
    keys: bool = True


def demands_after(schemas: Iterable[Object]) -> Demands:
    """Return what may be asked of schemas that come after these."""
    nodes = [node for schema in schemas for node in every_node(schema)]
    return Demands(
        types=all(not node.get("type") or node["type"] in _TYPES for node in nodes),
        atomic_sets=not any(fault for node in nodes for fault in _set_items(node, "")),
        keys=not any(fault for node in nodes for fault in _never_null(node, "")),
    )


def root_faults(schema: Object, path: str, *, status: bool) -> list[FieldError]:
    """Return what the root may not say; less of it where the status is a resource of its own."""
    faults: list[FieldError] = []
    if status:
        for name, value in said(schema):
            if name == "Type" and value != "object":
                text = 'only "object" is allowed as the type at the root of the schema'
                faults.append(invalid(f"{path}.type", value, f"{text} {_WITH_STATUS}"))
                break
            if name not in _ROOT_WITH_STATUS:
                text = f"only [{' '.join(_ROOT_WITH_STATUS)}] fields are allowed at the root of the schema"
                faults.append(invalid(path, shown_schema(schema), f"{text} {_WITH_STATUS}"))
                break
    if schema.get("nullable"):
        faults.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    return faults


def has_defaults(schema: Object) -> bool:
    return any(node.get("default") is not None for node in every_node(schema))


def has_extensions(schema: Object) -> bool:
    """Tell whether a schema says what only a structural one may."""
    return any(
        any(node.get(key) for key in _EXTENSIONS)
        or any(node.get(key) is not None for key in _EXTENSIONS_IF_SAID)
        for node in every_node(schema)
    )


def is_readable(schema: Object) -> bool:
    """Tell whether a schema can be looked at as a structure at all; what stops it is refused elsewhere."""
    return not any(map(_is_unreadable, every_node(schema)))


def _is_unreadable(node: Object) -> bool:
    return bool(
        (not _UNREADABLE.isdisjoint(node) and any(node.get(key) for key in _UNREADABLE))
        or node.get("additionalItems") is not None
        or (isinstance(node.get("items"), list) and node["items"])
        or node.get("x-kubernetes-preserve-unknown-fields") is False
    )


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a node stands: in the metadata of an object, or where it may have no default, and why."""

    in_meta: bool = False
    no_default: str | None = None


def schema_faults(schema: Object, path: str, demands: Demands | None = None) -> list[FieldError]:
    """Return every fault of a whole schema."""
    return list(_node(schema, path, _Stand(), demands or Demands(), root=True))


def _node(node: Object, path: str, stand: _Stand, demands: Demands, *, root: bool = False) -> Faults:
    yield from _refused(node, path, stand, demands)
    for inner, step, inner_stand in _below(node, stand, root=root):
        yield from _node(inner, path + step, inner_stand, demands)
    if node.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    yield from _map(node, path)
    yield from _list(node, path, demands)
    yield from text_faults(node, path)


def _below(node: Object, stand: _Stand, *, root: bool) -> Iterator[tuple[Object, str, _Stand]]:
    additional = node.get("additionalProperties")
    if isinstance(additional, dict):
        inner = stand
        if stand.in_meta:
            inner = replace(stand, no_default="inside additionalProperties applying to object metadata")
        yield additional, ".additionalProperties", inner
    resource = root or node.get("x-kubernetes-embedded-resource")
    for key, child in (node.get("properties") or {}).items():
        inner = stand
        if resource and key in _META_FIELDS:
            inner = _Stand(in_meta=True, no_default=f"in top-level {key}" if root else stand.no_default)
        yield child, f".properties[{key}]", inner
    for step, child in _inner(node):
        yield child, step, stand


_HOLDERS = frozenset({"not", "allOf", "oneOf", "anyOf", "definitions", "items", "dependencies"})


def _inner(node: Object) -> Iterator[tuple[str, Object]]:
    """Yield the schemas in a node that stand where the node itself does."""
    if _HOLDERS.isdisjoint(node):
        return
    if isinstance(node.get("not"), dict):
        yield ".not", node["not"]
    for junctor in ("allOf", "oneOf", "anyOf"):
        for index, child in enumerate(node.get(junctor) or ()):
            yield f".{junctor}[{index}]", child
    for key, child in (node.get("definitions") or {}).items():
        yield f".definitions[{key}]", child
    items = node.get("items")
    if isinstance(items, dict):
        yield ".items", items
    for index, child in enumerate(items if isinstance(items, list) else ()):
        yield f".items[{index}]", child
    for key, child in (node.get("dependencies") or {}).items():
        if isinstance(child, dict):
            yield f".dependencies[{key}]", child


def every_node(root: Object) -> Iterator[Object]:
    """Yield a node and all below it."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend((node.get("properties") or {}).values())
        if isinstance(node.get("additionalProperties"), dict):
            waiting.append(node["additionalProperties"])
        waiting.extend(child for _, child in _inner(node))


def _refused(node: Object, path: str, stand: _Stand, demands: Demands) -> Faults:
    kind = node.get("type") or ""
    if demands.types and kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if node.get("default") is not None and stand.no_default is not None:
        yield forbidden(f"{path}.default", f"must not be set {stand.no_default}")
    for key in _UNSUPPORTED:
        if node.get(key) or (key in _SET_EVEN_IF_EMPTY and node.get(key) is not None):
            yield forbidden(f"{path}.{key}", f"{key} is not supported")
    if kind == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(node.get("items"), list) and node["items"]:
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if stand.in_meta and node.get("x-kubernetes-embedded-resource"):
        text = "must not be used inside of resource meta"
        yield forbidden(f"{path}.x-kubernetes-embedded-resource", text)
    if node.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", text)
    if node.get("additionalProperties") not in (None, True) and node.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{path}.additionalProperties", text)


def _must_be(node: Object, path: str, wanted: str, key: str) -> Faults:
    if node.get("type") != wanted:
        text, given = f"must be {wanted} if {key} is specified", node.get("type")
        yield invalid(f"{path}.type", given, text) if given else required(f"{path}.type", text)


def _map(node: Object, path: str) -> Faults:
    key = "x-kubernetes-map-type"
    kind = node.get(key)
    if kind is None:
        return
    yield from _must_be(node, path, "object", key)
    if kind not in ("granular", "atomic"):
        yield not_supported(f"{path}.{key}", kind, ("atomic", "granular"))


def _list(node: Object, path: str, demands: Demands) -> Faults:
    kind, keys = node.get("x-kubernetes-list-type"), node.get("x-kubernetes-list-map-keys") or []
    place = f"{path}.x-kubernetes-list-type"
    if kind is None:
        if keys:
            yield required(place, "must be map if x-kubernetes-list-map-keys is non-empty")
        return
    yield from _must_be(node, path, "array", "x-kubernetes-list-type")
    if demands.atomic_sets and node.get("type") == "array":
        yield from _set_items(node, path)
    if kind not in ("atomic", "set", "map"):
        yield not_supported(place, kind, ("atomic", "set", "map"))
    if keys and kind != "map":
        yield invalid(place, kind, "must be map if x-kubernetes-list-map-keys is non-empty")
    if kind == "map":
        yield from _map_keys(node, keys, path)
    if demands.keys:
        yield from _never_null(node, path)


def _set_items(node: Object, path: str) -> Faults:
    """A set holds what is written as a whole."""
    items = node.get("items")
    if node.get("x-kubernetes-list-type") != "set" or not isinstance(items, dict):
        return
    text, shown = "must be atomic as item of a list with x-kubernetes-list-type=set", None
    if items.get("type") == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        shown = items["x-kubernetes-list-type"]
        yield invalid(f"{path}.items.x-kubernetes-list-type", shown, text)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        shown = items.get("x-kubernetes-list-type")
        yield invalid(f"{path}.items.x-kubernetes-map-type", shown, text)


def _map_keys(node: Object, keys: list[str], path: str) -> Faults:
    place, items = f"{path}.x-kubernetes-list-map-keys", node.get("items")
    if not keys:
        yield required(place, "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
    elif isinstance(items, list):
        text = "must only have a single schema if x-kubernetes-list-type is map"
        yield invalid(f"{path}.items", shown_items(items), text)
    if not isinstance(items, dict):
        return
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", text)
        return
    properties: dict[str, Any] = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            yield invalid(place, keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{path}.items.properties[{key}].type", "object", text)
        if key in keys[:index]:
            yield invalid(place, keys, "must not contain duplicate entries")


def _never_null(node: Object, path: str) -> Faults:
    """Items that are told apart by their values, or by keys, have them."""
    kind, items = node.get("x-kubernetes-list-type"), node.get("items")
    if kind not in ("set", "map") or not isinstance(items, dict):
        return
    if items.get("nullable"):
        text = f"cannot be nullable when x-kubernetes-list-type is {kind}"
        yield forbidden(f"{path}.items.nullable", text)
    properties = items.get("properties") or {}
    for key in (node.get("x-kubernetes-list-map-keys") or ()) if kind == "map" else ():
        if key not in properties:
            continue
        place, lead = (
            f"{path}.items.properties[{key}]",
            "this property is in x-kubernetes-list-map-keys, so it",
        )
        if key not in (items.get("required") or ()) and properties[key].get("default") is None:
            yield required(f"{place}.default", f"{lead} must have a default or be a required property")
        if properties[key].get("nullable"):
            yield forbidden(f"{place}.nullable", f"{lead} cannot be nullable")
