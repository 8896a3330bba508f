"""EndpointSlices of a Service: what to create, update and delete with as few writes as may be. Pure.

Endpoints stay in the slice they are in; new ones fill the slices that have room. Source: discovery/v1.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, controller_of, owner_reference
from tiphys.controllers import podstate
from tiphys.controllers.endpointslice import backends, topology
from tiphys.controllers.endpointslice.backends import PortSet

MAX_ENDPOINTS = 100
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"
_SAME_ZONE = ("PreferClose", "PreferSameZone")
_SAME_NODE = "PreferSameNode"


@dataclass(slots=True)
class Plan:
    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)
    """By family, where hints by zones' shares were asked for: why there are none, or ""."""


@dataclass(frozen=True, slots=True)
class _Group:
    """The slices of a service that have the same family and ports."""

    service: Object
    family: str
    ports: PortSet


def plan(
    service: Object,
    pods: Sequence[Object],
    slices: Sequence[Object],
    zones: Mapping[str, str] | None = None,
    shares: Mapping[str, float] | None = None,
) -> Plan:
    """Compare; ``slices`` are the service's own, ``zones`` maps the nodes that there are to their zone.

    ``shares`` are what each zone has of all processors, where that is known.
    """
    result = Plan()
    if podstate.is_deleting(service) or not backends.has_endpoints(service):
        return result
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    placed = pods if zones is None else [pod for pod in pods if _has_node(service, pod, zones)]
    for family in families:
        mine = [
            item for item in slices if item.get("addressType") == family and not podstate.is_deleting(item)
        ]
        wanted = _wanted(service, placed, family, zones or {})
        if topology.wants_hints(service):
            result.hints[family] = _share_out(wanted, mine, shares)
        _plan_family(result, service, wanted, mine, family)
    result.delete += [item for item in slices if item.get("addressType") not in families]
    return result


def _has_node(service: Object, pod: Object, nodes: Container[str]) -> bool:
    """False for a pod of a node that is gone: nobody would ever take its address out again."""
    node = (pod.get("spec") or {}).get("nodeName")
    return not node or node in nodes or bool(service["spec"].get("publishNotReadyAddresses"))


def _wanted(
    service: Object, pods: Sequence[Object], family: str, zones: Mapping[str, str]
) -> dict[PortSet, dict[str, Object]]:
    """Return the endpoints of a family by what they are, for each set of ports."""
    wanted: dict[PortSet, dict[str, Object]] = {}
    for pod in pods:
        if not backends.belongs(pod, terminating=True):
            continue
        for ip in backends.pod_ips(pod):
            if backends.ip_family(ip) == family:
                endpoint = endpoint_of(service, pod, ip, zones)
                wanted.setdefault(backends.ports_of(service, pod), {})[_identity(endpoint)] = endpoint
    # One empty slice shows that there is a service without anybody behind it.
    return wanted or {(): {}}


def _share_out(
    wanted: Mapping[PortSet, dict[str, Object]],
    slices: Sequence[Object],
    shares: Mapping[str, float] | None,
) -> str:
    """Give the endpoints their hints, in place; returns why they get none, or ""."""
    before = {
        one["addresses"][0]: one["hints"]["forZones"][0]["name"]
        for item in slices
        for one in item.get("endpoints") or ()
        if (one.get("hints") or {}).get("forZones")
    }
    endpoints = [one for group in wanted.values() for one in group.values()]
    found = topology.hints_for(endpoints, shares, before)
    for one in endpoints:
        if zone := found.zones.get(one["addresses"][0]):
            one["hints"] = {"forZones": [{"name": zone}]}
    return found.fault


def _plan_family(
    result: Plan,
    service: Object,
    wanted: Mapping[PortSet, dict[str, Object]],
    slices: list[Object],
    family: str,
) -> None:
    by_ports: dict[PortSet, list[Object]] = {}
    for item in slices:
        by_ports.setdefault(_ports(item), []).append(item)
    plan = Plan()
    for ports, endpoints in wanted.items():
        _plan_group(plan, _Group(service, family, ports), endpoints, by_ports.pop(ports, []))
    plan.delete += [item for group in by_ports.values() for item in group]
    _reuse(plan, service)
    for name in ("create", "update", "delete"):
        getattr(result, name).extend(getattr(plan, name))


def _reuse(plan: Plan, service: Object) -> None:
    """Change slices that would go into ones that would be made: one write in place of two."""
    for old in [item for item in plan.delete if _is_of(item, service)]:
        if not plan.create:
            return
        new = plan.create.pop()
        plan.delete.remove(old)
        labels = {"labels": new["metadata"]["labels"]}
        content = {key: new[key] for key in ("endpoints", "ports")}
        plan.update.append({**old, **content, "metadata": {**old["metadata"], **labels}})


def _is_of(item: Object, service: Object) -> bool:
    """True unless a slice is that of a former service of the name, which is still to be swept up."""
    owner = controller_of(item)
    return owner is not None and owner.get("uid") == service["metadata"].get("uid")


def _plan_group(result: Plan, group: _Group, endpoints: dict[str, Object], slices: list[Object]) -> None:
    """Keep endpoints where they are; new ones go first into slices that change anyway, then into one."""
    left = dict(endpoints)
    changed: list[tuple[Object, list[Object]]] = []
    same: list[Object] = []
    for item in sorted(slices, key=lambda found: str(found["metadata"]["name"])):
        mine = [left.pop(key) for old in item.get("endpoints") or () if (key := _identity(old)) in left]
        if not mine and endpoints:
            result.delete.append(item)
        elif _refresh(group.service, item, mine) != item:
            changed.append((item, mine))
        else:
            same.append(item)
    rest = list(left.values())
    for _, mine in sorted(changed, key=lambda pair: -len(pair[1])):
        room = MAX_ENDPOINTS - len(mine)
        mine.extend(rest[:room])
        rest = rest[room:]
    while rest:
        roomy = [item for item in same if len(item.get("endpoints") or ()) + len(rest) <= MAX_ENDPOINTS]
        if not roomy:
            result.create.append(_build(group, rest[:MAX_ENDPOINTS]))
            rest = rest[MAX_ENDPOINTS:]
            continue
        fullest = max(roomy, key=lambda item: len(item.get("endpoints") or ()))
        changed.append((fullest, [*(fullest.get("endpoints") or ()), *rest]))
        rest = []
    if not endpoints:
        _keep_one(result, group, changed, same)
    result.update += [_refresh(group.service, item, mine) for item, mine in changed]


def _keep_one(
    result: Plan,
    group: _Group,
    changed: list[tuple[Object, list[Object]]],
    same: list[Object],
) -> None:
    """Of slices without endpoints one is enough, and one there must be."""
    found = [*same, *(item for item, _ in changed)]
    result.delete += found[1:]
    changed[:] = [pair for pair in changed if pair[0] not in found[1:]]
    if not found:
        result.create.append(_build(group, []))


def endpoint_of(service: Object, pod: Object, ip: str, zones: Mapping[str, str]) -> Object:
    """Render one pod's address. Ready means: send here; serving and terminating tell the rest."""
    serving = podstate.is_ready(pod)
    terminating = podstate.is_deleting(pod)
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Object = {
        "addresses": [ip],
        "conditions": {
            "ready": published or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": backends.target_ref(pod),
    }
    node = (pod.get("spec") or {}).get("nodeName")
    if node:
        endpoint["nodeName"] = node
        if zones.get(node):
            endpoint["zone"] = zones[node]
    name = backends.hostname(service, pod)
    if name:
        endpoint["hostname"] = name
    distribution = None if topology.wants_hints(service) else service["spec"].get("trafficDistribution")
    hints = _hints(distribution, endpoint)
    if hints:
        endpoint["hints"] = hints
    return endpoint


def _hints(distribution: str | None, endpoint: Object) -> Object:
    """Say for whom a ready endpoint is near enough. Source: KEP-4444 and KEP-3015."""
    hints: Object = {}
    if not endpoint["conditions"]["ready"] or distribution not in (*_SAME_ZONE, _SAME_NODE):
        return hints
    if distribution == _SAME_NODE and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    if endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    return hints


def labels_of(service: Object, present: Mapping[str, str] | None = None) -> dict[str, str]:
    """The service's labels and ours; labels that others put on a slice under reserved names stay away."""
    own = {
        key: value
        for key, value in (service["metadata"].get("labels") or {}).items()
        if key not in (SERVICE_NAME, MANAGED_BY, HEADLESS)
    }
    own.update({SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER})
    if backends.is_headless(service):
        own[HEADLESS] = ""
    return own


def _build(group: _Group, endpoints: list[Object]) -> Object:
    meta = group.service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "labels": labels_of(group.service),
            "ownerReferences": [owner_reference({"apiVersion": "v1", "kind": "Service", "metadata": meta})],
        },
        "addressType": group.family,
        "endpoints": endpoints,
        "ports": backends.port_objects(group.ports),
    }


def _refresh(service: Object, item: Object, endpoints: list[Object]) -> Object:
    labels = labels_of(service)
    same = labels == (item["metadata"].get("labels") or {})
    before = list(item.get("endpoints") or ())
    desired = item if same else {**item, "metadata": {**item["metadata"], "labels": labels}}
    return desired if before == endpoints else {**desired, "endpoints": endpoints}


def _identity(endpoint: Object) -> str:
    ref = endpoint.get("targetRef") or {}
    return f"{ref.get('uid')}/{endpoint['addresses'][0]}"


def _ports(item: Object) -> PortSet:
    return tuple(
        (port.get("name") or "", port["port"], port.get("protocol") or "TCP", port.get("appProtocol") or "")
        for port in item.get("ports") or ()
        if port.get("port") is not None
    )
