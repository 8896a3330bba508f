"""Which pods stand behind a Service, and under which ports. Pure; shared with the endpoints controller.

Source: core/v1 Service, discovery/v1 EndpointSlice.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate

PortSet = tuple[tuple[str, int, str, str], ...]
"""(name, number, protocol, appProtocol) of every port that one pod serves."""


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def has_endpoints(service: Object) -> bool:
    """True when endpoints are made from pods: a selector, and not just another name."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def belongs(pod: Object, *, terminating: bool) -> bool:
    """True for a pod with an address that has not finished; ``terminating`` lets leaving ones in."""
    if podstate.is_terminal(pod) or not pod_ips(pod):
        return False
    return terminating or not podstate.is_deleting(pod)


def pod_ips(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    found = [item.get("ip") for item in status.get("podIPs") or ()]
    return [ip for ip in found if ip] or [ip for ip in [status.get("podIP")] if ip]


def ip_family(ip: str) -> str:
    return "IPv6" if ":" in ip else "IPv4"


def ports_of(service: Object, pod: Object) -> PortSet:
    """Resolve the service's ports in one pod; a name that the pod does not know is left out."""
    result = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = _resolve(pod, port.get("targetPort") or port["port"], protocol)
        if number is not None:
            result.append((port.get("name") or "", number, protocol, port.get("appProtocol") or ""))
    return tuple(result)


def _resolve(pod: Object, target: int | str, protocol: str) -> int | None:
    if isinstance(target, int):
        return target
    for container in _serving_containers(pod):
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def _serving_containers(pod: Object) -> Iterable[Object]:
    spec = pod.get("spec") or {}
    yield from spec.get("containers") or ()
    # Sidecars run as long as the pod and may serve, too.
    yield from (item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always")


def hostname(service: Object, pod: Object) -> str:
    """The pod's own DNS name under the service, empty when it has none."""
    spec = pod.get("spec") or {}
    matches = spec.get("subdomain") == service["metadata"]["name"]
    same = pod["metadata"].get("namespace") == service["metadata"].get("namespace")
    return str(spec.get("hostname") or "") if matches and same else ""


def target_ref(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def port_objects(ports: PortSet) -> list[Object]:
    """Render ports as both endpoint kinds write them."""
    result = []
    for name, number, protocol, app in ports:
        port: Object = {"name": name, "port": number, "protocol": protocol}
        if app:
            port["appProtocol"] = app
        result.append(port)
    return result
