"""EndpointSlices that mirror Endpoints made by hand. Pure. Source: KEP-1713."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiphys.apimachinery.meta import Object, owner_reference
from tiphys.controllers.endpointslice import backends
from tiphys.controllers.endpointslice.plan import MANAGED_BY, SERVICE_NAME, Plan

MIRROR = "endpointslicemirroring-controller.k8s.io"
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_UNCOPIED = (
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
)
_MAX_ADDRESSES = 1000
_Group = tuple[str, tuple[tuple[str, int, str, str], ...]]
"""Address family and ports."""


def is_mirrored(endpoints: Object | None, service: Object | None) -> bool:
    """True for endpoints of a service that selects no pods, unless they ask to be left alone."""
    if endpoints is None or service is None or endpoints["metadata"].get("deletionTimestamp"):
        return False
    meta = endpoints["metadata"]
    if (meta.get("labels") or {}).get(_SKIP) == "true" or _LEADER in (meta.get("annotations") or {}):
        return False
    spec = service["spec"]
    return spec.get("type") != "ExternalName" and not spec.get("selector")


def plan(endpoints: Object | None, service: Object | None, slices: Sequence[Object]) -> Plan:
    """Compare with the ``slices`` that mirror already."""
    result = Plan()
    if endpoints is None or not is_mirrored(endpoints, service):
        result.delete = list(slices)
        return result
    left = list(slices)
    for group, found in _groups(endpoints).items():
        desired = _build(endpoints, group, found)
        present = next((item for item in left if _group_of(item) == group), None)
        if present is None:
            result.create.append(desired)
            continue
        left.remove(present)
        merged = _merge(present, desired)
        if merged != present:
            result.update.append(merged)
    result.delete = left
    return result


def skipped(endpoints: Object) -> int:
    """Return how many addresses are more than a subset may have."""
    counts = (
        sum(len(subset.get(key) or ()) for key in ("addresses", "notReadyAddresses"))
        for subset in endpoints.get("subsets") or ()
    )
    return sum(max(count - _MAX_ADDRESSES, 0) for count in counts)


def skipped_event(endpoints: Object | None) -> tuple[str, str, str] | None:
    """Say how many addresses are more than a subset may have; None where all are mirrored."""
    count = skipped(endpoints or {})
    if not count:
        return None
    text = (
        f"A max of {_MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. "
        f"{count} addresses were skipped"
    )
    return "Warning", "TooManyAddressesToMirror", text


def _groups(endpoints: Object) -> dict[_Group, list[Object]]:
    groups: dict[_Group, list[Object]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = _ports(subset)
        left = _MAX_ADDRESSES
        for key, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in (subset.get(key) or ())[:left]:
                group = (backends.ip_family(address["ip"]), ports)
                groups.setdefault(group, []).append(_endpoint(address, ready=ready))
                left -= 1
    return groups


def _endpoint(address: Object, *, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for key in ("hostname", "nodeName", "targetRef"):
        if address.get(key):
            endpoint[key] = address[key]
    return endpoint


def _build(endpoints: Object, group: _Group, found: list[Object]) -> Object:
    meta = endpoints["metadata"]
    family, ports = group
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in _UNCOPIED}
    metadata: Object = {
        "generateName": f"{meta['name']}-",
        "namespace": meta["namespace"],
        "labels": {**(meta.get("labels") or {}), SERVICE_NAME: meta["name"], MANAGED_BY: MIRROR},
        "ownerReferences": [owner_reference({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta})],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": found,
        "ports": backends.port_objects(ports),
    }


def _merge(present: Object, desired: Object) -> Object:
    meta = {**present["metadata"], "labels": desired["metadata"]["labels"]}
    meta["ownerReferences"] = desired["metadata"]["ownerReferences"]
    meta.pop("annotations", None)
    if desired["metadata"].get("annotations"):
        meta["annotations"] = desired["metadata"]["annotations"]
    return {**present, "metadata": meta, "endpoints": desired["endpoints"]}


def _group_of(item: Object) -> _Group:
    return str(item.get("addressType")), _ports(item)


def _ports(holder: Mapping[str, object]) -> tuple[tuple[str, int, str, str], ...]:
    found: list[Object] = list(holder.get("ports") or ())  # type: ignore[call-overload]
    return tuple(
        sorted(
            (
                port.get("name") or "",
                port["port"],
                port.get("protocol") or "TCP",
                port.get("appProtocol") or "",
            )
            for port in found
        )
    )
