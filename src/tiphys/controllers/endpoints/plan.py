"""The legacy Endpoints object of a Service. Pure. Source: core/v1 Endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate
from tiphys.controllers.endpointslice import backends
from tiphys.controllers.endpointslice.backends import PortSet
from tiphys.controllers.endpointslice.plan import HEADLESS
from tiphys.controllers.endpointslice.trigger import marked

CAPACITY = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"


def plan(
    service: Object, pods: Sequence[Object], present: Object | None, *, since: str = ""
) -> Object | None:
    """Return the object to write, or None when the present one is right.

    ``since`` is the time of the change that made us look: alone it is no reason to write.
    """
    subsets, truncated = build_subsets(service, pods)
    labels = {**(service["metadata"].get("labels") or {}), MANAGED_BY: MANAGER}
    labels.pop(HEADLESS, None)
    if backends.is_headless(service):
        labels[HEADLESS] = ""
    meta = (present or {}).get("metadata") or {}
    annotations = dict(meta.get("annotations") or {})
    annotations.pop(OVER_CAPACITY, None)
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    if present is not None:
        same = (present.get("subsets") or [], meta.get("labels") or {}, meta.get("annotations") or {})
        if same == (subsets, labels, annotations):
            return None
    metadata: Object = {
        **meta,
        "name": service["metadata"]["name"],
        "namespace": service["metadata"]["namespace"],
        "labels": labels,
    }
    metadata = marked({**metadata, "annotations": annotations}, since)
    desired: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    if subsets:
        desired["subsets"] = subsets
    return desired


def build_subsets(service: Object, pods: Sequence[Object]) -> tuple[list[Object], bool]:
    """Group ports by the addresses that serve them; beyond the capacity, unready ones are left out first."""
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    family = (service["spec"].get("ipFamilies") or ["IPv4"])[0]
    entries: list[tuple[bool, str, PortSet, Object]] = []
    for pod in pods:
        if not backends.belongs(pod, terminating=published):
            continue
        ports = backends.ports_of(service, pod)
        if not ports and (service["spec"].get("ports") or not backends.is_headless(service)):
            continue
        ips = [ip for ip in backends.pod_ips(pod) if backends.ip_family(ip) == family]
        if ips:
            ready = published or podstate.is_ready(pod)
            entries.append((not ready, ips[0], ports, _address(service, pod, ips[0])))
    entries.sort(key=lambda entry: entry[:3])
    truncated = len(entries) > CAPACITY
    served: dict[PortSet, list[tuple[bool, Object]]] = {}
    """By single ports; none at all is one of its own."""
    for unready, _, ports, address in entries[:CAPACITY]:
        for port in ports or (None,):
            served.setdefault((port,) if port else (), []).append((unready, address))
    return _subsets(served), truncated


def _subsets(served: Mapping[PortSet, Sequence[tuple[bool, Object]]]) -> list[Object]:
    """Put ports together that the very same addresses serve."""
    groups: dict[frozenset[tuple[str, str, bool]], tuple[PortSet, Sequence[tuple[bool, Object]]]] = {}
    for port, found in sorted(served.items()):
        who = frozenset((one["ip"], one["targetRef"]["uid"], unready) for unready, one in found)
        ports, _ = groups.get(who, ((), found))
        groups[who] = ((*ports, *port), found)
    return [_subset(ports, found) for ports, found in groups.values()]


def _subset(ports: PortSet, found: Sequence[tuple[bool, Object]]) -> Object:
    subset: Object = {}
    for unready, address in found:
        subset.setdefault("notReadyAddresses" if unready else "addresses", []).append(address)
    rendered = backends.port_objects(ports)
    for port in rendered:
        if not port["name"]:
            del port["name"]
    return {**subset, "ports": rendered} if rendered else subset


def _address(service: Object, pod: Object, ip: str) -> Object:
    address: Object = {"ip": ip, "targetRef": backends.target_ref(pod)}
    node = (pod.get("spec") or {}).get("nodeName")
    if node:
        address["nodeName"] = node
    name = backends.hostname(service, pod)
    if name:
        address["hostname"] = name
    return address
