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


def complete_stored_service(service: Object) -> None:
    """Older servers knew one address and no families, and gave external names a policy.

    What families a Service without an address meant is not known: IPv4, and both where nothing selects pods.
    """
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        spec.pop("internalTrafficPolicy", None)
        return
    single = spec.get("clusterIP")
    if single and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [single]
    if spec.get("ipFamilies") or not single:
        return
    if single == "None":
        spec["ipFamilies"] = ["IPv4"] if spec.get("selector") else ["IPv4", "IPv6"]
    else:
        spec["ipFamilies"] = ["IPv6" if ":" in address else "IPv4" for address in spec["clusterIPs"]]
    spec["ipFamilyPolicy"] = "SingleStack" if len(spec["ipFamilies"]) == 1 else "RequireDualStack"


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
