"""A pod may not be resized beyond what its node could ever give.

Source: KEP-1287.
"""

from __future__ import annotations

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import Quantity
from tiphys.apis.core.pod_requests import aggregate_requests
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find

_OS = "kubernetes.io/os"


class PodResizeValidator:
    """Refuses requests above the node's allocatable, and resizes where the kernel cannot."""

    NAME = "PodResizeValidator"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({"resize"})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        pod, old = attributes.obj, attributes.old
        if pod is None or old is None or pod["spec"] == old["spec"]:
            return
        name = pod["spec"].get("nodeName")
        if not name:
            return
        node = await find(attributes.call.backend, "", "v1", "nodes", name)
        if node is None:
            raise attributes.refuse(f'node "{name}" not found')
        lacking = _lacking(pod, node)
        if lacking:
            raise attributes.refuse(f"Node didn't have enough allocatable resources: {'; '.join(lacking)}")
        system = (node["metadata"].get("labels") or {}).get(_OS, "")
        if system != "linux":
            raise attributes.refuse(
                f'pod resize is only supported on linux nodes, node "{name}" is "{system}"'
            )


def _lacking(pod: Object, node: Object) -> list[str]:
    """Return what the node could not give if it were empty: processors in thousandths, memory in bytes."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    spec = pod["spec"]
    requests: dict[str, Quantity] = aggregate_requests(spec)
    of_the_pod = (spec.get("resources") or {}).get("requests") or {}
    requests |= {name: quantity.parse(str(value)) for name, value in of_the_pod.items()}
    found = []
    for resource in ("cpu", "memory"):
        if resource not in requests:
            continue
        wanted = requests[resource] + _parsed(spec.get("overhead"), resource)
        there = _parsed(allocatable, resource)
        asked, given = (
            (wanted.milli(), there.milli()) if resource == "cpu" else (wanted.value(), there.value())
        )
        if asked > given:
            found.append(f"{resource}, requested: {asked}, allocatable: {given}")
    return found


def _parsed(amounts: Object | None, resource: str) -> Quantity:
    return quantity.parse(str((amounts or {}).get(resource, "0")))
