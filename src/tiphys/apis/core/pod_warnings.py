"""Warnings: what the API lets through but tells the client about."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_defaults import CONTAINER_LISTS
from tiphys.apis.defaulting import each, peek

_OLD_NODE_LABELS = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _duplicates(container: Object, path: str) -> list[str]:
    """Variables and ports that another one of the same container hides."""
    found: list[str] = []
    seen: dict[str, int] = {}
    for index, env in enumerate(each(container, "env")):
        name = str(env.get("name"))
        if name in seen and f"$({name})" not in str(env.get("value") or ""):
            found.append(
                f'{path}.env[{index}]: hides previous definition of "{name}", '
                "which may be dropped when using apply"
            )
        seen[name] = index
    ports: dict[tuple[object, object], int] = {}
    for index, port in enumerate(each(container, "ports")):
        key = (port.get("containerPort"), port.get("protocol") or "TCP")
        if key in ports and not port.get("hostPort"):
            found.append(f"{path}.ports[{index}]: duplicate port definition with {path}.ports[{ports[key]}]")
        ports.setdefault(key, index)
    return found


def spec_warnings(spec: Object, path: str) -> list[str]:
    """Return the warnings about a pod's spec, in a pod or a template."""
    found = [
        f'{path}.nodeSelector[{key}]: deprecated since v1.14; use "{_OLD_NODE_LABELS[key]}" instead'
        for key in sorted(peek(spec, "nodeSelector"))
        if key in _OLD_NODE_LABELS
    ]
    for kind in CONTAINER_LISTS:
        for index, container in enumerate(each(spec, kind)):
            found += _duplicates(container, f"{path}.{kind}[{index}]")
    seen: set[str] = set()
    for index, alias in enumerate(each(spec, "hostAliases")):
        address = str(alias.get("ip"))
        if address in seen:
            text = f"duplicate ip {address}, which may be dropped when using apply"
            found.append(f"{path}.hostAliases[{index}].ip: {text}")
        seen.add(address)
    return found


def pod_warnings(pod: Object, old: Object | None) -> list[str]:
    """Return the warnings about a Pod; its name only matters while it is new."""
    found = spec_warnings(peek(pod, "spec"), "spec")
    name = str(peek(pod, "metadata").get("name") or "")
    faults = names.is_dns1123_label(name) if name and old is None else []
    if faults:
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(faults)}]"
        )
    return found


def template_warnings(obj: Object, _old: Object | None) -> list[str]:
    """Return the warnings about the template of a workload."""
    spec = peek(obj, "spec")
    if "jobTemplate" in spec:
        return spec_warnings(
            peek(spec, "jobTemplate", "spec", "template", "spec"), "spec.jobTemplate.spec.template.spec"
        )
    return spec_warnings(peek(spec, "template", "spec"), "spec.template.spec")


def service_warnings(service: Object, _old: Object | None) -> list[str]:
    """Return the warnings about a Service."""
    spec = peek(service, "spec")
    found: list[str] = []
    if spec.get("externalIPs") and spec.get("type") == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("clusterIP") == "None" and spec.get("sessionAffinity") == "ClientIP":
        found.append("spec.SessionAffinity is ignored for headless services")
    return found
