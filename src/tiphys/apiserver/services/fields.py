"""The fields of a Service that are allocated: what a client left out, what no longer applies. Pure.

Functions change the ``spec`` they are given, never the one from before.

Source: the reference of ServiceSpec (clusterIP and clusterIPs mirror each other; which types carry what).
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.service_validation import has_health_port

EXPOSED = ("NodePort", "LoadBalancer")


def has_cluster_ip(spec: Object) -> bool:
    """Whether the type has a value in ``clusterIP``; ``None`` counts as one."""
    return spec.get("type") in ("ClusterIP", *EXPOSED)


def has_node_ports(spec: Object) -> bool:
    return spec.get("type") in EXPOSED


def gives_node_ports(spec: Object) -> bool:
    """Whether each entry gets a node port; a load balancer may do without them."""
    balances = spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort" or balances


def is_external(spec: Object) -> bool:
    """Whether traffic from outside of the cluster can reach the Service."""
    kind = spec.get("type")
    return kind in EXPOSED or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def is_headless(spec: Object) -> bool:
    return (spec.get("clusterIPs") or [spec.get("clusterIP")]) == ["None"]


def node_ports(spec: Object) -> list[int]:
    """Return every node port once, that of the health check included."""
    health = spec.get("healthCheckNodePort")
    return list(dict.fromkeys([*_numbers(spec), *([health] if health else ())]))


def entry_ports(spec: Object) -> set[int]:
    """Return the node ports of ``spec.ports``."""
    return set(_numbers(spec))


def _numbers(spec: Object) -> list[int]:
    return [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]


def cluster_ips(spec: Object) -> list[str]:
    """Return the addresses that a Service holds."""
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in found if address and address != "None"]


def _same(new: Object, old: Object, *keys: str) -> bool:
    return all((new.get(key) or None) == (old.get(key) or None) for key in keys)


def keep_allocated(new: Object, old: Object) -> None:
    """Take over what was allocated before where an update says nothing of it: applying twice is no change."""
    if has_cluster_ip(old) and has_cluster_ip(new):
        if not new.get("clusterIP") and old.get("clusterIP"):
            new["clusterIP"] = old["clusterIP"]
        if not new.get("clusterIPs") and new.get("clusterIP") == old.get("clusterIP"):
            _set(new, "clusterIPs", list(old.get("clusterIPs") or ()))
    if gives_node_ports(old) and gives_node_ports(new):
        _keep_node_ports(new, old)
    if has_health_port(old) and has_health_port(new) and not new.get("healthCheckNodePort"):
        _set(new, "healthCheckNodePort", old.get("healthCheckNodePort"))


def _keep_node_ports(new: Object, old: Object) -> None:
    used = entry_ports(old) & entry_ports(new)
    by_name = {port.get("name") or "": port.get("nodePort") for port in old.get("ports") or ()}
    for port in new.get("ports") or ():
        known = by_name.get(port.get("name") or "")
        if not port.get("nodePort") and known and known not in used:
            port["nodePort"] = known


def mirror_cluster_ips(new: Object, old: Object | None) -> None:
    """Make the plural follow where only the singular was given or changed: old clients know no other."""
    single, plural = new.get("clusterIP") or "", list(new.get("clusterIPs") or ())
    if old is None:
        if single and not plural:
            new["clusterIPs"] = [single]
        return
    before, before_plural = old.get("clusterIP") or "", list(old.get("clusterIPs") or ())
    if single == before:
        if single and not plural:
            new["clusterIPs"] = before_plural or [single]
    elif plural == before_plural:
        _set(new, "clusterIPs", [single] if single else [])


def drop_inapplicable(new: Object, old: Object) -> None:
    """Let go of values that the new type has no use for, unless the client has just set them."""
    if has_cluster_ip(old) and not has_cluster_ip(new):
        if _same(new, old, "clusterIP", "clusterIPs"):
            _drop(new, "clusterIP", "clusterIPs")
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if _same(new, old, key):
                _drop(new, key)
    if has_node_ports(old) and not has_node_ports(new) and entry_ports(new) <= entry_ports(old):
        for port in new.get("ports") or ():
            port.pop("nodePort", None)
    if has_health_port(old) and not has_health_port(new) and _same(new, old, "healthCheckNodePort"):
        _drop(new, "healthCheckNodePort")
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if new.get(key) == old.get(key):
                _drop(new, key)
    if is_external(old) and not is_external(new) and _same(new, old, "externalTrafficPolicy"):
        _drop(new, "externalTrafficPolicy")


def drop_internal_policy(spec: Object) -> None:
    """Let go of a policy that an external name has no use for; one that does not exist is left to be refused.

    Old servers gave every Service one, so clients still send it: upstream takes it and never shows it.
    """
    if spec.get("type") == "ExternalName" and spec.get("internalTrafficPolicy") in ("Cluster", "Local"):
        del spec["internalTrafficPolicy"]


def _set(spec: Object, key: str, value: Any) -> None:
    if value:
        spec[key] = value
    else:
        spec.pop(key, None)


def _drop(spec: Object, *keys: str) -> None:
    for key in keys:
        spec.pop(key, None)
