"""What the API tells clients about Services that it lets through."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.address_warnings import cidr_warnings, ip_warnings
from tiphys.apis.defaulting import peek

_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def service_warnings(service: Object, _old: Object | None) -> list[str]:
    """Return the warnings about a Service."""
    spec = peek(service, "spec")
    kind, addresses = spec.get("type"), list(spec.get("externalIPs") or ())
    found: list[str] = []
    if _HINTS in peek(service, "metadata", "annotations"):
        found.append(f"annotation {_HINTS} is deprecated, please use {_MODE} instead")
    headless = kind in (None, "ClusterIP") and spec.get("clusterIP") == "None"
    if headless:
        found += _ignored(spec)
    else:
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            found += ip_warnings(f"spec.clusterIPs[{index}]", address)
    for index, address in enumerate(addresses):
        found += ip_warnings(f"spec.externalIPs[{index}]", address)
    if addresses and not headless and kind != "ExternalName":
        found.append("spec.externalIPs is deprecated")
    if spec.get("loadBalancerIP"):
        found += ip_warnings("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += cidr_warnings(f"spec.loadBalancerSourceRanges[{index}]", cidr)
    if addresses and kind == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("externalName") and kind != "ExternalName":
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _ignored(spec: Object) -> list[str]:
    """What has no meaning where there is no address."""
    found = [
        f"spec.{key} is ignored for headless services"
        for key in ("loadBalancerIP", "externalIPs")
        if spec.get(key)
    ]
    if spec.get("sessionAffinity") not in (None, "None"):
        found.append("spec.SessionAffinity is ignored for headless services")
    return found
