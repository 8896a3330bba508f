"""Why a Service has no endpoints, or no address."""

from __future__ import annotations

from difflib import SequenceMatcher

from tiphys.apimachinery.labels import format_labels, from_set
from tiphys.apimachinery.meta import Object
from tiphys.ctl.why.deletion import deletion_findings
from tiphys.ctl.why.pod import pod_findings
from tiphys.ctl.why.scene import Finding, Scene, condition_is, flag, where

_NEAR = 3
_LIKE = 0.5
_NAME = "kubernetes.io/service-name"


def service_findings(service: Object, scene: Scene) -> list[Finding]:
    """Explain a Service that nobody answers for; empty when it has ready endpoints."""
    spec, found = service["spec"], deletion_findings(service, "services", scene)
    if spec.get("type") == "ExternalName":
        return [
            *found,
            Finding(
                f"It is an alias for {spec.get('externalName')}, without endpoints or an address of its own.",
                ("spec.type: ExternalName",),
                f"nslookup {spec.get('externalName')}",
            ),
        ]
    found += _load_balancer(service)
    if _ready_endpoints(service, scene):
        return found
    if not spec.get("selector"):
        return [
            *found,
            Finding(
                "It has no selector: its endpoints are for you to make.",
                ("spec.selector: not set",),
                f"kubectl get endpointslices{where(service)} -l {_NAME}={service['metadata']['name']}",
            ),
        ]
    return found + _selected(service, scene)


def _load_balancer(service: Object) -> list[Finding]:
    if service["spec"].get("type") != "LoadBalancer":
        return []
    if ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return []
    return [
        Finding(
            "No load balancer has been given to it: that is a cloud controller's work (or MetalLB's).",
            ("spec.type: LoadBalancer, status.loadBalancer: empty",),
            f"kubectl describe service {service['metadata']['name']}{where(service)}",
        )
    ]


def _ready_endpoints(service: Object, scene: Scene) -> int:
    count = 0
    for piece in scene.all("endpointslices"):
        labels = piece["metadata"].get("labels") or {}
        if (
            labels.get(_NAME) == service["metadata"]["name"]
            and piece["metadata"].get("namespace") == service["metadata"].get("namespace")
            and piece.get("ports")
        ):
            ready = [
                (item.get("conditions") or {}).get("ready", True) for item in piece.get("endpoints") or ()
            ]
            count += sum(1 for each in ready if each is not False)
    return count


def _selected(service: Object, scene: Scene) -> list[Finding]:
    namespace, selector = service["metadata"].get("namespace", ""), service["spec"]["selector"]
    here = [pod for pod in scene.all("pods") if pod["metadata"].get("namespace", "") == namespace]
    chosen = [pod for pod in here if from_set(selector).matches(pod["metadata"].get("labels") or {})]
    alive = [pod for pod in chosen if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    shown = f"spec.selector: {format_labels(selector)}"
    if not alive:
        return [_none(chosen, here, selector, shown, namespace)]
    ready = [pod for pod in alive if condition_is(pod, "Ready", "True")]
    if not ready:
        return _none_ready(service, alive, shown, scene)
    ports = _unknown_ports(service, ready)
    return (
        [ports]
        if ports
        else [
            Finding(
                "Its pods are ready, but no endpoint says so: is the controller manager running?",
                (shown,),
                "kubectl get lease kube-controller-manager -n kube-system",
            )
        ]
    )


def _none(chosen: list[Object], here: list[Object], selector: Object, shown: str, namespace: str) -> Finding:
    if chosen:
        return Finding(
            "The pods with its labels have all ended.",
            (shown,),
            f"kubectl get pods{flag(namespace)} -l {format_labels(selector)}",
        )
    near = sorted(here, key=lambda pod: -_likeness(pod, selector))
    return Finding(
        f"No pod in namespace {namespace} has the labels of its selector.",
        (shown, *(_off(pod, selector) for pod in near[:_NEAR] if _likeness(pod, selector) >= _LIKE)),
        f"kubectl get pods{flag(namespace)} --show-labels",
    )


def _likeness(pod: Object, selector: Object) -> float:
    """How much of the selector a pod meets; a value that is nearly right counts for a part."""
    labels = pod["metadata"].get("labels") or {}
    met = (SequenceMatcher(None, labels.get(key, ""), value).ratio() for key, value in selector.items())
    return sum(met) / len(selector)


def _off(pod: Object, selector: Object) -> str:
    labels = pod["metadata"].get("labels") or {}
    off = sorted(key for key, value in selector.items() if labels.get(key) != value)
    said = ", ".join(f"{key} is {labels.get(key, 'absent')}" for key in off)
    return f"pod {pod['metadata']['name']} nearly matches: {said}"


def _none_ready(service: Object, pods: list[Object], shown: str, scene: Scene) -> list[Finding]:
    names = [pod["metadata"]["name"] for pod in pods]
    found = [
        Finding(
            "None of its pods is ready.",
            (shown, f"pods: {', '.join(names[:10])}"),
            f"tiphys why pod/{names[0]}{where(service)}",
        )
    ]
    return found + [
        Finding(f"Pod {names[0]}: {item.cause}", item.evidence, item.try_next, item.table)
        for item in pod_findings(pods[0], scene)
    ]


def _unknown_ports(service: Object, pods: list[Object]) -> Finding | None:
    names = {
        port.get("name")
        for pod in pods
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    }
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort")
        if isinstance(target, str) and not target.isdigit() and target not in names:
            known = ", ".join(sorted(name for name in names if name)) or "none"
            return Finding(
                f"Its pods have no port named {target}.",
                (f"spec.ports targetPort: {target}", f"names of ports in the pods: {known}"),
                f"kubectl edit service {service['metadata']['name']}{where(service)}",
            )
    return None
