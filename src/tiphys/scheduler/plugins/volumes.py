"""VolumeBinding: a pod goes where its volumes are, or where they can be bound or made.

``VolumeClaims`` judges the pod itself (claims missing or not bound in time), ``VolumeBinding`` the nodes.
``choose_volumes`` says what binding a pod to a node would need; the shell writes it.
Source: KEP-490 (topology-aware volume binding).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object, object_key
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.counts import Mask
from tiphys.scheduler.framework import Filtered
from tiphys.scheduler.hints import Change
from tiphys.scheduler.matching import matches_node_term, node_labels
from tiphys.scheduler.plugins.static import by_node
from tiphys.scheduler.podinfo import PodInfo

UNBOUND_IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
NOT_ENOUGH_SPACE = "node(s) did not have enough free storage"
VOLUME_GONE = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"

_NO_PROVISIONER = "kubernetes.io/no-provisioner"
_ATTRIBUTES = "volumeAttributesClassName"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
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


def is_claim_of(info: PodInfo, change: Change) -> bool:
    """Say whether what changed is one of the pod's PersistentVolumeClaims."""
    claim = change.new or change.old
    return change.resource == "persistentvolumeclaims" and (
        claim is None or object_key(claim) in info.claim_keys
    )


def _may_help(info: PodInfo, change: Change) -> bool:
    """Say whether a pod may have its volumes now: others' claims do not matter, what they leave does."""
    if change.is_node:
        return change.relabelled
    return change.resource != "persistentvolumeclaims" or is_claim_of(info, change)


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

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        return _may_help(info, change)

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

    def __init__(self) -> None:
        self._generation = (-1, -1)
        self._reached: dict[str, Mask] = {}

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        if not info.claims:
            return None
        bound, free = _claims_of(info, columns)
        against = [one for claim in bound if (one := self._against(claim, columns)) is not None]
        passes = columns.alive.copy()
        for mask, _ in against:
            passes &= mask
        lacking: dict[int, str] = {}
        if free:
            for row in np.flatnonzero(passes).tolist():
                choice = _choose(free, columns, columns.nodes[row] or {})
                if isinstance(choice, str):
                    passes[row], lacking[row] = False, choice

        def reasons(row: int) -> list[str]:
            found = sorted({text for mask, text in against if not mask[row]})
            return found or [lacking.get(row, BIND_CONFLICT)]

        return Filtered(passes, reasons, unresolvable=True)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        return _may_help(info, change)

    def _against(self, claim: Object, columns: Columns) -> tuple[Mask, str] | None:
        name = claim["spec"]["volumeName"]
        volume = columns.volumes.volumes.get(name)
        if volume is None:
            return np.zeros(len(columns.names), dtype=np.bool_), VOLUME_GONE
        if not volume["spec"].get("nodeAffinity"):
            return None
        generation = (columns.static_generation, columns.volumes.generation)
        if self._generation != generation:
            self._generation = generation
            self._reached.clear()
        if name not in self._reached:
            self._reached[name] = by_node(columns, lambda node: volume_reaches(volume, node))
        return self._reached[name], NODE_CONFLICT


def choose_volumes(info: PodInfo, columns: Columns, node_name: str) -> VolumeChoice:
    """Say what must be written so that the pod's claims are bound for that node."""
    row = columns.rows.get(node_name)
    node = None if row is None else columns.nodes[row]
    if node is None or not info.claims:
        return VolumeChoice()
    choice = _choose(_claims_of(info, columns)[1], columns, node)
    return VolumeChoice() if isinstance(choice, str) else choice


_Free = dict[str, tuple[Object, list[Object]]]


def _claims_of(info: PodInfo, columns: Columns) -> tuple[list[Object], _Free]:
    """Return the bound claims, and the unbound ones by key with the volumes that would serve them."""
    bound: list[Object] = []
    free: _Free = {}
    for name, _ in info.claims:
        key = claim_key(info, name)
        claim = columns.volumes.claims.get(key)
        if claim is not None and is_bound(claim):
            bound.append(claim)
        elif claim is not None:
            free[key] = (claim, _free_volumes(claim, columns))
    return bound, free


def _choose(free: _Free, columns: Columns, node: Object) -> VolumeChoice | str:
    """Give each unbound claim a volume or leave it to its provisioner; say why where one can have neither."""
    bind: dict[str, str] = {}
    provision: list[str] = []
    for key, (claim, volumes) in sorted(free.items(), key=lambda one: _wanted_storage(one[1][0])):
        chosen = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        if chosen is not None:
            # Its provisioner is at work for that node.
            if chosen != node["metadata"]["name"]:
                return BIND_CONFLICT
            volumes = []
        taken = bind.values()
        names = (
            volume["metadata"]["name"]
            for volume in volumes
            if volume["metadata"]["name"] not in taken and volume_reaches(volume, node)
        )
        name = next(names, "")
        if name:
            bind[key] = name
        elif reason := _unprovisionable(claim, columns, node):
            return reason
        else:
            provision.append(key)
    return VolumeChoice(tuple(bind.items()), tuple(provision))


def volume_reaches(volume: Object, node: Object) -> bool:
    """Say whether a PersistentVolume's node affinity takes the node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if not required:
        return True
    return any(matches_node_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def _free_volumes(claim: Object, columns: Columns) -> list[Object]:
    """Return the volumes that would serve the claim somewhere: the one kept for it, or small ones first."""
    selector = from_label_selector(claim["spec"].get("selector") or {})
    needed = _wanted_storage(claim)
    found = [
        (size, name, volume)
        for name, volume in columns.volumes.volumes.items()
        if _serves(volume, claim)
        and (size := _storage((volume["spec"].get("capacity") or {}).get("storage"))) >= needed
    ]
    kept = [volume for _, _, volume in found if volume["spec"].get("claimRef")]
    if kept:
        return kept[:1]
    return [
        volume
        for _, _, volume in sorted(found, key=lambda one: one[:2])
        if (volume["spec"].get(_ATTRIBUTES) or "") == (claim["spec"].get(_ATTRIBUTES) or "")
        and selector.matches(volume["metadata"].get("labels") or {})
    ]


def _wanted_storage(claim: Object) -> int:
    return _storage(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage"))


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


def _unprovisionable(claim: Object, columns: Columns, node: Object) -> str:
    """Say why no volume can be made for the claim on the node; nothing where one can."""
    storage_class = columns.volumes.classes.get(class_of(claim))
    if storage_class is None or storage_class.get("provisioner") in (None, "", _NO_PROVISIONER):
        return BIND_CONFLICT
    topologies = storage_class.get("allowedTopologies") or ()
    labels = node_labels(node)
    if topologies and not any(
        all(labels.get(one["key"]) in one["values"] for one in term.get("matchLabelExpressions") or ())
        for term in topologies
    ):
        return BIND_CONFLICT
    return "" if _has_space(claim, storage_class["provisioner"], columns, labels) else NOT_ENOUGH_SPACE


def _has_space(claim: Object, provisioner: str, columns: Columns, labels: dict[str, str]) -> bool:
    """Ask what the driver has left there, if it is one that says so. Source: KEP-1472."""
    size = _wanted_storage(claim)
    driver = columns.volumes.drivers.get(provisioner) or {}
    if not size or not (driver.get("spec") or {}).get("storageCapacity"):
        return True
    return any(
        one.largest >= size and one.where is not None and one.where.matches(labels)
        for one in columns.volumes.capacities.get(class_of(claim), {}).values()
    )
