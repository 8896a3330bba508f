"""Why something that was deleted is still there."""

from __future__ import annotations

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.duration import human
from tiphys.apimachinery.meta import Object
from tiphys.ctl.why.scene import Finding, Scene, condition_is, where

_KEEPERS = {
    "foregroundDeletion": "the garbage collector first deletes what it owns",
    "orphan": "the garbage collector first lets go of what it owns",
    "kubernetes.io/pvc-protection": "a pod still uses the claim",
    "kubernetes.io/pv-protection": "a claim is still bound to the volume",
    "batch.kubernetes.io/job-tracking": "the job controller has not counted it yet",
    "service.kubernetes.io/load-balancer-cleanup": "a cloud controller must take down its load balancer",
    "external-attacher": "a CSI attacher must detach it first",
}

_PATIENCE_S = 30
"""How long after its grace period a pod may take before somebody is to blame."""


def deletion_findings(obj: Object, resource: str, scene: Scene) -> list[Finding]:
    """Say what holds an object that has a deletionTimestamp; nothing for one that is not being deleted."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp"):
        return []
    stamp = f"metadata.deletionTimestamp: {meta['deletionTimestamp']}"
    if meta.get("finalizers"):
        return [_finalizers(obj, resource, stamp, scene)]
    if resource == "pods":
        return [_pod(obj, stamp, scene)]
    return [Finding("It is being deleted, and nothing is seen that holds it.", (stamp,))]


def _finalizers(obj: Object, resource: str, stamp: str, scene: Scene) -> Finding:
    meta = obj["metadata"]
    names = meta["finalizers"]
    reasons = [f"metadata.finalizers: {name} ({_keeper(name)})" for name in names]
    users = _users(obj, scene) if "kubernetes.io/pvc-protection" in names else []
    if users:
        reasons.append(f"pods that use it: {', '.join(users)}")
        return Finding(
            "It is deleted once no pod uses it any more.",
            (stamp, *reasons),
            f"kubectl delete pod {' '.join(users)}{where(obj)}",
        )
    return Finding(
        f"It was deleted, but {_count(len(names))} must be removed by whoever set {_them(names)}.",
        (stamp, *reasons),
        f"kubectl get {resource} {meta['name']}{where(obj)} -o jsonpath='{{.metadata.finalizers}}' "
        "(see that the controller which owns them runs; removing them by hand skips its cleanup)",
    )


def _keeper(name: str) -> str:
    domain = name.split("/")[0]
    return _KEEPERS.get(name, f"set by the controller of {domain}" if "/" in name else "set by a controller")


def _count(number: int) -> str:
    return "a finalizer" if number == 1 else f"{number} finalizers"


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _users(claim: Object, scene: Scene) -> list[str]:
    name = claim["metadata"]["name"]
    return [
        pod["metadata"]["name"]
        for pod in scene.all("pods")
        if pod["metadata"].get("namespace") == claim["metadata"].get("namespace")
        and any(
            (volume.get("persistentVolumeClaim") or {}).get("claimName") == name
            for volume in pod["spec"].get("volumes") or ()
        )
    ]


def _pod(pod: Object, stamp: str, scene: Scene) -> Finding:
    node_name = pod["spec"].get("nodeName", "")
    node = scene.get("nodes", node_name)
    force = f"kubectl delete pod {pod['metadata']['name']}{where(pod)} --force --grace-period=0"
    if scene.missing("nodes", node_name):
        return Finding(
            f"Its node {node_name} no longer exists, so no kubelet ends it; the pod garbage collector will.",
            (stamp, f"spec.nodeName: {node_name}"),
            force,
        )
    if node is not None and not condition_is(node, "Ready", "True"):
        return Finding(
            f"Its node {node_name} does not answer, and only that node's kubelet can say that it has ended.",
            (stamp, f"node {node_name} is not Ready"),
            f"tiphys why node/{node_name} (once the node is surely off: {force})",
        )
    grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
    over_s = (scene.now - parse_time(pod["metadata"]["deletionTimestamp"])).total_seconds()
    if over_s > _PATIENCE_S and node_name:
        return Finding(
            f"It should have ended {human(over_s)} ago, and the kubelet of {node_name} has not removed it.",
            (stamp, f"metadata.deletionGracePeriodSeconds: {grace}"),
            f"tiphys why node/{node_name}; what that kubelet says of it: kubectl describe pod "
            f"{pod['metadata']['name']}{where(pod)}",
        )
    return Finding(
        f"Its containers are given {grace} s to end; the kubelet removes it then.",
        (stamp, f"metadata.deletionGracePeriodSeconds: {grace}"),
        f"kubectl logs {pod['metadata']['name']}{where(pod)} (does the process handle SIGTERM?)",
    )
