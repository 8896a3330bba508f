"""Why a pod has no node: the scheduler's own words taken apart, and each node looked at beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.apimachinery.taints import tolerates
from tiphys.ctl.why.references import claim_names
from tiphys.ctl.why.scene import Finding, Scene, condition_text, where

_HELP = (
    (r"Insufficient (\S+)", "ask for less {0}, or free some: add nodes, remove pods"),
    (r"Too many pods", "the node runs as many pods as it may: add nodes, remove pods"),
    (r"untolerated taint", "add a toleration to the pod, or take the taint off the node"),
    (r"unschedulable", "kubectl uncordon NODE"),
    (r"node affinity/selector", "label a node, or change spec.nodeSelector / nodeAffinity"),
    (r"plugin\(s\) \[NodeAffinity\]", "the pod is for other nodes, which its nodeAffinity names"),
    (r"anti-affinity", "a pod that may not stand beside it is there: add nodes, or loosen podAntiAffinity"),
    (r"pod affinity", "the pods it wants to stand beside are not there: see podAffinity"),
    (r"topology spread", "more pods are needed elsewhere first: see topologySpreadConstraints"),
    (r"free ports", "another pod has the hostPort"),
    (r"volume node affinity", "its volume can be reached from other nodes only"),
    (r"PersistentVolumeClaim|persistentvolumeclaim|persistent volumes", "see the claim: tiphys why pvc/NAME"),
    (r"max volume count", "the node has as many volumes attached as it may"),
)
_MOST_NODES = 20
_ONE = quantity.parse("1")
_GROUP_START = re.compile(r", (?=\d+ )")
_TRIED_AFTER = re.compile(
    r"\.? preemption: |\. no new claims|\. still not schedulable|\. not found$"
    r"|\. (?:deallocation|deletion) of ResourceClaim"
)
"""What was tried once nothing fitted: no reason why it did not."""


def parse_refusals(message: str) -> list[tuple[int, str]]:
    """Read ``0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ...`` into counts and reasons."""
    head, _, rest = message.partition(" nodes are available: ")
    if not rest or "/" not in head:
        return []
    rest = _TRIED_AFTER.split(rest)[0].rstrip(". ")
    pairs = (part.split(" ", 1) for part in _GROUP_START.split(rest))
    found = [(int(pair[0]), pair[1]) for pair in pairs if len(pair) == 2 and pair[0].isdigit()]
    total = head.rsplit("/", 1)[1]
    return found or [
        (int(total) if total.isdigit() else 0, rest)
    ]  # a fault of the pod: it counts for every node


def scheduling_findings(pod: Object, scene: Scene) -> list[Finding]:
    """Say why an unbound pod waits."""
    if pod["spec"].get("nodeName"):
        return []
    gates = [gate["name"] for gate in pod["spec"].get("schedulingGates") or ()]
    if gates:
        return [
            Finding(
                "It waits for whoever set its scheduling gates to remove them.",
                tuple(f"spec.schedulingGates: {name}" for name in gates),
                f"kubectl get pod {pod['metadata']['name']}{where(pod)} -o yaml",
            )
        ]
    condition = get_condition(pod, "PodScheduled")
    events = scene.events_of(pod, "FailedScheduling")
    if condition is None and not events:
        return [_unseen(pod)]
    return [_refused(pod, condition, events, scene)]


def _unseen(pod: Object) -> Finding:
    name = pod["spec"].get("schedulerName", "default-scheduler")
    own = "" if name == "default-scheduler" else " of that name"
    return Finding(
        f"No scheduler{own} has looked at it yet: is {name} running?",
        (f"spec.schedulerName: {name}", "no condition PodScheduled, no event FailedScheduling"),
        "kubectl get lease -n kube-system (who renews?), kubectl get pods -n kube-system",
    )


def _refused(pod: Object, condition: Object | None, events: list[Object], scene: Scene) -> Finding:
    message = (condition or {}).get("message") or (events[0].get("message", "") if events else "")
    refusals = parse_refusals(message)
    evidence = [condition_text(condition)] if condition else []
    if events:
        evidence.append(scene.told({**events[0], "message": "" if condition else message}).rstrip(": "))
    nominated = (pod.get("status") or {}).get("nominatedNodeName")
    if nominated:
        evidence.append(
            f"status.nominatedNodeName: {nominated} (pods of lower priority are being ended there)"
        )
    cause = (
        f"No node fits ({'; '.join(reason for _, reason in refusals)})."
        if refusals
        else (f"The scheduler finds no node: {message.rstrip('.') or 'it gives no reason'}.")
    )
    rows = [("", "", "")]
    if refusals:
        rows += [("NODES", "REASON", "WHAT HELPS")]
        rows += [(str(count), reason, _advice(reason)) for count, reason in refusals]
        rows += [("", "", "")]
    nodes = node_rows(pod, scene)
    if nodes:
        rows += [("NODE", "WHAT IS SEEN", ""), *((name, text, "") for name, text in nodes), ("", "", "")]
    claims = [name for name in claim_names(pod) if "olume" in message]
    next_ = f"tiphys why pvc/{claims[0]}{where(pod)}" if claims else "kubectl describe nodes"
    return Finding(cause, tuple(evidence), next_, tuple(rows) if len(rows) > 1 else ())


def _advice(reason: str) -> str:
    for pattern, text in _HELP:
        match = re.search(pattern, reason)
        if match:
            return text.format(*match.groups())
    return ""


def node_rows(pod: Object, scene: Scene) -> list[tuple[str, str]]:
    """Say of each node what keeps the pod off, as far as plain objects tell."""
    pods = [other for other in scene.all("pods") if other["spec"].get("nodeName") and not _ended(other)]
    rows = []
    for node in scene.all("nodes"):
        name = node["metadata"]["name"]
        here = [other for other in pods if other["spec"]["nodeName"] == name]
        rows.append((name, "; ".join(node_obstacles(pod, node, here))))
    if not any(text for _, text in rows):
        return []
    rows = [(name, text or "nothing plain: see the reasons above") for name, text in rows]
    if len(rows) > _MOST_NODES:
        rows = [*rows[:_MOST_NODES], (f"and {len(rows) - _MOST_NODES} more", "")]
    return rows


def node_obstacles(pod: Object, node: Object, here: Iterable[Object]) -> list[str]:
    """List what keeps a pod off a node that runs the pods ``here``."""
    spec, labels = node.get("spec") or {}, node["metadata"].get("labels") or {}
    found = ["cordoned (spec.unschedulable)"] if spec.get("unschedulable") else []
    found += [
        f"taint {taint_text(taint)} is not tolerated"
        for taint in spec.get("taints") or ()
        if taint["effect"] != "PreferNoSchedule"
        and not tolerates(pod["spec"].get("tolerations") or (), taint)
        and not (spec.get("unschedulable") and taint["key"] == "node.kubernetes.io/unschedulable")
    ]
    found += [
        f"label {key} is {labels.get(key, 'absent')}, wanted {value}"
        for key, value in sorted((pod["spec"].get("nodeSelector") or {}).items())
        if labels.get(key) != value
    ]
    return found + _short_of(pod, node, here)


def _short_of(pod: Object, node: Object, here: Iterable[Object]) -> list[str]:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    used = [{**requests(other), "pods": _ONE} for other in here]
    found = []
    for name, wanted in sorted({**requests(pod), "pods": _ONE}.items()):
        total = quantity.parse(str(allocatable.get(name, "0")))
        free = total - quantity.total(each[name] for each in used if name in each)
        if wanted.amount > max(free, quantity.ZERO).amount:
            shown = free if free.amount > 0 else quantity.ZERO
            found.append(f"{name}: wants {wanted}, {shown} of {total} free")
    return found


def requests(pod: Object) -> dict[str, quantity.Quantity]:
    """What a pod asks for: the sum of its containers, or its largest init container, and its overhead."""
    init = pod["spec"].get("initContainers") or ()
    sidecars = [container for container in init if container.get("restartPolicy") == "Always"]
    sums: dict[str, quantity.Quantity] = {}
    for container in (*pod["spec"].get("containers", ()), *sidecars):
        _add(sums, _asked(container))
    for container in init:
        for name, text in _asked(container).items():
            sums[name] = max(sums.get(name, quantity.ZERO), quantity.parse(str(text)))
    _add(sums, pod["spec"].get("overhead") or {})
    return sums


def _add(sums: dict[str, quantity.Quantity], amounts: Object) -> None:
    for name, text in amounts.items():
        sums[name] = sums.get(name, quantity.ZERO) + quantity.parse(str(text))


def _asked(container: Object) -> Object:
    return (container.get("resources") or {}).get("requests") or {}


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def taint_text(taint: Object) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"
