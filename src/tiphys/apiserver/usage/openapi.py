"""The OpenAPI documents of ``metrics.k8s.io/v1beta1``: what ``kubectl explain`` says of its kinds.

Pure. Owns: its schemas and its rows, which no store knows. Called by ``usage.api``.
"""

from __future__ import annotations

from collections import ChainMap
from functools import cache
from typing import Any, Final

import orjson

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.release import RELEASE
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema.build import QUANTITY
from tiphys.apis.openapi import v2, v3, values
from tiphys.apis.openapi.definitions import Definition, built_in, built_in_v3, closure
from tiphys.apis.openapi.merge import RemoteSpec
from tiphys.apis.openapi.operations import META
from tiphys.apis.table import ResourceTable

_GROUP, _VERSION = "metrics.k8s.io", "v1beta1"
_PACKAGE: Final = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
_DURATION: Final = f"{META}Duration"
_VERBS: Final = ("get", "list")
_CONVENTIONS: Final = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"


def _row(kind: str, plural: str, *, namespaced: bool) -> Resource:
    gvk = GVK(_GROUP, _VERSION, kind)
    return Resource(_GROUP, _VERSION, kind, plural, "", namespaced, _VERBS, gvk, "")


def _ref(name: str, description: str) -> Definition:
    return {"$ref": f"#/$defs/{name}", "description": description}


def _usage() -> Definition:
    quantity = {"$ref": f"#/$defs/{QUANTITY}"}
    return {"type": "object", "description": "The memory usage is the memory working set.",
            "additionalProperties": quantity}  # fmt: skip


def _kind(kind: str, description: str, properties: dict[str, Any], head: dict[str, Any]) -> Definition:
    meta = {
        "metadata": _ref(
            f"{META}ObjectMeta", f"Standard object's metadata. More info: {_CONVENTIONS}#metadata"
        )
    }
    window = "Metrics were collected in the interval [Timestamp-Window, Timestamp]."
    own = {
        "timestamp": _ref(f"{META}Time", window), "window": _ref(_DURATION, window), **properties,
    }  # fmt: skip
    return {
        "description": description,
        "type": "object",
        "required": list(own),
        "properties": {**head, **meta, **own},
        "x-kubernetes-group-version-kind": [{"group": _GROUP, "version": _VERSION, "kind": kind}],
    }


def _list(kind: str, description: str, head: dict[str, Any]) -> Definition:
    items = {"type": "array", "description": description, "items": {"$ref": f"#/$defs/{_PACKAGE}{kind}"}}
    meta = _ref(f"{META}ListMeta", f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds")
    return {
        "description": f"{kind}List is a list of {kind}.",
        "type": "object",
        "required": ["items"],
        "properties": {**head, "metadata": meta, "items": items},
        "x-kubernetes-group-version-kind": [{"group": _GROUP, "version": _VERSION, "kind": f"{kind}List"}],
    }


def definitions(known: dict[str, Definition]) -> dict[str, Definition]:
    """Return the definitions of this group version; ``known`` has what they refer to."""
    common = known["io.k8s.api.core.v1.ConfigMap"]["properties"]
    head = {
        key: {"type": "string", "description": common[key]["description"]} for key in ("apiVersion", "kind")
    }
    container = {
        "description": "ContainerMetrics sets resource usage metrics of a container.",
        "type": "object",
        "required": ["name", "usage"],
        "properties": {
            "name": {
                "type": "string",
                "description": "Container name corresponding to the one from pod.spec.containers.",
            },
            "usage": _usage(),
        },
    }
    containers = {
        "type": "array",
        "description": "Metrics for all containers are collected within the same time window.",
        "items": {"$ref": f"#/$defs/{_PACKAGE}ContainerMetrics"},
    }
    node = "NodeMetrics sets resource usage metrics of a node."
    pod = "PodMetrics sets resource usage metrics of a pod."
    return {
        _DURATION: {"description": "Duration is a time as Go writes it, such as 10s.", "type": "string"},
        f"{_PACKAGE}ContainerMetrics": container,
        f"{_PACKAGE}NodeMetrics": _kind("NodeMetrics", node, {"usage": _usage()}, head),
        f"{_PACKAGE}NodeMetricsList": _list("NodeMetrics", "List of node metrics.", head),
        f"{_PACKAGE}PodMetrics": _kind("PodMetrics", pod, {"containers": containers}, head),
        f"{_PACKAGE}PodMetricsList": _list("PodMetrics", "List of pod metrics.", head),
    }


@cache
def spec() -> RemoteSpec:
    """Return both documents; they never change."""
    rows = (_row("NodeMetrics", "nodes", namespaced=False), _row("PodMetrics", "pods", namespaced=True))
    table = ResourceTable(rows)
    known = dict(built_in())
    own = definitions(known)
    known |= own
    wanted = {name: known[name] for name in closure(known, own)}

    def naming(gvk: GVK) -> str:
        return _PACKAGE + gvk.kind

    second = v2.parts(table, wanted, naming)
    told = {name: orjson.loads(orjson.dumps(own[name])) for name in own}
    for name, node in told.items():
        values.tell(name, node)
    every = ChainMap(told, built_in_v3())  # type: ignore[arg-type]
    third = v3.document(table, every, (_GROUP, _VERSION), RELEASE, naming)
    return RemoteSpec(f"/apis/{_GROUP}/{_VERSION}", second, document_v3=third)
