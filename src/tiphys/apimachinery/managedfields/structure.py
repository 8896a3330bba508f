"""How a schema divides a value into fields: what is one leaf, what is walked into, what an item is called.

Owns: that reading of the schema, compiled once for each node. Refuses: sets and ownership. Called by the
walkers of this package.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import orjson

from tiphys.apimachinery import go_text
from tiphys.apimachinery.managedfields.fieldset import FieldsError, key_element, value_element
from tiphys.apimachinery.memo import Memo
from tiphys.apimachinery.schema.build import FREE_FORM
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apimachinery.short_memory import short_memory_of_many

_VALUE_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "CSINodeSpec": ("drivers",),
    "ControllerRevision": ("revision",),
    "CronJobSpec": ("jobTemplate",),
    "CustomResourceDefinitionSpec": ("names", "versions"),
    "CustomResourceDefinitionStatus": ("acceptedNames", "conditions"),
    "DaemonSetSpec": ("template", "updateStrategy"),
    "DeploymentSpec": ("template", "strategy"),
    "DeviceTaintRuleSpec": ("taint",),
    "Event": (
        "deprecatedSource", "involvedObject", "regarding", "reportingComponent", "reportingInstance", "source"
    ),
    "FlowSchemaSpec": ("priorityLevelConfiguration",),
    "HorizontalPodAutoscalerSpec": ("scaleTargetRef",),
    "IngressStatus": ("loadBalancer",),
    "JobSpec": ("template",),
    "JobTemplateSpec": ("metadata", "spec"),
    "NetworkPolicySpec": ("podSelector",),
    "NodeDaemonEndpoints": ("kubeletEndpoint",),
    "NodeStatus": ("daemonEndpoints", "nodeInfo"),
    "PersistentVolumeClaimSpec": ("resources",),
    "PodGroupSpec": ("schedulingPolicy",),
    "PodSpec": ("containers",),
    "PodTemplate": ("template",),
    "PodTemplateSpec": ("metadata", "spec"),
    "PriorityClass": ("value",),
    "ReplicaSetSpec": ("template",),
    "ResourceClaimSpec": ("devices",),
    "ResourceClaimTemplateSpec": ("metadata", "spec"),
    "ResourcePool": ("generation",),
    "ResourceSliceSpec": ("pool",),
    "ServiceStatus": ("loadBalancer",),
    "StatefulSetSpec": ("template", "updateStrategy", "serviceName"),
    "StorageVersionMigrationSpec": ("resource",),
    "VolumeAttachmentSpec": ("source",),
    "WorkloadSpec": ("podGroupTemplates",),
}  # fmt: skip
"""Fields that are never absent for upstream, being plain structs (or lists, texts and numbers it writes even
when empty): they come into being with their parent, so nobody owns them, only what is in them."""
_OWN_TYPES: Final = "io.k8s."

_KINDS: Final = {
    "integer": "numeric", "number": "numeric", "boolean": "boolean", "array": "list", "object": "map"
}  # fmt: skip
_TYPES: Final[dict[str, frozenset[type]]] = {
    "": frozenset(),
    "string": frozenset((str,)),
    "numeric": frozenset((int, float)),
    "boolean": frozenset((bool,)),
    "list": frozenset((list,)),
    "map": frozenset((dict,)),
}
_REMEMBERED: Final = "io.k8s.api.core.v1.PodSpec"
_ALWAYS_VALUE = frozenset(("metadata", "spec", "status"))


class Shape:
    """What one schema node (or none: anything goes) means for field paths."""

    __slots__ = (
        "_children",
        "_fields",
        "_item",
        "_key_defaults",
        "_keys",
        "_rest",
        "declared",
        "kind",
        "list_kind",
        "memory",
        "null_is_absent",
        "open_map",
        "types",
        "values",
        "walked_map",
    )

    def __init__(self, schema: Schema | None) -> None:
        self._children: dict[str, Shape] = {}
        self._fields = schema.properties if schema is not None else {}
        self._rest: Schema | None = None
        self._item: Shape | None = None
        self.declared = frozenset(self._fields)
        self.open_map = schema is None or schema.preserve_unknown
        """Undeclared fields are let in, and walked without a schema."""
        self.kind = _kind(schema)
        """What a value has to be, as faults name it; empty where anything goes."""
        self.types = _TYPES[self.kind]
        self.walked_map = schema is None or _is_walked_map(schema)
        """False: a map is one leaf."""
        self.list_kind = ""
        """``map`` or ``set``; otherwise a list is one leaf."""
        self.values = _value_fields(schema)
        self.null_is_absent = schema is not None and (schema.name or "").startswith(_OWN_TYPES)
        """What types of upstream's own hold writes null where there is nothing: null says no more."""
        self.memory: Memo[dict[str, Any]] | None = None
        """What was found for values that came into being as a whole, where they are often equal."""
        if schema is not None and schema.name == _REMEMBERED:
            self.memory = Memo()
        self._keys: tuple[str, ...] = ()
        self._key_defaults: dict[str, Any] = {}
        if schema is not None and schema.list_type in ("map", "set"):
            self.list_kind = schema.list_type
            self._keys = tuple(sorted(schema.list_map_keys))
            item_fields = schema.items.properties if schema.items is not None else {}
            for key in self._keys:
                default = item_fields[key].default if key in item_fields else MISSING
                if default is not MISSING:
                    self._key_defaults[key] = _whole(default)
        if schema is not None:
            self._rest = schema.items if schema.type == "array" else schema.additional

    def refuses(self, value: Any) -> str:
        """Say why a value is not of the schema's kind; empty when it is. Null is of every kind."""
        if not self.types or type(value) in self.types or value is None:
            return ""
        if self.kind == "numeric":
            return f"expected numeric (int or float), got {go_text.type_name(value)}"
        value = go_text.as_floats(value)
        if self.kind == "string":
            return f"expected string, got &value.valueUnstructured{{Value:{go_text.syntax(value)}}}"
        return f"expected {self.kind}, got &{{{go_text.plain(value)}}}"

    def child(self, key: str) -> Shape:
        """Return the shape of a field or map value."""
        found = self._children.get(key)
        if found is None:
            known = self._fields.get(key)
            if known is None:
                return self.item
            found = self._children[key] = shape_of(known)
        return found

    @property
    def item(self) -> Shape:
        """The shape of a list's items, or of a map's undeclared values."""
        if self._item is None:
            self._item = shape_of(self._rest)
        return self._item

    def knows(self, key: str) -> bool:
        """Tell whether a map may hold this key."""
        return key in self.declared or self._rest is not None or self.open_map

    def element(self, item: Any) -> str:
        """Name an item of a walked list.

        Raises:
            FieldsError: the item lacks a key, or is of the wrong kind.
        """
        if self.list_kind == "set":
            if isinstance(item, (dict, list)) or item is None:
                raise FieldsError("associative list without keys has an element that's a map type")
            return value_element(item)
        if not isinstance(item, dict):
            raise FieldsError("associative list with keys may not have non-map elements")
        if len(self._keys) == 1:
            name = self._keys[0]
            value = item.get(name)
            if type(value) is str:
                return _named(name, value)
        found: dict[str, Any] = {}
        for name in self._keys:
            value = item.get(name)
            if value is None:
                if name not in self._key_defaults:
                    raise FieldsError(
                        f'associative list with keys has an element that omits key field "{name}"'
                        " (and doesn't have default value)"
                    )
                value = self._key_defaults[name]
            found[name] = value
        return key_element(found)

    def is_leaf(self, value: Any) -> bool:
        """Tell whether a value is one field: a scalar, something atomic, or empty."""
        if not value:
            return True
        if isinstance(value, dict):
            return not self.walked_map
        return not isinstance(value, list) or not self.list_kind


def _whole(value: Any) -> Any:
    """Keys are told apart by what numbers are, not by how they were written."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _kind(schema: Schema | None) -> str:
    if schema is None or schema.int_or_string or schema.name in FREE_FORM:
        return ""
    if schema.type == "string":
        return "string" if schema.format in (None, "", "byte") else ""
    return _KINDS.get(schema.type or "", "")


@short_memory_of_many(4096)
def _named(name: str, value: str) -> str:
    return f'k:{{"{name}":{orjson.dumps(value).decode()}}}'


def _is_walked_map(schema: Schema) -> bool:
    if schema.map_type == "atomic":
        return False
    if schema.type is None and not schema.properties:
        return schema.preserve_unknown
    return bool(schema.properties) or schema.additional is not None or schema.preserve_unknown


def _value_fields(schema: Schema | None) -> frozenset[str]:
    if schema is None or not schema.name or not schema.name.startswith(_OWN_TYPES):
        return frozenset()
    if "kind" in schema.properties and "metadata" in schema.properties:
        short = schema.name.rpartition(".")[2]
        return _ALWAYS_VALUE.union(_VALUE_FIELDS.get(short, ()))
    return frozenset(_VALUE_FIELDS.get(schema.name.rpartition(".")[2], ()))


_ANYTHING: Final = Shape(None)


def shape_of(schema: Schema | None) -> Shape:
    """Return the shape of a schema node."""
    return _ANYTHING if schema is None else _shape(schema)


@lru_cache(maxsize=8192)
def _shape(schema: Schema) -> Shape:
    # Bounded, as custom resources' schemas come and go; a shape in use keeps its own children.
    return Shape(schema)


def _object_meta() -> Schema:
    text, time = Schema(type="string"), Schema(type="string", format="date-time")
    texts = Schema(type="object", additional=text)
    owner = Schema(type="object", map_type="atomic", properties={"uid": text})
    fields = dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), text)
    fields |= {"creationTimestamp": time, "deletionTimestamp": time, "clusterName": text}
    fields |= {name: Schema(type="integer") for name in ("generation", "deletionGracePeriodSeconds")}
    fields |= {"labels": texts, "annotations": texts}
    fields["finalizers"] = Schema(type="array", items=text, list_type="set")
    fields["ownerReferences"] = Schema(type="array", items=owner, list_type="map", list_map_keys=("uid",))
    fields["managedFields"] = Schema(type="array", items=Schema(type="object"))
    return Schema(type="object", properties=fields)


_OBJECT_META: Final = Shape(_object_meta())


@lru_cache(maxsize=1024)
def root_shape(schema: Schema | None) -> Shape:
    """Return the shape of a whole object; a custom resource's schema says nothing of its metadata."""
    if schema is not None and "metadata" in schema.properties and schema.properties["metadata"].properties:
        return shape_of(schema)
    shape = Shape(schema)
    shape.declared |= {"apiVersion", "kind", "metadata"}
    shape.walked_map = True
    shape._children["metadata"] = _OBJECT_META
    return shape
