"""Why a node is not ready or takes no pods."""

from __future__ import annotations

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.ctl.why.deletion import deletion_findings
from tiphys.ctl.why.scene import Finding, Scene, condition_text
from tiphys.ctl.why.scheduling import taint_text

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_GRACE_S = 50
_LEASES = "kube-node-lease"


def node_findings(node: Object, scene: Scene) -> list[Finding]:
    """Everything that keeps a node from running new pods; empty when nothing does."""
    name, spec = node["metadata"]["name"], node.get("spec") or {}
    found = [*deletion_findings(node, "nodes", scene), *_ready(node, scene)]
    for type_ in _PRESSURES:
        condition = get_condition(node, type_)
        if condition and condition.get("status") == "True":
            cause = (
                "Its network is not set up."
                if type_ == "NetworkUnavailable"
                else (
                    f"It runs short ({type_}): the kubelet evicts pods, and takes none of the lowest class."
                )
            )
            found.append(Finding(cause, (condition_text(condition),), f"kubectl describe node {name}"))
    if spec.get("unschedulable"):
        found.append(
            Finding(
                "It is cordoned: no new pods are placed here.",
                ("spec.unschedulable: true",),
                f"kubectl uncordon {name}",
            )
        )
    taints = [
        taint for taint in spec.get("taints") or () if not taint["key"].startswith("node.kubernetes.io/")
    ]
    if taints:
        texts = tuple(f"spec.taints: {taint_text(taint)}" for taint in taints)
        found.append(
            Finding(
                "It takes only pods that tolerate its taints.",
                texts,
                f"kubectl taint node {name} {taints[0]['key']}- (takes the first one off)",
            )
        )
    return found


def _ready(node: Object, scene: Scene) -> list[Finding]:
    name, condition = node["metadata"]["name"], get_condition(node, "Ready")
    lease = scene.get("leases", name, _LEASES)
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    silent_s = (scene.now - parse_time(renewed)).total_seconds() if renewed else 0.0
    evidence = [condition_text(condition)] if condition else ["no condition Ready"]
    if renewed:
        evidence.append(f"lease {_LEASES}/{name}: renewed {scene.age(renewed)} ago")
    logs = f"on the node: journalctl -u kubelet; in a cluster of 'tiphys up': logs/kubelet-{name}.log"
    if condition is None:
        return [Finding("Its kubelet has never reported.", tuple(evidence), logs)]
    if condition.get("status") == "Unknown" or silent_s > _GRACE_S:
        return [
            Finding(
                "Its kubelet has stopped reporting: it, the machine or the way to the API is down.",
                tuple(evidence),
                logs,
            )
        ]
    if condition.get("status") == "True":
        return []
    why = condition.get("message") or condition.get("reason")
    return [Finding(f"Its kubelet says that it is not ready: {why}.", tuple(evidence), logs)]
