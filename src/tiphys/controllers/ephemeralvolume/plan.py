"""Which claims a pod's ephemeral volumes need. Pure. Source: KEP-1698 (generic ephemeral volumes)."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, owner_reference
from tiphys.controllers import podstate


@dataclass(frozen=True, slots=True)
class Plan:
    """Claims to make, and what stands in the way of others."""

    make: tuple[Object, ...] = ()
    faults: tuple[str, ...] = ()


def plan(pod: Object, claims: Mapping[str, Object]) -> Plan:
    """Plan a pod's claims; ``claims`` are those of its namespace, by name."""
    if podstate.is_deleting(pod) or podstate.is_terminal(pod):
        return Plan()
    meta = pod["metadata"]
    make: list[Object] = []
    faults: list[str] = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("ephemeral") is None:
            continue
        name = f"{meta['name']}-{volume['name']}"
        present = claims.get(name)
        if present is None:
            make.append(_claim(pod, name, volume["ephemeral"].get("volumeClaimTemplate") or {}))
        elif not podstate.is_owner(pod, present):
            own = f"{meta['namespace']}/{meta['name']}"
            text = f"PVC {meta['namespace']}/{name} was not created for pod {own} (pod is not owner)"
            faults.append(f"ephemeral volume {volume['name']}: {text}")
    return Plan(tuple(make), tuple(faults))


def _claim(pod: Object, name: str, template: Object) -> Object:
    meta, own = pod["metadata"], template.get("metadata") or {}
    metadata = {
        "name": name,
        "namespace": meta["namespace"],
        "labels": dict(own.get("labels") or {}),
        "annotations": dict(own.get("annotations") or {}),
        "ownerReferences": [owner_reference(pod)],
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }
