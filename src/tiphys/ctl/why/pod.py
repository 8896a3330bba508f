"""Why a pod is pending, not ready, restarting, gone bad, or still here."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object, get_condition
from tiphys.ctl.why.claim import claim_findings
from tiphys.ctl.why.containers import container_findings
from tiphys.ctl.why.deletion import deletion_findings
from tiphys.ctl.why.references import claim_names, config_references
from tiphys.ctl.why.scene import Finding, Scene, condition_is, condition_text, one_line, where
from tiphys.ctl.why.scheduling import scheduling_findings

_MOUNT = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_SANDBOX = ("FailedCreatePodSandBox", "FailedCreatePodContainer", "FailedPostStartHook", "NetworkNotReady")


def pod_findings(pod: Object, scene: Scene) -> list[Finding]:
    """Everything that keeps a pod from running and being ready; empty when nothing does."""
    phase = (pod.get("status") or {}).get("phase", "Pending")
    found = deletion_findings(pod, "pods", scene)
    if phase == "Succeeded":
        return found
    if phase == "Failed":
        return [*found, *_failed(pod, scene)]
    waits, claims = scheduling_findings(pod, scene), _claims(pod, scene)
    over_claims = any("persistentvolumeclaim" in item.cause.lower() for item in waits)
    found += [*claims, *waits] if over_claims else [*waits, *claims]
    found += _config(pod, scene)
    found += [] if found else _node(pod, scene)
    containers = container_findings(pod, scene)
    found += containers
    if not found or all("CreateContainer" in "".join(item.evidence) for item in containers):
        found += _events(pod, scene)
    return found or [*_readiness_gates(pod), *_silent(pod)][:1]


def _failed(pod: Object, scene: Scene) -> list[Finding]:
    status = pod["status"]
    reason, message = status.get("reason", ""), one_line(status.get("message", ""))
    shown = f"status.phase: Failed{f', status.reason: {reason}' if reason else ''}"
    target = condition_is(pod, "DisruptionTarget", "True")
    evidence = (shown, *((condition_text(target),) if target else ()))
    describe = f"kubectl describe pod {pod['metadata']['name']}{where(pod)}"
    if reason == "Evicted":
        cause = f"The kubelet evicted it: {message.rstrip('.') or 'its node ran short of something'}."
        return [Finding(cause, evidence, f"kubectl describe node {pod['spec'].get('nodeName', '')}")]
    if reason == "DeadlineExceeded":
        return [Finding("It ran longer than spec.activeDeadlineSeconds allows.", evidence, describe)]
    if reason:
        cause = (
            f"It was refused or ended as a whole: {': '.join(filter(None, (reason, message.rstrip('.'))))}."
        )
        return [Finding(cause, evidence, describe)]
    return container_findings(pod, scene) or [
        Finding("It failed; no container says why.", evidence, describe)
    ]


def _claims(pod: Object, scene: Scene) -> list[Finding]:
    namespace, found = pod["metadata"].get("namespace", ""), []
    for name in claim_names(pod):
        claim = scene.get("persistentvolumeclaims", name, namespace)
        if scene.missing("persistentvolumeclaims", name, namespace):
            found.append(
                Finding(
                    f"It mounts the claim {name}, which does not exist.",
                    (
                        f"spec.volumes: persistentVolumeClaim {name}",
                        f"persistentvolumeclaims {name}: not found",
                    ),
                    f"kubectl get pvc{where(pod)}",
                )
            )
        elif claim is not None:
            found += claim_findings(claim, scene, used=True)
    return found


def _node(pod: Object, scene: Scene) -> list[Finding]:
    name = pod["spec"].get("nodeName", "")
    node = scene.get("nodes", name)
    if name and scene.missing("nodes", name):
        return [Finding(f"Its node {name} does not exist.", (f"spec.nodeName: {name}",), "kubectl get nodes")]
    if node is None or condition_is(node, "Ready", "True"):
        return []
    condition = get_condition(node, "Ready")
    shown = condition_text(condition) if condition else "no condition Ready"
    return [Finding(f"Its node {name} is not ready.", (f"node {name}: {shown}",), f"tiphys why node/{name}")]


def _config(pod: Object, scene: Scene) -> list[Finding]:
    """What its settings refer to and is not there. A pod that is ready has read them already."""
    if condition_is(pod, "Ready", "True"):
        return []
    namespace = pod["metadata"].get("namespace", "")
    found: dict[str, Finding] = {}
    for reference in config_references(pod):
        kind = "ConfigMap" if reference.resource == "configmaps" else "Secret"
        obj = scene.get(reference.resource, reference.name, namespace)
        get = f"kubectl get {reference.resource[:-1]} {reference.name}{where(pod)} -o yaml"
        if scene.missing(reference.resource, reference.name, namespace):
            cause = f"It needs the {kind} {reference.name}, which does not exist."
            create = f"kubectl get {reference.resource}{where(pod)}"
            found.setdefault(cause, Finding(cause, (reference.field,), create))
        elif obj is not None and reference.key and not _has_key(obj, reference.key):
            cause = f"The {kind} {reference.name} has no key {reference.key}."
            keys = ", ".join(sorted(_keys(obj))) or "none"
            found.setdefault(cause, Finding(cause, (reference.field, f"keys that it has: {keys}"), get))
    return list(found.values())


def _keys(obj: Object) -> set[str]:
    return {key for part in ("data", "binaryData", "stringData") for key in obj.get(part) or ()}


def _has_key(obj: Object, key: str) -> bool:
    return key in _keys(obj)


def _events(pod: Object, scene: Scene) -> list[Finding]:
    if condition_is(pod, "Ready", "True"):
        return []
    found = []
    for reasons, what in ((_MOUNT, "A volume cannot be mounted"), (_SANDBOX, "Its sandbox cannot be made")):
        events = scene.events_of(pod, *reasons)
        if events:
            text = one_line(events[0].get("message", "")).rstrip(".")
            found.append(
                Finding(
                    f"{what}: {text}.",
                    (scene.told(events[0]),),
                    f"kubectl describe pod {pod['metadata']['name']}{where(pod)}",
                )
            )
    return found


def _readiness_gates(pod: Object) -> list[Finding]:
    lacking = [
        gate["conditionType"]
        for gate in pod["spec"].get("readinessGates") or ()
        if not condition_is(pod, gate["conditionType"], "True")
    ]
    if not lacking:
        return []
    return [
        Finding(
            f"Its containers are ready; {', '.join(lacking)} must be set by somebody else before the pod is.",
            tuple(f"spec.readinessGates: {name}, and no condition {name}=True" for name in lacking),
            f"kubectl get pod {pod['metadata']['name']}{where(pod)} -o jsonpath='{{.status.conditions}}'",
        )
    ]


def _silent(pod: Object) -> list[Finding]:
    """Not ready, and nothing above says why: the kubelet is at work, or does not answer."""
    if condition_is(pod, "Ready", "True") or not pod["spec"].get("nodeName"):
        return []
    node, status = pod["spec"]["nodeName"], pod.get("status") or {}
    if not status.get("startTime"):
        cause = f"It was given to node {node}, whose kubelet has not taken it up yet."
    else:
        cause = f"The kubelet of {node} is still starting it."
    condition = get_condition(pod, "Ready")
    shown = condition_text(condition) if condition else "no condition Ready"
    return [Finding(cause, (f"spec.nodeName: {node}", shown), f"tiphys why node/{node}")]
