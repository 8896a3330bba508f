"""VolumeBinding: a pod goes where its volumes are, or where they can be bound or made.

``VolumeClaims`` judges the pod itself (claims missing or not bound in time), ``VolumeBinding`` the nodes.
``choose_volumes`` says what binding a pod to a node would need; the shell writes it.
Source: KEP-490 (topology-aware volume binding).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tiphys.apimachinery import quantity
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object
from tiphys.scheduler.columns import Columns, node_labels
from tiphys.scheduler.framework import Filtered
from tiphys.scheduler.plugins.static import matches_node_term
from tiphys.scheduler.podinfo import PodInfo

UNBOUND_IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
VOLUME_GONE = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"

_NO_PROVISIONER = "kubernetes.io/no-provisioner"
_OLD_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


@dataclass(frozen=True, slots=True)
class VolumeChoice:
    """What must be written before a pod is bound: claims (keys) to bind to a volume, or to make one for."""

    bind: tuple[tuple[str, str], ...] = ()
    provision: tuple[str, ...] = ()


def claim_key(info: PodInfo, name: str) -> str:
    """Return the key of one of the pod's claims."""
    return f"{info.namespace}/{name}"


def is_bound(claim: Object) -> bool:
    """Say whether the claim has its volume for good."""
    annotations = claim["metadata"].get("annotations") or {}
    return bool(claim["spec"].get("volumeName")) and "pv.kubernetes.io/bind-completed" in annotations


def class_of(obj: Object) -> str:
    """Return the storage class that a claim or volume names ('' for none)."""
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get(_OLD_CLASS_ANNOTATION) or obj["spec"].get("storageClassName") or "")


def _waits_for_consumer(claim: Object, columns: Columns) -> bool:
    storage_class = columns.volumes.classes.get(class_of(claim)) or {}
    return bool(storage_class.get("volumeBindingMode") == "WaitForFirstConsumer")


def _is_owned(claim: Object, info: PodInfo) -> bool:
    return any(
        ref.get("controller") and ref.get("uid") == info.uid
        for ref in claim["metadata"].get("ownerReferences") or ()
    )


class VolumeClaims:
    """Turns away pods whose claims are missing, lost, or should have been bound already."""

    name = "VolumeBinding"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        fault = self._fault(info, columns) if info.claims else ""
        if not fault:
            return None
        return Filtered(np.zeros(len(columns.names), dtype=np.bool_), lambda _row: (fault,), True, fault)

    def _fault(self, info: PodInfo, columns: Columns) -> str:
        unbound_immediate = False
        for name, ephemeral in info.claims:
            claim = columns.volumes.claims.get(claim_key(info, name))
            if claim is None:
                if ephemeral:
                    waits_for = "waiting for ephemeral volume controller to create the"
                    return f'{waits_for} persistentvolumeclaim "{name}"'
                return f'persistentvolumeclaim "{name}" not found'
            if (claim.get("status") or {}).get("phase") == "Lost":
                volume = claim["spec"].get("volumeName") or ""
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
            if claim["metadata"].get("deletionTimestamp"):
                return f'persistentvolumeclaim "{name}" is being deleted'
            if ephemeral and not _is_owned(claim, info):
                return f"PVC {info.namespace}/{name} was not created for pod {info.key} (pod is not owner)"
            waits = not claim["spec"].get("volumeName") and _waits_for_consumer(claim, columns)
            unbound_immediate |= not is_bound(claim) and not waits
        return UNBOUND_IMMEDIATE if unbound_immediate else ""


class VolumeBinding:
    """Keeps a pod to the nodes that its volumes can be used from."""

    name = "VolumeBinding"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        if not info.claims:
            return None
        reasons: dict[int, list[str]] = {}
        for row in columns.rows.values():
            node = columns.nodes[row]
            if node is not None:
                against, _ = judge_node(info, columns, node)
                if against:
                    reasons[row] = against
        if not reasons:
            return None
        passes = columns.alive.copy()
        passes[list(reasons)] = False
        return Filtered(passes, lambda row: reasons.get(row, ()), unresolvable=True)


def choose_volumes(info: PodInfo, columns: Columns, node_name: str) -> VolumeChoice:
    """Say what must be written so that the pod's claims are bound for that node."""
    row = columns.rows.get(node_name)
    node = None if row is None else columns.nodes[row]
    return VolumeChoice() if node is None or not info.claims else judge_node(info, columns, node)[1]


def judge_node(info: PodInfo, columns: Columns, node: Object) -> tuple[list[str], VolumeChoice]:
    """Return the reasons against a node, and what the pod's claims need if there are none."""
    reasons: set[str] = set()
    bind: list[tuple[str, str]] = []
    provision: list[str] = []
    for name, _ in info.claims:
        key = claim_key(info, name)
        claim = columns.volumes.claims.get(key)
        if claim is None:
            continue
        if is_bound(claim):
            reasons.update(_against_bound(claim, columns, node))
            continue
        volume = _free_volume(claim, columns, node, taken={volume for _, volume in bind})
        if volume:
            bind.append((key, volume))
        elif _can_provision(claim, columns, node):
            provision.append(key)
        else:
            reasons.add(BIND_CONFLICT)
    return sorted(reasons), VolumeChoice(tuple(bind), tuple(provision))


def _against_bound(claim: Object, columns: Columns, node: Object) -> list[str]:
    volume = columns.volumes.volumes.get(claim["spec"]["volumeName"])
    if volume is None:
        return [VOLUME_GONE]
    return [] if volume_reaches(volume, node) else [NODE_CONFLICT]


def volume_reaches(volume: Object, node: Object) -> bool:
    """Say whether a PersistentVolume's node affinity takes the node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if not required:
        return True
    return any(matches_node_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def _free_volume(claim: Object, columns: Columns, node: Object, *, taken: set[str]) -> str:
    """Return the smallest free volume that serves the claim on the node ('' for none)."""
    selector = from_label_selector(claim["spec"].get("selector") or {})
    needed = _storage(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage"))
    best: tuple[int, str] | None = None
    for name, volume in columns.volumes.volumes.items():
        size = _storage((volume["spec"].get("capacity") or {}).get("storage"))
        if name in taken or size < needed or (best is not None and (size, name) >= best):
            continue
        fits = _serves(volume, claim) and selector.matches(volume["metadata"].get("labels") or {})
        if fits and volume_reaches(volume, node):
            best = (size, name)
    return best[1] if best else ""


def _serves(volume: Object, claim: Object) -> bool:
    spec, wanted = volume["spec"], claim["spec"]
    ref = spec.get("claimRef")
    if ref and not _is_for(ref, claim):
        return False
    if not ref and (volume.get("status") or {}).get("phase") not in (None, "", "Available", "Pending"):
        return False
    return (
        not volume["metadata"].get("deletionTimestamp")
        and class_of(volume) == class_of(claim)
        and (spec.get("volumeMode") or "Filesystem") == (wanted.get("volumeMode") or "Filesystem")
        and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
    )


def _is_for(ref: dict[str, Any], claim: Object) -> bool:
    meta = claim["metadata"]
    same_name = ref.get("name") == meta["name"] and ref.get("namespace") == meta.get("namespace")
    return same_name and ref.get("uid") in (None, "", meta.get("uid"))


def _storage(text: Any) -> int:
    return quantity.parse(str(text)).value() if text else 0


def _can_provision(claim: Object, columns: Columns, node: Object) -> bool:
    storage_class = columns.volumes.classes.get(class_of(claim))
    if storage_class is None or storage_class.get("provisioner") in (None, "", _NO_PROVISIONER):
        return False
    topologies = storage_class.get("allowedTopologies") or ()
    labels = node_labels(node)
    return not topologies or any(
        all(labels.get(one["key"]) in one["values"] for one in term.get("matchLabelExpressions") or ())
        for term in topologies
    )
