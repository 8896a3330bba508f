"""What a pod may learn about itself: ``fieldRef`` and ``resourceFieldRef``. Pure.

Used for variables and for downwardAPI volumes.
Source: "Downward API".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import parse
from tiphys.kubelet.cm.qos import spec_containers

_SUBSCRIPT = re.compile(r"^metadata\.(annotations|labels)\['([^']*)'\]$")


class DownwardProblem(TiphysError):
    """A field that cannot be read."""


@dataclass(frozen=True, slots=True)
class PodAddresses:
    """Addresses as known when the value is read."""

    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node can give to pods: limits default to it."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    ephemeral_storage_bytes: int = 0


def _escape(text: str) -> str:
    """Quote as a Go string literal does, for what labels and annotations may hold."""
    short = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b"}
    return "".join(short.get(char, char if char.isprintable() else f"\\x{ord(char):02x}") for char in text)


def format_map(values: Mapping[str, str] | None) -> str:
    """Return a map as lines of ``key="value"``, sorted."""
    return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted((values or {}).items()))


def field_value(pod: Object, path: str, addresses: PodAddresses) -> str:
    """Return one field as text. Raises DownwardProblem for a path that is not served."""
    meta, spec = pod["metadata"], pod["spec"]
    if subscript := _SUBSCRIPT.match(path):
        return str((meta.get(subscript[1]) or {}).get(subscript[2], ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(meta.get(path.partition(".")[2], ""))
        case "metadata.labels" | "metadata.annotations":
            return format_map(meta.get(path.partition(".")[2]))
        case "spec.nodeName":
            return str(spec.get("nodeName", ""))
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName", ""))
        case "status.podIP":
            return addresses.pod_ips[0] if addresses.pod_ips else ""
        case "status.podIPs":
            return ",".join(addresses.pod_ips)
        case "status.hostIP":
            return addresses.host_ips[0] if addresses.host_ips else ""
        case "status.hostIPs":
            return ",".join(addresses.host_ips)
    raise DownwardProblem(f"unsupported fieldPath: {path}")


def resource_value(
    pod: Object, reference: dict[str, Any], container: dict[str, Any] | None, node: NodeFacts
) -> str:
    """Return a request or limit divided by the reference's divisor, rounded up.

    Raises:
        DownwardProblem: no such container or resource.
    """
    name = reference.get("containerName")
    if name:
        container = next((item for item in spec_containers(pod) if item["name"] == name), None)
    if container is None:
        raise DownwardProblem(f"container {name} not found")
    kind, _, resource = reference["resource"].partition(".")
    if kind not in ("requests", "limits") or not resource:
        raise DownwardProblem(f"unsupported container resource : {reference['resource']}")
    resources = container.get("resources") or {}
    text = (resources.get(kind) or {}).get(resource)
    if text is None and kind == "requests":
        text = (resources.get("limits") or {}).get(resource)
    if text is not None:
        milli = parse(str(text)).milli()
    elif kind == "limits":
        defaults = {
            "cpu": node.cpu_milli,
            "memory": node.memory_bytes * 1000,
            "ephemeral-storage": node.ephemeral_storage_bytes * 1000,
        }
        milli = defaults.get(resource, 0)
    else:
        milli = 0
    divisor = parse(str(reference.get("divisor") or "0")).milli() or 1000
    return str(-(-milli // divisor))
