"""An update of a Service that leaves allocated values out keeps them.

Clients that apply manifests without clusterIP or nodePort do not mean to lose them.
"""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes


class ServiceAddresses:
    """Carries cluster IPs, families and node ports over from the old Service."""

    NAME = "ServiceAddresses"

    async def admit(self, attributes: Attributes) -> None:
        new, old = attributes.obj, attributes.old
        if attributes.operation != "UPDATE" or not attributes.core("services") or new is None or old is None:
            return
        keep_allocated(new["spec"], old["spec"])


def keep_allocated(spec: Object, before: Object) -> None:
    """Fill allocated values of ``before`` into ``spec`` where its type still needs them."""
    if spec.get("type") != "ExternalName" and before.get("type") != "ExternalName":
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for key in ("clusterIP", "clusterIPs"):
                if before.get(key):
                    spec[key] = before[key]
        elif spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
            if spec["clusterIP"] == before.get("clusterIP"):
                spec["clusterIPs"] = list(before.get("clusterIPs") or spec["clusterIPs"])
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(key) and before.get(key):
                spec[key] = before[key]
    exposed = ("NodePort", "LoadBalancer")
    if spec.get("type") in exposed and before.get("type") in exposed:
        held = {_port_key(port): port.get("nodePort") for port in before.get("ports") or ()}
        used = {port.get("nodePort") for port in spec.get("ports") or ()}
        for port in spec.get("ports") or ():
            known = held.get(_port_key(port))
            if not port.get("nodePort") and known and known not in used:
                port["nodePort"] = known
        local = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
        if local and not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]
    elif spec.get("type") not in exposed and before.get("type") in exposed:
        held_ports = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in held_ports:
                port.pop("nodePort", None)


def _port_key(port: Object) -> tuple[object, object]:
    return port.get("protocol", "TCP"), port.get("port")
