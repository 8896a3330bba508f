"""Why nobody comes in through an Ingress: no controller takes it, or it leads to what is not there. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.meta import Object
from tiphys.ctl.why.other import other_findings
from tiphys.ctl.why.scene import Finding, Scene, section, where

_RESOURCE = "ingresses"
_ANNOTATION = "kubernetes.io/ingress.class"
_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_CLASSES = "kubectl get ingressclasses"


def ingress_findings(ingress: Object, scene: Scene) -> list[Finding]:
    """Explain an Ingress; empty when its class and its backends are there and it has an address."""
    found = other_findings(ingress, _RESOURCE, scene)
    taken = _class(ingress, scene)
    found += taken + _services(ingress, scene) + _secrets(ingress, scene)
    addressed = section(section(ingress, "status"), "loadBalancer").get("ingress")
    if not addressed and not taken:
        text = "It has no address yet: the controller of its class has not taken it up, or does not run."
        describe = f"kubectl describe ingress {ingress['metadata']['name']}{where(ingress)}"
        found.append(Finding(text, ("status.loadBalancer: empty",), describe))
    return found


def class_of(ingress: Object) -> str:
    """Return the name of the class that an Ingress asks for, in its field or as it was done before."""
    annotations = ingress["metadata"].get("annotations") or {}
    return str(ingress["spec"].get("ingressClassName") or annotations.get(_ANNOTATION) or "")


def backends(ingress: Object) -> list[tuple[str, str, str | int]]:
    """Return where in the spec a Service is meant, its name, and its port by name or number."""
    return list(_backends(ingress["spec"]))


def secrets(ingress: Object) -> list[str]:
    """Return the names of the Secrets with its certificates."""
    names = (item.get("secretName") for item in ingress["spec"].get("tls") or ())
    return [str(name) for name in names if name]


def _backends(spec: Object) -> Iterator[tuple[str, str, str | int]]:
    meant = [("spec.defaultBackend", spec.get("defaultBackend"))]
    for rule in spec.get("rules") or ():
        for path in section(rule, "http").get("paths") or ():
            shown = f"spec.rules[{rule.get('host') or '*'}{path.get('path') or ''}]"
            meant.append((shown, path.get("backend")))
    for shown, backend in meant:
        service = (backend or {}).get("service")
        if service:
            port = service.get("port") or {}
            yield shown, str(service.get("name")), port.get("name") or port.get("number") or 0


def _class(ingress: Object, scene: Scene) -> list[Finding]:
    name = class_of(ingress)
    if not name:
        marked = [one for one in scene.all("ingressclasses") if _is_default(one)]
        if marked:
            return []
        text = "It names no class, and no class is the default: most controllers leave it alone."
        return [Finding(text, ("spec.ingressClassName: not set",), _CLASSES)]
    if not scene.missing("ingressclasses", name):
        return []
    if not ingress["spec"].get("ingressClassName"):
        return []  # in the annotation it need not be an object
    text = f"The class {name} does not exist: no controller takes it."
    return [Finding(text, (f"spec.ingressClassName: {name}",), _CLASSES)]


def _is_default(item: Object) -> bool:
    return bool((item["metadata"].get("annotations") or {}).get(_DEFAULT) == "true")


def _services(ingress: Object, scene: Scene) -> list[Finding]:
    namespace = ingress["metadata"].get("namespace", "")
    found: dict[str, Finding] = {}
    for shown, name, port in backends(ingress):
        service = scene.get("services", name, namespace)
        if scene.missing("services", name, namespace):
            text = f"It leads to the Service {name}, which does not exist."
            found.setdefault(text, Finding(text, (shown,), f"kubectl get services{where(ingress)}"))
        elif service is not None and not _has_port(service, port):
            ports = ", ".join(str(one.get("port")) for one in service["spec"].get("ports") or ())
            text = f"The Service {name}, to which it leads, has no port {port}."
            facts = (shown, f"ports of the Service: {ports or 'none'}")
            look = f"kubectl get service {name}{where(ingress)} -o yaml"
            found.setdefault(text, Finding(text, facts, look))
    return list(found.values())


def _has_port(service: Object, port: str | int) -> bool:
    ports = service["spec"].get("ports") or ()
    return any(port in (item.get("name"), item.get("port")) for item in ports)


def _secrets(ingress: Object, scene: Scene) -> list[Finding]:
    namespace = ingress["metadata"].get("namespace", "")
    return [
        Finding(
            f"Its certificate is to be in the Secret {name}, which does not exist.",
            (f"spec.tls: {name}",),
            f"kubectl get secrets{where(ingress)}",
        )
        for name in secrets(ingress)
        if scene.missing("secrets", name, namespace)
    ]
