"""What volumes forbid beside being bound: sharing, zones, and how many a node can attach.

VolumeRestrictions (ReadWriteOncePod), VolumeZone and NodeVolumeLimits, with upstream's reasons.
Source: KEP-2485 (ReadWriteOncePod), storage.k8s.io/v1 CSINode.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from tiphys.apimachinery.meta import Object
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.counts import Mask
from tiphys.scheduler.framework import Filtered
from tiphys.scheduler.hints import Change
from tiphys.scheduler.matching import node_labels
from tiphys.scheduler.plugins.static import by_node
from tiphys.scheduler.plugins.volumes import class_of, is_claim_of
from tiphys.scheduler.podinfo import PodInfo

ONCE_POD = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
WRONG_ZONE = "node(s) had no available volume zone"
TOO_MANY = "node(s) exceed max volume count"

_ZONE_LABELS = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
_ZONES_BETWEEN = "__"

Attached: TypeAlias = tuple[str, str]
"""A volume on a node: its CSI driver, and its handle (or what stands for it until it has one)."""


class VolumeRestrictions:
    """A claim with ReadWriteOncePod serves one pod in the whole cluster."""

    name = "VolumeRestrictions"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        if not self._taken(info, columns):
            return None
        return Filtered(np.zeros(len(columns.names), dtype=np.bool_), lambda _row: (ONCE_POD,))

    def lacks(self, info: PodInfo, columns: Columns, row: int) -> list[str]:
        """Return the reasons against one row."""
        return [ONCE_POD] if self._taken(info, columns) else []

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A pod helps that used one of the claims, and a claim of the pod's own."""
        if change.event == "volume":
            return is_claim_of(info, change)
        before = change.before
        return before is None or not set(before.claim_keys).isdisjoint(info.claim_keys)

    def _taken(self, info: PodInfo, columns: Columns) -> bool:
        for key in info.claim_keys:
            claim = columns.volumes.claims.get(key)
            modes = (claim or {}).get("spec", {}).get("accessModes") or ()
            if "ReadWriteOncePod" in modes and columns.claim_users[key]:
                return True
        return False


class VolumeZone:
    """Bound volumes with labels of a zone or region are usable there only."""

    name = "VolumeZone"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        wanted = [
            (key, set(str(labels[key]).split(_ZONES_BETWEEN)))
            for labels in self._volume_labels(info, columns)
            for pair in _ZONE_LABELS.items()
            for key in pair
            if key in labels
        ]
        if not wanted:
            return None
        passes = by_node(columns, lambda node: _in_zones(node_labels(node), wanted))
        return Filtered(passes, lambda _row: (WRONG_ZONE,), unresolvable=True)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """Labels of nodes help, and all that says where a volume of the pod's is."""
        if change.is_node:
            return change.relabelled
        if change.resource == "persistentvolumeclaims":
            return is_claim_of(info, change)
        return change.resource in ("persistentvolumes", "storageclasses")

    def _volume_labels(self, info: PodInfo, columns: Columns) -> list[dict[str, str]]:
        found = []
        for key in info.claim_keys:
            claim = columns.volumes.claims.get(key) or {"spec": {}}
            volume = columns.volumes.volumes.get(claim["spec"].get("volumeName") or "")
            if volume is not None:
                found.append(volume["metadata"].get("labels") or {})
        return found


def _in_zones(labels: dict[str, str], wanted: list[tuple[str, set[str]]]) -> bool:
    known = {*_ZONE_LABELS, *_ZONE_LABELS.values()}
    if not known & labels.keys():
        return True  # a node that says nothing of zones takes volumes of any
    return all(_zone_of(labels, key) in zones for key, zones in wanted)


def _zone_of(labels: dict[str, str], key: str) -> str | None:
    """The older names of these labels mean the same."""
    if key in labels:
        return labels[key]
    for new, old in _ZONE_LABELS.items():
        if key in (new, old):
            return labels.get(old if key == new else new)
    return None


class NodeVolumeLimits:
    """A node attaches no more volumes of a CSI driver than its CSINode allows."""

    name = "NodeVolumeLimits"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        if not info.claims or not columns.volumes.csi_nodes:
            return None
        wanted = attached_by(info, columns)
        if not wanted:
            return None
        passes: Mask = columns.alive.copy()
        for row in columns.rows.values():
            passes[row] = self._fits(wanted, columns, row)
        return Filtered(passes, lambda _row: (TOO_MANY,))

    def lacks(self, info: PodInfo, columns: Columns, row: int) -> list[str]:
        """Return the reasons against one row."""
        wanted = attached_by(info, columns) if info.claims else set()
        return [] if not wanted or self._fits(wanted, columns, row) else [TOO_MANY]

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A new node helps, a higher limit, an end of an attachment, a pod that had volumes."""
        if change.is_node:
            return change.old is None
        if change.event == "pod-removed":
            return change.before is None or bool(change.before.claims)
        if change.resource == "persistentvolumeclaims":
            return is_claim_of(info, change)
        if change.resource == "csinodes":
            before, after = _limits(change.old), _limits(change.new)
            return change.old is None or any(after.get(one, math.inf) > before[one] for one in before)
        return change.resource != "csidrivers"

    def _fits(self, wanted: set[Attached], columns: Columns, row: int) -> bool:
        limits = _limits(columns.volumes.csi_nodes.get(columns.names[row]))
        drivers = {driver for driver, _ in wanted} & limits.keys()
        if not drivers:
            return True
        there = set(_attachments(columns, columns.names[row]))
        for other in columns.pods[row].values():
            if other.claims:
                there |= attached_by(other, columns)
        new = wanted - there
        return all(
            not (more := sum(one[0] == driver for one in new))
            or more + sum(one[0] == driver for one in there) <= limits[driver]
            for driver in drivers
        )


def _limits(csi_node: Object | None) -> dict[str, int]:
    drivers = ((csi_node or {}).get("spec") or {}).get("drivers") or ()
    return {
        driver["name"]: int(driver["allocatable"]["count"])
        for driver in drivers
        if (driver.get("allocatable") or {}).get("count") is not None
    }


def _attachments(columns: Columns, node: str) -> list[Attached]:
    """Return what is attached to the node already, whoever asked for it."""
    found = []
    for attachment in columns.volumes.attachments.values():
        spec = attachment["spec"]
        volume = columns.volumes.volumes.get((spec.get("source") or {}).get("persistentVolumeName") or "")
        if spec.get("nodeName") == node and (csi := _csi(volume)):
            found.append((str(csi["driver"]), str(csi["volumeHandle"])))
    return found


def attached_by(info: PodInfo, columns: Columns) -> set[Attached]:
    """Return what the pod's claims need attached; a claim without a volume counts for its class's driver."""
    found: set[Attached] = set()
    for key in info.claim_keys:
        claim = columns.volumes.claims.get(key)
        if claim is None:
            continue
        volume = columns.volumes.volumes.get(claim["spec"].get("volumeName") or "")
        if volume is not None:
            if csi := _csi(volume):
                found.add((str(csi["driver"]), str(csi["volumeHandle"])))
            continue
        provisioner = (columns.volumes.classes.get(class_of(claim)) or {}).get("provisioner")
        if provisioner:
            found.add((str(provisioner), f"{provisioner}-{key}"))
    return found


def _csi(volume: Object | None) -> dict[str, Any] | None:
    source: dict[str, Any] | None = ((volume or {}).get("spec") or {}).get("csi")
    return source
