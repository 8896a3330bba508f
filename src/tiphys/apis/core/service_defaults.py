"""Defaults of Services and Endpoints. IP families and addresses are the server's allocator's."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, fill, fill_optional, section

_AFFINITY_TIMEOUT_S = 10800


def default_service(service: Object) -> None:
    """Complete a Service."""
    spec = section(service, "spec")
    _default_affinity(spec)
    fill(spec, "type", "ClusterIP")
    for port in each(spec, "ports"):
        fill(port, "protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    kind = spec["type"]
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        fill(spec, "externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        fill_optional(spec, "internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        fill_optional(spec, "allocateLoadBalancerNodePorts", True)
        for ingress in each(service, "status", "loadBalancer", "ingress"):
            if ingress.get("ip"):
                fill_optional(ingress, "ipMode", "VIP")


def _default_affinity(spec: Object) -> None:
    fill(spec, "sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client_ip = section(section(spec, "sessionAffinityConfig"), "clientIP")
        fill_optional(client_ip, "timeoutSeconds", _AFFINITY_TIMEOUT_S)


def default_endpoints(endpoints: Object) -> None:
    """Complete an Endpoints object."""
    for subset in each(endpoints, "subsets"):
        for port in each(subset, "ports"):
            fill(port, "protocol", "TCP")
