"""The schemas of built-in kinds, from the ``kubernetes-validate`` package's OpenAPI definitions.

Definitions are read on first use and schemas built kind by kind, so that a process pays for what it
touches. CRDs' schemas live with the CRD machinery. The texts of descriptions are not kept here:
``full_definitions`` reads them anew for the OpenAPI documents.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.schema.build import SchemaBuilder
from tiphys.apimachinery.schema.node import Schema

_FILE = "kubernetes-json-schema/v1.36.0-local/_definitions.json"
_CORE = "io.k8s.api.core.v1."

DEFAULTS: dict[str, dict[str, Any]] = {
    _CORE + "ContainerPort": {"protocol": "TCP"},
    _CORE + "ServicePort": {"protocol": "TCP"},
    _CORE + "ISCSIVolumeSource": {"iscsiInterface": "default"},
    _CORE + "ISCSIPersistentVolumeSource": {"iscsiInterface": "default"},
    _CORE + "RBDVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    _CORE + "RBDPersistentVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    _CORE + "ScaleIOVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    _CORE + "ScaleIOPersistentVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    _CORE + "AzureDiskVolumeSource": {
        "cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared", "readOnly": False,
    },
}  # fmt: skip
"""Defaults that the published schema has and the package leaves out; apply needs those of merge keys."""

_PLAIN = frozenset("sibdy")
_TIME = ".meta.v1.Time"
_NOW: dict[str, Any] = {"current": {}}
_SHOWN: dict[str, dict[str, Any]] = {
    "apiextensions.v1.CustomResourceDefinitionStatus": {
        "conditions": [], "acceptedNames": {"plural": "", "kind": ""},
    },
    "apps.v1.StatefulSetOrdinals": {"start": 0},
    "apps.v1.StatefulSetStatus": {"availableReplicas": 0},
    "authentication.v1.TokenRequestSpec": {
        "audiences": None, "expirationSeconds": None, "boundObjectRef": None,
    },
    "authentication.v1.TokenRequestStatus": {"token": "", "expirationTimestamp": None},
    "autoscaling.v2.ContainerResourceMetricStatus": _NOW,
    "autoscaling.v2.ExternalMetricStatus": _NOW,
    "autoscaling.v2.HorizontalPodAutoscalerStatus": {"currentMetrics": None},
    "autoscaling.v2.ObjectMetricStatus": _NOW,
    "autoscaling.v2.PodsMetricStatus": _NOW,
    "autoscaling.v2.ResourceMetricStatus": _NOW,
    "certificates.v1.CertificateSigningRequestSpec": {"request": None},
    "core.v1.Binding": {"target": {}},
    "core.v1.ContainerImage": {"names": None},
    "core.v1.ContainerStateRunning": {"startedAt": None},
    "core.v1.ContainerStateTerminated": {"startedAt": None, "finishedAt": None},
    "core.v1.ContainerStatus": {"state": {}, "lastState": {}},
    "core.v1.NodeRuntimeHandler": {"name": ""},
    "core.v1.ServiceStatus": {"loadBalancer": {}},
    "networking.v1.IngressStatus": {"loadBalancer": {}},
    "policy.v1.PodDisruptionBudgetStatus": {
        "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
    },
    "resource.v1.AllocationResult": {"devices": {}},
    "scheduling.v1alpha2.PodGroupSpec": {"podGroupTemplateRef": None},
    "scheduling.v1alpha2.PodGroupTemplate": {"schedulingConstraints": None},
    "scheduling.v1alpha2.PodGroupTemplateReference": {"workload": None},
    "storage.v1.VolumeError": {"time": None},
}  # fmt: skip
"""Fields that need not be given and are in JSON all the same when they are zero."""


def full_definitions() -> dict[str, dict[str, Any]]:
    """Read all definitions with their descriptions: a tree of its own for every caller."""
    # Found, not imported: the package's own code is not needed and would take longer than its data.
    found = find_spec("kubernetes_validate")
    assert found is not None
    assert found.submodule_search_locations
    text = Path(found.submodule_search_locations[0], _FILE).read_bytes()
    definitions: dict[str, dict[str, Any]] = orjson.loads(text)["$defs"]
    for name, defaults in DEFAULTS.items():
        for field, default in defaults.items():
            definitions[name]["properties"][field]["default"] = default
    return definitions


@cache
def _definitions() -> dict[str, dict[str, Any]]:
    definitions = full_definitions()
    messages = wire_facts()["messages"]
    for name, definition in definitions.items():
        _strip(definition)
        properties = definition.get("properties")
        if properties:
            definition["properties"] = _as_in_go(properties, _fields(_message(name), messages))
    return definitions


def _as_in_go(properties: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    """Return a type's properties in the order of its fields; objects begin with their kind and version.

    >>> list(_as_in_go({"apiVersion": 1, "kind": 2, "metadata": 3, "spec": 4}, ["metadata", "spec"]))
    ['kind', 'apiVersion', 'metadata', 'spec']
    """
    first = [key for key in ("kind", "apiVersion") if key not in fields]
    return {key: properties[key] for key in (*first, *fields, *properties) if key in properties}


def _fields(message: str, messages: dict[str, Any]) -> list[str]:
    """Return the JSON names of a type's fields in Go's order, those of types inside of it in their place."""
    found: list[str] = []
    for name, _number, kind in messages.get(message, ()):
        found += [name] if name else _fields(kind, messages)
    return found


def _strip(node: dict[str, Any]) -> None:
    """Drop descriptions, and the single-value enums of apiVersion and kind that nothing needs."""
    node.pop("description", None)
    properties = node.get("properties")
    if properties:
        for child in properties.values():
            _strip(child)
        if "x-kubernetes-group-version-kind" in node:
            for field in ("apiVersion", "kind"):
                if field in properties:
                    properties[field].pop("enum", None)
    for key in ("items", "additionalProperties"):
        child = node.get(key)
        if isinstance(child, dict):
            _strip(child)


@cache
def _names() -> dict[GVK, str]:
    names: dict[GVK, str] = {}
    for name, definition in _definitions().items():
        for gvk in definition.get("x-kubernetes-group-version-kind", ()):
            names.setdefault(GVK(gvk["group"], gvk["version"], gvk["kind"]), name)
    return names


def wire_facts() -> dict[str, Any]:
    """Read the table of kinds and of messages' fields anew; ``protobuf.plan`` says how it is written."""
    facts: dict[str, Any] = orjson.loads(
        resources.files("tiphys.apis").joinpath("data/protobuf_fields.json").read_bytes()
    )
    return facts


_UNANSWERED = "ResourcePoolStatusRequest"


def _omitted(name: str) -> frozenset[str]:
    """Return the plain scalars of a definition: those that protobuf leaves out when they are zero."""
    return _plain_fields().get(_message(name), frozenset())


def _shown(name: str) -> dict[str, Any]:
    return _times(name) | _SHOWN.get(_message(name), {})


def _times(name: str) -> dict[str, Any]:
    """Return the times of a condition: Go has them as values, and writes those that there are not as null."""
    if not name.endswith("Condition"):
        return {}
    fields = _definitions()[name].get("properties", {})
    return {key: None for key, node in fields.items() if node.get("$ref", "").endswith(_TIME)}


def _message(name: str) -> str:
    return ".".join(name.split(".")[-3:])


@cache
def _plain_fields() -> dict[str, frozenset[str]]:
    """Return those of each message, which is all of the table that is kept."""
    messages = wire_facts()["messages"]
    return {name: found for name in messages if (found := _plain(name, messages))}


def _plain(message: str, messages: dict[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for field, _, kind in messages.get(message, ()):
        if not field:
            found |= _plain(kind, messages)
        elif kind in _PLAIN:
            found.add(field)
    return frozenset(found - _SHOWN.get(message, {}).keys())


@cache
def _builder() -> SchemaBuilder:
    return SchemaBuilder(_definitions(), _omitted, _shown)


def definition_name(gvk: GVK) -> str | None:
    """Return the name under which OpenAPI publishes a kind, None where it has none."""
    return _names().get(gvk)


def definition(name: str) -> Schema:
    """Return the schema of a named definition (``io.k8s.api.core.v1.PodSpec``).

    Raises:
        KeyError: no such definition.
    """
    return _builder().definition(name)


def has_schema(gvk: GVK) -> bool:
    return gvk in _names()


@cache
def schema_for(gvk: GVK) -> Schema:
    """Return the schema of a built-in kind.

    Raises:
        KeyError: no built-in kind.
    """
    return definition(_names()[gvk])


@cache
def sections(gvk: GVK) -> tuple[str, ...]:
    """Return those of ``spec`` and ``status`` that a built-in kind has. Go writes them, empty or not.

    It does not where a status is a pointer: nothing has been said yet.
    """
    properties = schema_for(gvk).properties if has_schema(gvk) else {}
    names = ("spec",) if gvk.kind == _UNANSWERED else ("spec", "status")
    return tuple(name for name in names if name in properties)


SHOWN_SPECS = frozenset((("scheduling.k8s.io", "PodGroup"), ("scheduling.k8s.io", "Workload")))
"""Kinds (group, kind) whose specs have what need not be given and is there all the same."""


def object_meta() -> Schema:
    """Return the schema of ``metadata``, which custom resources share."""
    return definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
